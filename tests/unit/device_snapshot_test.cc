// SPDX-License-Identifier: Apache-2.0
// What a Device tells an operator: its commands and their stages, and the slow ones.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>

#include "tests/unit/device_fixture.h"

namespace tcmurbd {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using task::LadderEvent;
using task::TaskState;
using testing::Bytes;
using testing::DeviceFixture;

constexpr uint8_t kBusyStatus = 0x08;
constexpr uint8_t kTaskAbortedStatus = 0x40;

std::vector<std::string> stages(const DeviceSnapshot& snapshot) {
  std::vector<std::string> all;
  for (const OpSnapshot& op : snapshot.ops) all.emplace_back(op.stage);
  return all;
}

class SnapshotTest : public ::testing::Test {
 protected:
  DeviceSnapshot look(size_t ops_max = 1024) const { return f.device.snapshot(f.now, ops_max); }
  SlowReport slow() const { return f.device.slow(f.now); }
  void abort(uint64_t tag) {
    f.kernel.abort(tag);
    f.run();
  }
  DeviceFixture f;
};

TEST_F(SnapshotTest, NothingIsOpen) {
  const DeviceSnapshot snapshot = look();
  EXPECT_TRUE(snapshot.ops.empty());
  EXPECT_EQ(snapshot.more, 0U);
  EXPECT_EQ(snapshot.gate.state, lock::State::kUnowned);
  EXPECT_EQ(f.device.load(f.now).in_flight, 0U);
  EXPECT_LT(f.device.load(f.now).oldest, Duration{});
}

TEST_F(SnapshotTest, ACommandWaitsForTheLock) {
  f.play_jobs = false;
  f.write(8, Bytes(1024));
  f.wait(milliseconds(500));
  const DeviceSnapshot snapshot = look();
  ASSERT_EQ(snapshot.ops.size(), 1U);
  const OpSnapshot& op = snapshot.ops[0];
  EXPECT_EQ(op.command, "WRITE(10)");
  EXPECT_EQ(op.stage, "waits-for-lock");
  EXPECT_EQ(op.range, (ByteRange{4096, 1024}));
  EXPECT_TRUE(op.changes);
  EXPECT_EQ(op.queued, milliseconds(500));
  EXPECT_LT(op.submitted, Duration{});
  EXPECT_EQ(op.deadline_in, seconds(15) - milliseconds(500));
  EXPECT_EQ(snapshot.gate.state, lock::State::kAcquiring);
  EXPECT_EQ(snapshot.gate.busy_in, seconds(5) - milliseconds(500));
  EXPECT_EQ(snapshot.waiting_changes, 1U);
}

TEST_F(SnapshotTest, OneWaitsForTheRangeOfAnother) {
  f.write(8, Bytes(512));
  f.now += milliseconds(10);
  f.read(8, 1);
  f.write(100, Bytes(512));
  EXPECT_THAT(stages(look()), ::testing::ElementsAre("in-librbd", "waits-for-range", "in-librbd"));
  EXPECT_EQ(look().ops[0].instance, 1U);
  EXPECT_EQ(look().ops[1].instance, 0U);
}

TEST_F(SnapshotTest, TheOldestFit) {
  for (uint32_t i = 0; i < 5; ++i) {
    f.write(8 * i, Bytes(512));
    f.now += milliseconds(10);
  }
  const DeviceSnapshot snapshot = look(2);
  EXPECT_EQ(snapshot.more, 3U);
  ASSERT_EQ(snapshot.ops.size(), 2U);
  EXPECT_EQ(snapshot.ops[0].queued, milliseconds(50));
  EXPECT_LT(snapshot.ops[0].sequence, snapshot.ops[1].sequence);
}

TEST_F(SnapshotTest, AnAbortedWriteIsDetached) {
  const uint64_t tag = f.write(8, Bytes(512));
  f.wait(seconds(2));
  EXPECT_EQ(f.device.load(f.now).hung, 1U);
  abort(tag);
  f.wait(seconds(1));
  const DeviceSnapshot snapshot = look();
  ASSERT_EQ(snapshot.ops.size(), 1U);
  EXPECT_EQ(snapshot.ops[0].stage, "detached");
  EXPECT_EQ(snapshot.ops[0].ended_by, LadderEvent::kAborted);
  EXPECT_EQ(snapshot.ops[0].answered, seconds(1));
  EXPECT_EQ(snapshot.ops[0].submitted, seconds(3));
  EXPECT_FALSE(snapshot.ops[0].deadline_in.has_value());
  EXPECT_EQ(snapshot.gate.fence_in, seconds(4));
  EXPECT_EQ(snapshot.detached_changes, 1U);
  const DeviceLoad load = f.device.load(f.now);
  EXPECT_EQ(load.in_flight, 0U);
  EXPECT_EQ(load.hung, 1U);
  EXPECT_EQ(load.oldest, seconds(3));
}

TEST_F(SnapshotTest, AFenceGivesItsOpsUp) {
  f.write(8, Bytes(512));
  f.wait(seconds(20));
  ASSERT_EQ(f.take_action(), lock::Action::kFence);
  f.write(100, Bytes(512));
  EXPECT_EQ(look().gate.state, lock::State::kFencing);
  f.device.on_lock_event(lock::Outcome::kFenced, f.now);
  f.ring();
  const DeviceSnapshot snapshot = look();
  EXPECT_THAT(stages(snapshot), ::testing::ElementsAre("given-up", "waits-for-lock"));
  EXPECT_EQ(snapshot.ops[0].ended_by, LadderEvent::kDeadline);
  EXPECT_EQ(snapshot.fences, 1U);
  EXPECT_EQ(snapshot.gate.state, lock::State::kReopening);
}

TEST_F(SnapshotTest, AWaitForQosLimitsHasItsName) {
  f.device.on_rate_limits({.iops = 10}, f.now);
  for (uint32_t i = 0; i < 4; ++i) f.read(8 * i, 1);
  EXPECT_THAT(stages(look()), ::testing::Contains("waits-for-rate"));
  EXPECT_THAT(stages(look()), ::testing::Not(::testing::Contains("waits-for-room")));
}

TEST_F(SnapshotTest, FastCommandsAreNotSlow) {
  f.write(8, Bytes(512));
  f.now += milliseconds(999);
  f.finish_all();
  EXPECT_EQ(slow().total, 0U);
  EXPECT_EQ(slow().slow_after, seconds(1));
}

TEST_F(SnapshotTest, ASlowOneIsKeptWithItsStages) {
  const TimePoint begin = f.now;
  f.play_jobs = false;
  f.write(8, Bytes(512));
  f.now += seconds(1);
  ASSERT_EQ(f.take_action(), lock::Action::kAcquire);
  f.device.on_lock_event(lock::Outcome::kAcquired, f.now);
  f.now += seconds(2);
  f.finish(0);
  const SlowReport report = slow();
  ASSERT_EQ(report.ops.size(), 1U);
  const SlowOp& op = report.ops[0];
  EXPECT_EQ(op.command, "WRITE(10)");
  EXPECT_EQ(op.range, (ByteRange{4096, 512}));
  EXPECT_EQ(op.queued, begin);
  EXPECT_EQ(op.submitted, begin + seconds(1));
  EXPECT_EQ(op.answered, begin + seconds(3));
  EXPECT_EQ(op.ended, begin + seconds(3));
  EXPECT_FALSE(op.ended_by.has_value());
  EXPECT_EQ(op.scsi_status, 0);
}

TEST_F(SnapshotTest, ADetachedOneIsKeptWhenItHasEnded) {
  const TimePoint begin = f.now;
  const uint64_t tag = f.write(8, Bytes(512));
  f.wait(seconds(2));
  abort(tag);
  f.wait(seconds(1));
  EXPECT_EQ(slow().total, 0U);
  f.finish(0, -EIO);
  ASSERT_EQ(slow().ops.size(), 1U);
  const SlowOp op = slow().ops[0];
  EXPECT_EQ(op.answered, begin + seconds(2));
  EXPECT_EQ(op.ended, begin + seconds(3));
  EXPECT_EQ(op.ended_by, LadderEvent::kAborted);
  EXPECT_EQ(op.scsi_status, kTaskAbortedStatus);
  EXPECT_EQ(op.error, -EIO);
}

TEST_F(SnapshotTest, OneThatNeverBeganIsKeptToo) {
  f.play_jobs = false;
  f.write(8, Bytes(512));
  f.wait(seconds(16));
  ASSERT_EQ(slow().ops.size(), 1U);
  EXPECT_EQ(slow().ops[0].submitted, TimePoint{});
  EXPECT_EQ(slow().ops[0].scsi_status, kBusyStatus);
}

TEST_F(SnapshotTest, TheNewestHundredAreKept) {
  f.device.set_slow_after(milliseconds(10));
  for (uint32_t i = 0; i < SlowLog::kMax + 20; ++i) {
    f.read(i, 1);
    f.now += milliseconds(10);
    f.finish_all();
  }
  const SlowReport report = slow();
  EXPECT_EQ(report.total, SlowLog::kMax + 20);
  ASSERT_EQ(report.ops.size(), SlowLog::kMax);
  EXPECT_EQ(report.ops.front().range.offset, 512 * (SlowLog::kMax + 19));
  EXPECT_EQ(report.ops.back().range.offset, 512U * 20);
}

// A task's slot is used again: nothing of the earlier command may show.
TEST_F(SnapshotTest, ASlotIsClean) {
  abort(f.write(8, Bytes(512)));
  f.finish_all();
  f.read(8, 1);
  EXPECT_FALSE(look().ops[0].ended_by.has_value());
}

TEST_F(SnapshotTest, AnOperatorHasTheLockReleased) {
  f.write(8, Bytes(512));
  f.finish_all();
  f.device.on_operator_asks(7, f.now);
  f.ring();
  EXPECT_EQ(f.device.lock_state(), lock::State::kUnowned);
  EXPECT_THAT(f.replies, ::testing::ElementsAre(lock::PeerReply{7, lock::PeerAnswer::kReleased}));
  f.write(8, Bytes(512));
  EXPECT_EQ(f.device.lock_state(), lock::State::kOwned);
}

}  // namespace
}  // namespace tcmurbd
