// Runs a node that served an engine, and expects that it still does after each test, with nothing
// of the test kept.
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "tests/integration/hostile_peer.h"
#include "tests/integration/hostile_support.h"
#include "tests/integration/node_process.h"

namespace residency::testing {

class HostileTest : public ::testing::Test {
 protected:
  void SetUp() override {
    node_.ExpectWarnings({"refused", "session", "peer", "connection", "side", "transfer"});
    checkpoint_ = WriteCheckpoint(node_);
    node_.Start();
    ExpectServes(node_, checkpoint_);
    ASSERT_TRUE(WaitFor([&] { return node_.Status().sessions() == 0; }));
    descriptors_ = OpenDescriptors(node_.pid());
    pid_ = node_.pid();
  }
  void TearDown() override {
    ASSERT_TRUE(node_.running()) << node_.Log();
    EXPECT_EQ(node_.pid(), pid_);
    ExpectSettlesTo(node_, descriptors_);
    ExpectServes(node_, checkpoint_);
  }

  std::string Socket(const char* name) const { return node_.runtime_dir() + "/" + name; }

  NodeProcess node_;
  std::string checkpoint_;
  size_t descriptors_ = 0;
  pid_t pid_ = -1;
};

}  // namespace residency::testing
