// What the tests of faults and of bad peers share: a checkpoint, the blocks as an operator sees
// them, and whether the daemon still does its work.
#pragma once

#include <dirent.h>
#include <google/protobuf/util/json_util.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "client/synthetic_checkpoint.h"
#include "residency/v1/operator.pb.h"
#include "tests/integration/node_process.h"

namespace residency::testing {

inline constexpr uint32_t kLayers = 2;
inline constexpr uint32_t kExperts = 8;
inline constexpr uint64_t kExpertBytes = uint64_t{1} << 20;

inline bool Begins(const std::string& text, const std::string& with) {
  return text.rfind(with, 0) == 0;
}
inline bool Holds(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}
// No lease had a wrong byte.
inline bool RightBytes(const std::string& answer) { return Begins(answer, "ok wrong=0 "); }

// Sixteen experts of about 1 MiB and the layers' dense tensors.
inline std::string WriteCheckpoint(const NodeProcess& node, uint64_t seed = 1,
                                   const std::string& name = "model.safetensors") {
  const std::string path = node.directory() + "/" + name;
  const absl::Status written = WriteSyntheticCheckpoint(path, {.layers = kLayers,
                                                               .experts = kExperts,
                                                               .hidden = 128,
                                                               .intermediate = 0,
                                                               .expert_bytes = kExpertBytes,
                                                               .seed = seed,
                                                               .progress = {}});
  EXPECT_TRUE(written.ok()) << written;
  return path;
}

template <class Message>
Message CtlJson(NodeProcess& node, std::vector<std::string> arguments, int* status = nullptr) {
  arguments.insert(arguments.end(), {"-o", "json"});
  int exit_status = -1;
  const std::string text = node.Ctl(arguments, &exit_status);
  if (status == nullptr) {
    EXPECT_EQ(exit_status, 0) << arguments.front() << ": " << text;
  } else {
    *status = exit_status;
  }
  Message message;
  const auto parsed = google::protobuf::util::JsonStringToMessage(text, &message);
  EXPECT_TRUE(parsed.ok()) << arguments.front() << ": " << parsed.ToString() << "\n" << text;
  return message;
}

inline std::vector<std::string> ExpertNames(NodeProcess& node) {
  std::vector<std::string> names;
  for (const v1::BlockInfo& block : node.Blocks()) {
    // Of the checkpoint, and not of what else a test has registered.
    if (block.expert() >= 0 && Begins(block.name(), "model.")) names.push_back(block.name());
  }
  EXPECT_EQ(names.size(), size_t{kLayers * kExperts});
  return names;
}

// An engine that has attached the checkpoint.
inline std::string Attach(EngineProcess& engine, const std::string& checkpoint,
                          uint64_t max_leased = 8 << 20, uint64_t max_batch = 4 << 20) {
  const std::string connected = engine.Do("connect");
  if (!Begins(connected, "ok")) return connected;
  return engine.Do("attach " + checkpoint + " " + std::to_string(max_leased) + " " +
                   std::to_string(max_batch) + " perexpert");
}

// A well-behaved engine gets the right bytes of every expert.
inline void ExpectServes(NodeProcess& node, const std::string& checkpoint) {
  ASSERT_TRUE(node.running()) << node.Log();
  EngineProcess engine(node.runtime_dir());
  const std::string attached = Attach(engine, checkpoint);
  ASSERT_TRUE(Begins(attached, "ok")) << attached;
  for (const std::string& name : ExpertNames(node)) {
    const std::string answer = engine.Do("acquire " + name);
    EXPECT_TRUE(RightBytes(answer)) << name << ": " << answer;
    EXPECT_TRUE(Begins(engine.Do("release"), "ok"));
  }
  engine.Do("exit");
}

inline size_t OpenDescriptors(pid_t pid) {
  DIR* const directory = opendir(("/proc/" + std::to_string(pid) + "/fd").c_str());
  if (directory == nullptr) return 0;
  size_t count = 0;
  while (const dirent* entry = readdir(directory)) count += entry->d_name[0] != '.' ? 1 : 0;
  closedir(directory);
  return count;
}

// What a test leaves behind must not stay in the daemon.
inline void ExpectSettlesTo(NodeProcess& node, size_t descriptors) {
  EXPECT_TRUE(WaitFor([&] { return OpenDescriptors(node.pid()) <= descriptors; }))
      << "has " << OpenDescriptors(node.pid()) << " open descriptors, had " << descriptors;
  EXPECT_TRUE(WaitFor([&] { return node.Status().sessions() == 0; }));
}

}  // namespace residency::testing
