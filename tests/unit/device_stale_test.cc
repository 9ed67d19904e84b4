// SPDX-License-Identifier: Apache-2.0
// Changes that the kernel or a host may have given up while they waited: none of them is started.
#include <gtest/gtest.h>

#include <cerrno>
#include <vector>

#include "tests/unit/device_fixture.h"

namespace tcmurbd::testing {
namespace {

using lock::Action;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Expected kGood{};
constexpr Expected kBusy{.status = 0x08};

struct StaleTest : ::testing::Test {
  // The gateway owns the lock and has written once.
  void own() {
    const uint64_t first = lun.write(100, Bytes(512, 9));
    lun.finish_all();
    lun.expect(first, kGood);
    ASSERT_EQ(lun.device.lock_state(), lock::State::kOwned);
  }
  void away(AwayCause cause = AwayCause::kReactorGap) {
    lun.device.on_away(cause, seconds(40), lun.now);
    lun.ring();
  }
  void acquired() {
    ASSERT_EQ(lun.take_action(), Action::kAcquire);
    lun.device.on_lock_event(lock::Outcome::kAcquired, lun.now);
    lun.ring();
  }

  DeviceFixture lun;
};

// With any cmd_time_out, and without a deadline: the daemon answers before the kernel does, with a
// margin of the longest gap that it does not detect.
TEST(Stale, AWriteIsAnsweredBeforeTheKernelAnswersIt) {
  for (const int limit : {1, 2, 4, 10, 30, 120}) {
    DeviceFixture lun(2048, {}, {.deadline = Duration{}, .kernel_limit = seconds(limit)});
    lun.play_jobs = false;
    const uint64_t write = lun.write(0, Bytes(512, 1));
    ASSERT_EQ(lun.take_action(), Action::kAcquire);
    // The gate does not let commands wait that long; without that rule, only the deadline applies.
    lun.wait(seconds(limit) - lun.device.away_limit() - milliseconds(60));
    lun.expect(write, kBusy);
    lun.device.on_lock_event(lock::Outcome::kAcquired, lun.now);
    lun.ring();
    EXPECT_TRUE(lun.image.pending.empty()) << limit;
  }
}

TEST(Stale, TheKernelsLimitMayChange) {
  DeviceFixture lun(2048, {}, {.deadline = Duration{}});
  const uint64_t old = lun.write(0, Bytes(512, 1));
  const uint64_t waits = lun.write(0, Bytes(512, 2));
  lun.wait(seconds(100));
  EXPECT_TRUE(lun.outstanding(old) && lun.outstanding(waits)) << "0: the kernel never ends them";
  lun.device.on_kernel_limit(seconds(30));
  lun.wait(Device::kTick);
  lun.expect(old, kBusy);
  lun.expect(waits, kBusy);
}

TEST_F(StaleTest, WhatWaitedWhileThisGatewayWasAwayIsBusy) {
  own();
  const uint64_t running = lun.write(0, Bytes(512, 1));
  const uint64_t waits = lun.write(0, Bytes(512, 2));
  const uint64_t reader = lun.read(0, 1);
  const uint64_t on_the_ring =
      lun.kernel.queue({.cdb = lun.cdb10(0x2a, 8, 1), .data_out = Bytes(512, 3)});
  away();
  lun.expect(waits, kBusy);
  lun.run();
  lun.expect(on_the_ring, kBusy);
  ASSERT_EQ(lun.image.pending.size(), 1u);
  lun.finish(0);
  lun.expect(running, kGood);
  lun.finish_all();
  EXPECT_EQ(lun.data_of(reader), Bytes(512, 1)) << "reads change nothing: they are served";
  EXPECT_EQ(lun.image.content[8 * 512], 0);
  EXPECT_EQ(lun.device.counters().away, 1u);
  EXPECT_EQ(lun.device.counters().stale, 2u);
}

TEST_F(StaleTest, WhatArrivesWithinSecondsIsBusyAndThenServed) {
  own();
  away();
  for (int i = 0; i < 49; ++i) {
    lun.wait(milliseconds(100));
    lun.expect(lun.write(0, Bytes(512, 1)), kBusy);
  }
  lun.wait(milliseconds(100));
  const uint64_t write = lun.write(0, Bytes(512, 2));
  lun.finish_all();
  lun.expect(write, kGood);
  EXPECT_EQ(lun.image.content[0], 2);
}

TEST_F(StaleTest, TheClusterIsAskedForTheLockAgain) {
  own();
  lun.play_jobs = false;
  away(AwayCause::kWatchLost);
  ASSERT_EQ(lun.take_action(), Action::kAcquire);
  EXPECT_EQ(lun.device.lock_state(), lock::State::kAcquiring);
  lun.wait(milliseconds(4980));
  lun.device.on_lock_event(lock::Outcome::kAcquired, lun.now);
  lun.ring();
  lun.wait(milliseconds(20));
  const uint64_t write = lun.write(0, Bytes(512, 1));
  lun.finish_all();
  lun.expect(write, kGood);
}

TEST_F(StaleTest, AGatewayWithoutTheLockDoesNotAskForItOnBehalfOfTheDead) {
  lun.play_jobs = false;
  away();
  lun.expect(lun.write(0, Bytes(512, 1)), kBusy);
  EXPECT_EQ(lun.take_action(), Action::kNone);
}

TEST_F(StaleTest, AnAwayGatewaySaysSoInOneLine) {
  own();
  const uint64_t running = lun.write(0, Bytes(512, 1));
  lun.write(0, Bytes(512, 2));
  lun.write(0, Bytes(512, 3));
  lun.reports.clear();
  away(AwayCause::kControlGap);
  ASSERT_EQ(lun.reports.size(), 1u);
  EXPECT_EQ(lun.reports[0].kind, Report::Kind::kAway);
  EXPECT_EQ(lun.reports[0].away, AwayCause::kControlGap);
  EXPECT_EQ(lun.reports[0].gap, seconds(40));
  EXPECT_EQ(lun.reports[0].refused, 2u);
  lun.finish_all();
  lun.expect(running, kGood);
}

// A lost session sends no task management: its commands wait here while its host writes through the
// other gateway.
TEST_F(StaleTest, WhatWaitedForSecondsWhileTheLockChangedHandsDoesNotBegin) {
  lun.play_jobs = false;
  const uint64_t old = lun.write(0, Bytes(512, 1));
  lun.wait(milliseconds(1100));
  const uint64_t young = lun.write(8, Bytes(512, 2));
  lun.wait(milliseconds(1000));
  acquired();
  lun.expect(old, kBusy);
  ASSERT_EQ(lun.image.pending.size(), 1u);
  lun.finish_all();
  lun.expect(young, kGood);
  EXPECT_EQ(lun.image.content[0], 0);
}

TEST_F(StaleTest, OfALostInstanceWhatWaitsAndWhatComesIsBusy) {
  own();
  FakeImage fresh(2048 * 512);
  const uint64_t running = lun.write(0, Bytes(512, 1));
  const uint64_t waits = lun.write(0, Bytes(512, 2));
  lun.reports.clear();
  lun.finish(0, -ESHUTDOWN);
  ASSERT_FALSE(lun.reports.empty());
  EXPECT_EQ(lun.reports[0].kind, Report::Kind::kAway);
  EXPECT_EQ(lun.reports[0].away, AwayCause::kBlocklisted);
  lun.expect(running, kBusy);
  lun.expect(waits, kBusy);
  lun.expect(lun.write(16, Bytes(512, 3)), kBusy);
  lun.expect(lun.read(16, 1), kBusy);
  ASSERT_EQ(lun.take_action(), Action::kReopen);
  lun.device.on_reopened(fresh, lun.now);
  lun.ring();
  lun.expect(lun.write(16, Bytes(512, 4)), kBusy);  // The new owner may have written.
  const uint64_t read = lun.read(16, 1);
  lun.device.on_done(fresh.finish(0), lun.now);
  lun.ring();
  EXPECT_EQ(lun.data_of(read), Bytes(512, 0));
  lun.wait(seconds(5));
  const uint64_t write = lun.write(16, Bytes(512, 5));
  ASSERT_EQ(fresh.pending.size(), 1u);
  lun.device.on_done(fresh.finish(0), lun.now);
  lun.ring();
  lun.expect(write, kGood);
}

TEST_F(StaleTest, ABlocklistedInstanceSaysSoAlsoWithoutTheLock) {
  lun.reports.clear();
  lun.device.on_blocklisted(lun.now);
  lun.ring();
  ASSERT_EQ(lun.reports.size(), 1u);
  EXPECT_EQ(lun.reports[0].kind, Report::Kind::kAway);
  EXPECT_EQ(lun.reports[0].away, AwayCause::kBlocklisted);
}

TEST_F(StaleTest, OfOnesOwnFenceWhatWaitsGoesOn) {
  own();
  FakeImage fresh(2048 * 512);
  const uint64_t hangs = lun.write(0, Bytes(512, 1));
  lun.finish(0, -ETIMEDOUT);
  lun.expect(hangs, kBusy);
  ASSERT_EQ(lun.take_action(), Action::kFence);
  const uint64_t waits = lun.write(8, Bytes(512, 2));
  lun.device.on_lock_event(lock::Outcome::kFenced, lun.now);
  lun.ring();
  ASSERT_EQ(lun.take_action(), Action::kReopen);
  lun.wait(milliseconds(1500));
  lun.device.on_reopened(fresh, lun.now);
  lun.ring();
  ASSERT_EQ(fresh.pending.size(), 1u);
  lun.device.on_done(fresh.finish(0), lun.now);
  lun.ring();
  lun.expect(waits, kGood);
  EXPECT_EQ(lun.device.counters().away, 0u);
}

TEST_F(StaleTest, PiecesOfCopiesAreHeldToTheSame) {
  own();
  std::vector<uint8_t> data(512, 1);
  const copy::Op op{
      .token = 1, .disk = 0, .kind = OpKind::kWrite, .range = {0, 512}, .data = data, .memory = {}};
  away();
  lun.device.on_copy_op(7, op, lun.now);
  const auto done = lun.effects.take<CopyOpDone>(lun.device);
  ASSERT_EQ(done.size(), 1u);
  EXPECT_EQ(done[0].result.status, scsi::ScsiStatus::kBusy);
  EXPECT_TRUE(lun.image.pending.empty());
}

TEST_F(StaleTest, WhatIsAnsweredWithoutItsEndDoesNotBeginItsNextPart) {
  own();
  const uint64_t write = lun.write(0, Bytes(512, 1));
  const OpToken token = lun.image.pending[0].token;
  lun.kernel.abort(write);
  lun.run();
  EXPECT_EQ(lun.image.given_up, std::vector<OpToken>{token});
  lun.finish(0, -ECANCELED);
  EXPECT_EQ(lun.device.counters().image_errors, 0u);
  EXPECT_TRUE(lun.device.idle());
}

}  // namespace
}  // namespace tcmurbd::testing
