#include "daemon/operator_service_list.h"

#include <gmock/gmock.h>

#include <algorithm>

#include "tests/daemon/operator_service_testing.h"

namespace residency {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST_F(OperatorServiceTest, PagesHoldEveryBlockOnceInOrder) {
  AddModel("m", 2500);
  v1::ListBlocksRequest request;
  v1::ListBlocksResponse page;
  std::vector<uint32_t> seen;
  for (int pages = 1;; ++pages) {
    ASSERT_TRUE(List(request, &page).ok());
    ASSERT_LE(page.blocks_size(), 1000);
    for (const auto& block : page.blocks()) seen.push_back(block.block_id());
    request.set_page_token(page.next_page_token());
    if (page.next_page_token().empty()) {
      EXPECT_EQ(pages, 3);
      break;
    }
  }
  ASSERT_EQ(seen.size(), 2500u);
  EXPECT_TRUE(std::is_sorted(seen.begin(), seen.end()));
  EXPECT_EQ(seen.back(), 2499u);
}

TEST_F(OperatorServiceTest, FiltersHoldTogetherAndAreCheckedOverAllBlocks) {
  const ModelId first = AddModel("first", 40);
  const ModelId second = AddModel("second", 40);
  v1::ListBlocksRequest request;
  request.set_model_id(second.value());
  request.set_layer(3);
  request.set_name_contains("b1");
  request.set_state(v1::RESIDENCY_STATE_S6_RECOMPUTABLE);
  v1::ListBlocksResponse page;
  ASSERT_TRUE(List(request, &page).ok());
  std::vector<std::string> names;
  for (const auto& block : page.blocks()) {
    names.push_back(block.name());
    EXPECT_EQ(block.model(), "second");
    EXPECT_EQ(block.recipe(), "synthetic");
  }
  EXPECT_THAT(names, testing::ElementsAre("b11", "b15", "b19"));
  request.set_state(v1::RESIDENCY_STATE_S0_FULL_HBM);
  ASSERT_TRUE(List(request, &page).ok());
  EXPECT_EQ(page.blocks_size(), 0);
  EXPECT_NE(first, second);
  request.set_state(static_cast<v1::ResidencyState>(70));
  EXPECT_EQ(List(request, &page).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  request.Clear();
  request.set_page_token("nonsense");
  EXPECT_THAT(List(request, &page).error_message(), HasSubstr("page_token:"));
}

TEST_F(OperatorServiceTest, ALongScanIsManyQuestions) {
  AddModel("m", 120'000);
  v1::ListBlocksRequest request;
  request.set_name_contains("b119999");
  v1::ListBlocksResponse page;
  ASSERT_TRUE(List(request, &page).ok());
  ASSERT_EQ(page.blocks_size(), 1);
  EXPECT_EQ(page.blocks(0).block_id(), 119'999u);
  EXPECT_EQ(port_.questions(), 3);
  EXPECT_EQ(page.next_page_token(), "");
}

std::vector<std::string> NamesIn(const v1::ListBlocksResponse& page) {
  std::vector<std::string> names;
  for (const v1::BlockInfo& block : page.blocks()) names.push_back(block.name());
  return names;
}

TEST_F(OperatorServiceTest, AnOrderedListIsTheForemostOfAllThatMatch) {
  AddModel("m", 2500);
  v1::ListBlocksRequest request;
  v1::ListBlocksResponse page;
  request.set_order_by(v1::BLOCK_ORDER_NAME);
  request.set_descending(true);
  request.set_page_size(3);
  request.set_name_contains("b1");
  ASSERT_TRUE(List(request, &page).ok());
  EXPECT_THAT(NamesIn(page), ElementsAre("b1999", "b1998", "b1997"));
  EXPECT_EQ(page.matched(), 1111u);
  EXPECT_EQ(page.next_page_token(), "");

  request.Clear();
  request.set_order_by(v1::BLOCK_ORDER_LAYER);
  request.set_descending(true);
  request.set_page_size(2);
  ASSERT_TRUE(List(request, &page).ok());
  EXPECT_THAT(NamesIn(page), ElementsAre("b3", "b7"));  // Equal ones by number, all the same.

  request.set_page_token("7");
  EXPECT_THAT(List(request, &page).error_message(), HasSubstr("page_token:"));
  request.clear_page_token();
  request.set_order_by(static_cast<v1::BlockOrder>(99));
  EXPECT_THAT(List(request, &page).error_message(), HasSubstr("order_by:"));
}

TEST_F(OperatorServiceTest, ScoresAreThoseOfAnExplanationAndTakeMoreQuestions) {
  const ModelId model = AddModel("m", 500);
  controller_->Step(
      TimePoint(Micros(50)),
      std::vector<Event>{StepMarked{SessionId(1), model, true, {}},
                         AccessReported{SessionId(1), model, Phase::kDecode, {BlockId(321)}}});
  v1::ListBlocksRequest request;
  request.set_order_by(v1::BLOCK_ORDER_R);
  request.set_descending(true);
  request.set_page_size(2);
  v1::ListBlocksResponse page;
  ASSERT_TRUE(List(request, &page).ok());
  EXPECT_EQ(port_.questions(), 3);
  ASSERT_EQ(page.blocks_size(), 2);
  EXPECT_EQ(page.blocks(0).block_id(), 321u);
  EXPECT_GE(page.blocks(0).r(), page.blocks(1).r());
  v1::ExplainBlockRequest explain;
  explain.set_block("321");
  v1::ExplainBlockResponse explanation;
  ASSERT_TRUE(stub_->ExplainBlock(Context().get(), explain, &explanation).ok());
  EXPECT_EQ(page.blocks(0).r(), explanation.now().score().r());
  EXPECT_EQ(page.blocks(0).k(), explanation.now().score().k());

  request.Clear();
  request.set_page_size(1);
  ASSERT_TRUE(List(request, &page).ok());
  EXPECT_FALSE(page.blocks(0).has_k());
}

TEST_F(OperatorServiceTest, FiltersKnowEveryFieldOfABlock) {
  AddModel("m", 8);
  controller_->Step(TimePoint(Micros(10)),
                    std::vector<Event>{OperatorPin{RequestId(900), BlockId(5), true}});
  const auto count = [&](const std::function<void(v1::ListBlocksRequest&)>& set) {
    v1::ListBlocksRequest request;
    set(request);
    v1::ListBlocksResponse page;
    const grpc::Status status = List(request, &page);
    return status.ok() ? page.blocks_size() : -static_cast<int>(status.error_code());
  };
  using R = v1::ListBlocksRequest;
  EXPECT_EQ(count([](R& r) { r.set_pinned(true); }), 1);
  EXPECT_EQ(count([](R& r) { r.set_leased(true); }), 0);
  EXPECT_EQ(count([](R& r) { r.set_lost(true); }), 0);
  EXPECT_EQ(count([](R& r) { r.set_role(v1::ROLE_OTHER); }), 8);
  EXPECT_EQ(count([](R& r) { r.set_role(v1::ROLE_EXPERT); }), 0);
  EXPECT_EQ(count([](R& r) { r.set_expert(-1); }), 8);
  EXPECT_EQ(count([](R& r) { r.set_expert(0); }), 0);
  EXPECT_EQ(count([](R& r) { r.set_min_bytes(kBlockBytes); }), 8);
  EXPECT_EQ(count([](R& r) { r.set_min_bytes(kBlockBytes + 1); }), 0);
  EXPECT_EQ(count([](R& r) { r.set_max_bytes(kBlockBytes - 1); }), 0);
  EXPECT_EQ(count([](R& r) { r.set_element_type(v1::ELEMENT_TYPE_OTHER); }), 8);
  EXPECT_EQ(count([](R& r) { r.set_element_type(v1::ELEMENT_TYPE_BF16); }), 0);
  EXPECT_EQ(count([](R& r) { r.set_tier(v1::TIER_HBM); }), 0);
  EXPECT_EQ(count([](R& r) { r.set_pool("dram"); }), 0);
  const int invalid = -static_cast<int>(grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(count([](R& r) { r.set_tier(static_cast<v1::Tier>(77)); }), invalid);
  EXPECT_EQ(count([](R& r) { r.set_role(static_cast<v1::Role>(77)); }), invalid);
  EXPECT_EQ(count([](R& r) { r.set_element_type(static_cast<v1::ElementType>(77)); }), invalid);

  // A block on its way has a copy there already.
  controller_->Step(TimePoint(Micros(50)),
                    std::vector<Event>{AcquireBatch{RequestId(1000),
                                                    SessionId(1),
                                                    1,
                                                    {BlockId(2)},
                                                    AcceptMask{},
                                                    TimePoint(Micros(1'000'000)),
                                                    LeaseMode::kRecallable}});
  EXPECT_EQ(count([](R& r) { r.set_tier(v1::TIER_HBM); }), 1);
  EXPECT_EQ(count([](R& r) { r.set_pool("hbm0"); }), 1);
}

TEST_F(OperatorServiceTest, MissesComeWithTheNamesOfTheirBlocks) {
  AddModel("m", 4);
  GrantedLease lease;
  lease.block = BlockId(3);
  lease.served_from = ResidencyState::kS4Nvme;
  lease.stall = Micros(700);
  tally_.OnGranted({{lease}}, clock_.Now());
  v1::ListMissesResponse misses;
  ASSERT_TRUE(stub_->ListMisses(Context().get(), {}, &misses).ok());
  ASSERT_EQ(misses.blocks_size(), 1);
  EXPECT_EQ(misses.blocks(0).name(), "b3");
  EXPECT_EQ(misses.blocks(0).model(), "m");
  EXPECT_EQ(misses.blocks(0).served_from(), v1::RESIDENCY_STATE_S4_NVME);
  EXPECT_EQ(misses.blocks(0).state(), v1::RESIDENCY_STATE_S6_RECOMPUTABLE);
  EXPECT_GT(misses.blocks(0).stall_us_per_second(), 0);
  EXPECT_EQ(misses.half_life_us(), 10'000'000u);
  port_.set_full(true);
  EXPECT_EQ(stub_->ListMisses(Context().get(), {}, &misses).error_code(),
            grpc::StatusCode::RESOURCE_EXHAUSTED);
}

}  // namespace
}  // namespace residency
