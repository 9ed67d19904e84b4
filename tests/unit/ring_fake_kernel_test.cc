// SPDX-License-Identifier: Apache-2.0
// The model of the kernel must detect the same errors as the kernel: other tests rely on it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "rbd_handler/ring/ring.h"
#include "tests/support/fake_kernel.h"

namespace tcmurbd::ring {
namespace {

using tcmurbd::testing::FakeKernel;
using tcmurbd::testing::FakeResult;
using ::testing::AllOf;
using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

const std::vector<uint8_t> kTestUnitReady = {0, 0, 0, 0, 0, 0};
const std::vector<uint8_t> kRead10 = {0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0};

class FakeKernelTest : public ::testing::Test {
 protected:
  FakeKernel kernel_{{.ring_bytes = 1024, .blocks = 8}};
  Ring ring_ = Ring::attach(kernel_.map()).value();
  CommandEntry command_;
  TmrEntry tmr_;
};

TEST_F(FakeKernelTest, AnUnknownIdBreaksTheRing) {
  kernel_.queue({.cdb = kTestUnitReady});
  ASSERT_EQ(ring_.next(command_, tmr_), Next::kCommand);
  ring_.complete({.cmd_id = 2});
  ring_.publish();
  kernel_.doorbell();
  EXPECT_THAT(kernel_.broken_reason(), HasSubstr("cmd_id 2"));
  kernel_.reset_ring();
  EXPECT_FALSE(kernel_.broken());
  EXPECT_EQ(kernel_.tail(), 0);
}

TEST_F(FakeKernelTest, CompletingAKeptIdBreaksTheRing) {
  for (int i = 0; i < 2; ++i) kernel_.queue({.cdb = kRead10, .data_in_bytes = 512});
  for (int i = 0; i < 2; ++i) ASSERT_EQ(ring_.next(command_, tmr_), Next::kCommand);
  ring_.complete({.cmd_id = 1, .keep_buffer = true});
  ring_.complete({.cmd_id = 1});
  ring_.publish();
  kernel_.doorbell();
  EXPECT_THAT(kernel_.broken_reason(), HasSubstr("kept"));
}

TEST_F(FakeKernelTest, ATailBetweenEntriesBreaksTheRing) {
  kernel_.queue({.cdb = kTestUnitReady});
  kernel_.poke<uint32_t>(64, 8);
  kernel_.doorbell();
  EXPECT_TRUE(kernel_.broken());
}

TEST_F(FakeKernelTest, FullRingAndDataAreaMakeCommandsWait) {
  std::vector<uint64_t> tags;
  for (int i = 0; i < 12; ++i) tags.push_back(kernel_.queue({.cdb = kTestUnitReady}));
  EXPECT_EQ(kernel_.on_ring(), 8);  // 8 * 120 of 1024; one byte must stay free.
  EXPECT_EQ(kernel_.waiting(), 4);
  EXPECT_FALSE(kernel_.cmd_id(tags[8]));
  kernel_.notify(1, std::vector<uint16_t>(100, 1));
  EXPECT_EQ(kernel_.waiting_tmrs(), 1);
  for (int i = 0; i < 8; ++i) ASSERT_EQ(ring_.next(command_, tmr_), Next::kCommand);
  for (uint16_t id = 1; id <= 8; ++id) ring_.complete({.cmd_id = id});
  ring_.publish();
  kernel_.doorbell();
  EXPECT_EQ(kernel_.waiting_tmrs() + kernel_.waiting(), 0);
  EXPECT_EQ(ring_.next(command_, tmr_), Next::kTmr);  // Before the commands that waited longer.
  EXPECT_EQ(ring_.next(command_, tmr_), Next::kCommand);
  EXPECT_EQ(command_.cmd_id, 1);

  FakeKernel small({.blocks = 2});
  small.queue({.cdb = kRead10, .data_in_bytes = 8192});
  small.queue({.cdb = kRead10, .data_in_bytes = 1});
  small.queue({.cdb = kTestUnitReady});  // Needs no block, but nothing overtakes.
  EXPECT_EQ(small.on_ring(), 1);
  EXPECT_EQ(small.waiting(), 2);
}

TEST_F(FakeKernelTest, WritesToFreedMemoryAreFound) {
  kernel_.queue({.cdb = kRead10, .data_in_bytes = 512});
  ASSERT_EQ(ring_.next(command_, tmr_), Next::kCommand);
  const std::vector<iovec> late = command_.iov;
  ring_.complete({.cmd_id = 1});
  ring_.publish();
  kernel_.doorbell();
  EXPECT_THAT(kernel_.violations(), IsEmpty());
  EXPECT_EQ(kernel_.free_blocks(), 8);
  static_cast<uint8_t*>(late[0].iov_base)[3] = 0;
  EXPECT_THAT(kernel_.violations(), SizeIs(1));
}

TEST_F(FakeKernelTest, AShortAnswerLeaksStaleBytes) {
  const uint64_t tag = kernel_.queue({.cdb = kRead10, .data_in_bytes = 512});
  ASSERT_EQ(ring_.next(command_, tmr_), Next::kCommand);
  ring_.complete({.cmd_id = 1});
  ring_.publish();
  kernel_.doorbell();
  EXPECT_THAT(kernel_.take_result(tag)->data_in, AllOf(SizeIs(512), Each(0xa5)));
}

TEST_F(FakeKernelTest, AnExpiredIdStaysUntilItIsCompleted) {
  const uint64_t tag = kernel_.queue({.cdb = kRead10, .data_in_bytes = 512});
  kernel_.expire(tag);
  EXPECT_EQ(kernel_.take_result(tag)->how, FakeResult::How::kExpired);
  kernel_.abort(tag);
  ASSERT_EQ(ring_.next(command_, tmr_), Next::kCommand);
  ASSERT_EQ(ring_.next(command_, tmr_), Next::kTmr);
  EXPECT_THAT(tmr_.cmd_ids, IsEmpty());
  EXPECT_EQ(kernel_.free_blocks(), 7);
  ring_.complete({.cmd_id = 1});
  ring_.publish();
  kernel_.doorbell();
  EXPECT_FALSE(kernel_.take_result(tag));
  EXPECT_FALSE(kernel_.broken());
  EXPECT_EQ(kernel_.free_blocks(), 8);
}

TEST_F(FakeKernelTest, ResetAnswersBusyAndRunsWhatWaited) {
  std::vector<uint64_t> tags;
  for (int i = 0; i < 9; ++i) tags.push_back(kernel_.queue({.cdb = kTestUnitReady}));
  kernel_.reset_ring();
  EXPECT_EQ(kernel_.take_result(tags[0])->how, FakeResult::How::kReset);
  EXPECT_EQ(kernel_.cmd_id(tags[8]), 1);
}

TEST_F(FakeKernelTest, AbortOfAWaitingCommandNeverReachesTheRing) {
  std::vector<uint64_t> tags;
  for (int i = 0; i < 9; ++i) tags.push_back(kernel_.queue({.cdb = kTestUnitReady}));
  kernel_.abort(tags[8]);
  EXPECT_EQ(kernel_.take_result(tags[8])->how, FakeResult::How::kAborted);
  EXPECT_EQ(kernel_.waiting(), 0);
}

TEST_F(FakeKernelTest, EventsCountWakeUps) {
  const uint32_t before = kernel_.events();
  kernel_.queue({.cdb = kTestUnitReady});
  kernel_.notify(5, {});
  EXPECT_EQ(kernel_.events(), before + 2);
}

}  // namespace
}  // namespace tcmurbd::ring
