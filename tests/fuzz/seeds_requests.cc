#include <initializer_list>

#include "residency/v1/engine.pb.h"
#include "residency/v1/operator.pb.h"
#include "residency/v1/side.pb.h"
#include "tests/fuzz/fuzz_input.h"
#include "tests/fuzz/seeds.h"

namespace residency::fuzz {
namespace {

std::string Framed(uint8_t kind, const google::protobuf::Message& message) {
  return Frames::Encode(kind, message.SerializeAsString());
}

void AddSideFrames(std::vector<Seed>* seeds) {
  v1::SideRequest hello, offer, region, goodbye, resume;
  hello.mutable_hello()->set_protocol_version(1);
  resume = hello;
  resume.mutable_hello()->set_resume_token(std::string(16, 't'));
  offer.mutable_offer_file()->set_path("/models/m.safetensors");
  region.mutable_get_region()->set_region(1);
  goodbye.mutable_goodbye();
  seeds->push_back({"side_frames", "session",
                    Framed(0, hello) + Framed(0x10, offer) + Framed(0, region) +
                        Framed(0x80, hello) + Framed(0, goodbye)});
  seeds->push_back({"side_frames", "mistakes",
                    Framed(0, offer) + Framed(0x40, hello) + Framed(0, resume) + Framed(0, hello) +
                        Framed(0x20, offer) + Framed(0x30, offer) + Framed(0, hello)});
}

v1::AttachModelRequest Attach() {
  v1::AttachModelRequest request;
  request.set_name("m");
  request.set_fingerprint("print");
  request.set_max_leased_bytes(65'536);
  request.set_max_batch_bytes(32'768);
  request.add_accepts(v1::ACCEPTANCE_HBM_FULL);
  return request;
}

v1::RegisterBlocksRequest Register(uint32_t blocks) {
  v1::RegisterBlocksRequest request;
  for (uint32_t i = 0; i < blocks; ++i) {
    v1::BlockSpec& block = *request.add_blocks();
    block.set_name("b" + std::to_string(i));
    block.set_bytes(8000 + i);
    block.set_layer(static_cast<int32_t>(i % 2));
    block.set_expert(static_cast<int32_t>(i / 2));
    block.set_role(v1::ROLE_EXPERT);
    block.set_element_type(v1::ELEMENT_TYPE_BF16);
    switch (i % 4) {
      case 0:
        block.mutable_synthetic()->set_seed(i);
        break;
      case 1:
        block.mutable_file_range()->set_file_handle(1);
        block.mutable_file_range()->set_offset(i * 8192);
        break;
      case 2:
        if (i > 2) block.mutable_alias()->set_block_id(0);
        break;
      default:
        block.set_sensitivity(0.9f);
        block.mutable_synthetic()->set_seed(i);
    }
  }
  return request;
}

v1::AcquireRequest Acquire(uint64_t id, std::initializer_list<uint32_t> blocks) {
  v1::AcquireRequest request;
  request.mutable_batch()->set_request_id(id);
  for (uint32_t block : blocks) request.mutable_batch()->add_block_ids(block);
  request.mutable_batch()->set_deadline_us(100'000);
  return request;
}

std::string StreamFrames() {
  v1::SessionRequest open, step, access, routing, release;
  open.mutable_open()->add_held_lease_ids(0);
  step.mutable_step()->set_phase(v1::PHASE_DECODE);
  step.mutable_step()->set_edge(v1::STEP_EDGE_BEGIN);
  access.mutable_access()->set_phase(v1::PHASE_DECODE);
  for (uint32_t i = 0; i < 4; ++i) access.mutable_access()->add_block_ids(i);
  routing.mutable_routing()->set_phase(v1::PHASE_DECODE);
  routing.mutable_routing()->add_request_ids(9);
  routing.mutable_routing()->set_top_k(2);
  routing.mutable_routing()->add_experts(0);
  routing.mutable_routing()->add_experts(1);
  routing.mutable_routing()->add_gates(0.6f);
  routing.mutable_routing()->add_gates(0.4f);
  release.mutable_release()->add_lease_ids(0);
  std::string out = Framed(0x06, open) + Framed(0x06, step) + Framed(0x86, routing) +
                    Framed(0x86, access) + Framed(0x06, release);
  step.mutable_step()->set_edge(v1::STEP_EDGE_END);
  step.mutable_step()->add_ended_request_ids(9);
  return out + Framed(0x86, step);
}

void AddEngineRequests(std::vector<Seed>* seeds) {
  v1::PutBlockRequest put;
  put.set_block_id(2);
  put.set_file_handle(2);
  put.set_durability(v1::DURABILITY_DURABLE);
  v1::ReleaseRequest release;
  release.add_lease_ids(0);
  release.add_lease_ids(1);
  const std::string known = Framed(0x00, Attach()) + Framed(0x02, Register(12));
  const std::string leases = Framed(0x84, Acquire(1, {0, 1, 3})) + Framed(0x84, Acquire(2, {4})) +
                             Frames::Encode(0x0f, "") + Framed(0x05, release);
  seeds->push_back({"engine_requests", "leases", known + leases});
  seeds->push_back({"engine_requests", "put", known + Framed(0x83, put) + leases});
  seeds->push_back({"engine_requests", "stream", known + leases + StreamFrames()});
  seeds->push_back({"engine_requests", "two-sessions",
                    known + Framed(0x10, Attach()) + Framed(0x44, Acquire(1, {0, 1, 3})) +
                        Framed(0x94, Acquire(1, {0, 1, 3})) + Frames::Encode(0x07, "\x01") +
                        Frames::Encode(0x18, "") + Frames::Encode(0x0c, "") +
                        Framed(0x01, v1::DetachModelRequest())});
}

void AddOperatorRequests(std::vector<Seed>* seeds) {
  v1::ListBlocksRequest list;
  list.set_layer(1);
  list.set_name_contains("b");
  list.set_page_size(2);
  v1::GetBlockRequest get;
  get.set_block("m/b3");
  v1::ExplainBlockRequest explain;
  explain.set_block("3");
  v1::PinBlockRequest pin;
  pin.set_block("b3");
  v1::PromoteBlockRequest promote;
  promote.set_block("b4");
  promote.set_to(v1::RESIDENCY_STATE_S0_FULL_HBM);
  v1::DemoteBlockRequest demote;
  demote.set_block("b4");
  demote.set_to(v1::RESIDENCY_STATE_S4_NVME);
  v1::UpdatePolicyRequest update;
  (*update.mutable_values())["hysteresis"] = "0.1";
  (*update.mutable_values())["prefetch"] = "false";
  std::string reads;
  for (uint8_t kind : {0, 4, 5, 6, 7, 13}) reads += Frames::Encode(kind, "");
  seeds->push_back({"operator_requests", "reads",
                    Frames::Encode(15, "\x03") + Frames::Encode(20, "") + Framed(1, list) +
                        Framed(2, get) + Framed(3, explain) + reads});
  seeds->push_back({"operator_requests", "moves",
                    Framed(10, promote) + Frames::Encode(20, "") + Framed(8, pin) +
                        Framed(11, demote) + Frames::Encode(22, "") + Framed(9, pin) +
                        Framed(0x8b, demote) + Frames::Encode(22, "") + Framed(14, update) +
                        Frames::Encode(16, "") + Frames::Encode(12, "") + Framed(10, promote)});
}

}  // namespace

void AddRequestSeeds(std::vector<Seed>* seeds) {
  AddSideFrames(seeds);
  AddEngineRequests(seeds);
  AddOperatorRequests(seeds);
}

}  // namespace residency::fuzz
