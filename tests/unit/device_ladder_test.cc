// SPDX-License-Identifier: Apache-2.0
// The abort ladder on a whole LUN: the effect of task management functions, deadlines and lost
// instances on commands in every state.
#include <gtest/gtest.h>

#include <cerrno>
#include <vector>

#include "tests/unit/device_fixture.h"

namespace tcmurbd::testing {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Expected kGood{};
constexpr Expected kBusy{.status = 0x08};
const Bytes kInquiry{0x12, 0, 0, 0, 36, 0};

FakeResult::How how(DeviceFixture& lun, uint64_t tag) {
  const auto result = lun.kernel.take_result(tag);
  EXPECT_TRUE(result) << "not answered";
  return result ? result->how : FakeResult::How::kReset;
}

void abort(DeviceFixture& lun, uint64_t tag) {
  lun.kernel.abort(tag);
  lun.run();
}

TEST(Ladder, AnAbortedWriteIsAnsweredAtOnceAndHoldsItsRange) {
  DeviceFixture lun;
  const uint64_t old = lun.write(0, Bytes(1024, 1));
  abort(lun, old);
  EXPECT_EQ(how(lun, old), FakeResult::How::kAborted);
  const uint64_t newer = lun.write(1, Bytes(512, 2));
  const uint64_t reader = lun.read(0, 1);
  const uint64_t elsewhere = lun.write(2, Bytes(512, 3));
  ASSERT_EQ(lun.image.pending.size(), 2u) << "only what does not touch the range may run";
  lun.finish(1);
  lun.expect(elsewhere, kGood);
  lun.finish(0);  // The aborted one is applied late,
  lun.finish_all();
  lun.expect(newer, kGood);
  EXPECT_EQ(lun.image.content[512], 2) << "and the newer one stays";
  EXPECT_EQ(lun.data_of(reader), Bytes(512, 1));
  EXPECT_TRUE(lun.device.idle());
}

TEST(Ladder, AnAbortedReadKeepsItsMemoryAndNothingElse) {
  DeviceFixture lun;
  const uint64_t read = lun.read(0, 8);
  const uint16_t id = *lun.kernel.cmd_id(read);
  abort(lun, read);
  EXPECT_EQ(how(lun, read), FakeResult::How::kAborted);
  EXPECT_EQ(lun.kernel.kept(), 1u);
  const uint64_t write = lun.write(0, Bytes(512, 1));
  EXPECT_NE(*lun.kernel.cmd_id(write), id) << "a kept id is not free";
  ASSERT_EQ(lun.image.pending.size(), 2u) << "an aborted read has no waiter";
  lun.finish(1);
  lun.expect(write, kGood);
  lun.finish(0);
  EXPECT_EQ(lun.kernel.kept(), 0u);
  EXPECT_TRUE(lun.device.idle());
  EXPECT_EQ(lun.kernel.violations(), std::vector<std::string>{});
}

TEST(Ladder, WithoutKeepBufAnAbandonedReadWritesIntoNobodysMemory) {
  DeviceFixture lun(2048, {.flags = 0x7});
  std::fill_n(lun.image.content.begin(), 512, uint8_t{0x5a});
  const uint64_t whole = lun.read(0, 1);
  lun.finish(0);
  EXPECT_EQ(lun.data_of(whole), Bytes(512, 0x5a));
  const uint64_t read = lun.read(0, 1);
  abort(lun, read);
  EXPECT_EQ(how(lun, read), FakeResult::How::kAborted);
  const uint64_t other = lun.read(8, 1);  // Gets the same memory.
  lun.finish(1);
  lun.finish(0);
  EXPECT_EQ(lun.data_of(other), Bytes(512, 0));
  EXPECT_EQ(lun.kernel.violations(), std::vector<std::string>{});
}

TEST(Ladder, WhatWaitsIsDroppedInEveryState) {
  DeviceFixture lun(1u << 20, {.ring_bytes = 1024 * 1024 - 128, .blocks = 4096});
  const uint64_t facts = lun.send({.cdb = kInquiry, .data_in_bytes = 36});
  ASSERT_TRUE(lun.effects.take_fetch(lun.device));
  abort(lun, facts);
  EXPECT_EQ(how(lun, facts), FakeResult::How::kAborted);
  const uint64_t asked_later = lun.send({.cdb = kInquiry, .data_in_bytes = 36});
  lun.device.on_target_facts({}, lun.now);
  lun.ring();
  EXPECT_TRUE(lun.outstanding(asked_later)) << "the fetch was for the one that is gone";
  EXPECT_TRUE(lun.effects.take_fetch(lun.device));
  lun.device.on_target_facts({}, lun.now);
  lun.ring();
  EXPECT_EQ(lun.data_of(asked_later).size(), 36u);

  std::vector<uint64_t> running;
  for (uint32_t i = 0; i < 255; ++i) running.push_back(lun.write(8 * i, Bytes(512, 1)));
  const uint64_t behind_range = lun.write(0, Bytes(512, 2));
  const uint64_t in_backlog = lun.write(1 << 19, Bytes(512, 2));
  ASSERT_EQ(lun.image.pending.size(), 255u);
  abort(lun, in_backlog);
  abort(lun, behind_range);
  EXPECT_EQ(how(lun, in_backlog), FakeResult::How::kAborted);
  EXPECT_EQ(how(lun, behind_range), FakeResult::How::kAborted);
  lun.finish_all();
  for (const uint64_t tag : running) lun.expect(tag, kGood);
  EXPECT_EQ(lun.image.content[0], 1);
  EXPECT_EQ(lun.image.content[(1 << 19) * 512], 0) << "it never touched the image";
  EXPECT_TRUE(lun.device.idle());
}

TEST(Ladder, ACommandThatWaitsForTheLockIsDropped) {
  DeviceFixture lun;
  lun.play_jobs = false;
  const uint64_t write = lun.write(0, Bytes(512, 1));
  EXPECT_EQ(lun.take_action(), lock::Action::kAcquire);
  abort(lun, write);
  EXPECT_EQ(how(lun, write), FakeResult::How::kAborted);
  lun.device.on_lock_event(lock::Outcome::kAcquired, lun.now);
  lun.ring();
  EXPECT_TRUE(lun.image.pending.empty());
  EXPECT_TRUE(lun.device.idle());
}

TEST(Ladder, AReadBehindAParkedWriteGoesOnWithoutIt) {
  DeviceFixture lun;
  lun.play_jobs = false;
  const uint64_t write = lun.write(0, Bytes(512, 1));
  const uint64_t read = lun.read(0, 1);
  EXPECT_TRUE(lun.image.pending.empty()) << "the read passed an overlapping write";
  abort(lun, write);
  ASSERT_EQ(lun.image.pending.size(), 1u);
  lun.finish(0);
  EXPECT_EQ(lun.data_of(read), Bytes(512, 0));
}

TEST(Ladder, AnAbortOfSomethingElseDoesNothing) {
  DeviceFixture lun;
  const uint64_t write = lun.write(0, Bytes(512, 1));
  const uint16_t id = *lun.kernel.cmd_id(write);
  lun.kernel.notify(1, {});
  lun.kernel.notify(1, {static_cast<uint16_t>(id + 1)});
  lun.run();
  EXPECT_TRUE(lun.outstanding(write));
  lun.finish(0);
  lun.expect(write, kGood);
  lun.kernel.notify(1, {id});  // Completed before.
  const uint64_t reused =
      lun.kernel.queue({.cdb = DeviceFixture::cdb10(0x2a, 4, 1), .data_out = Bytes(512, 2)});
  ASSERT_EQ(*lun.kernel.cmd_id(reused), id) << "the kernel reuses ids at once";
  lun.run();
  EXPECT_TRUE(lun.outstanding(reused)) << "the entry was before the command that has the id now";
  lun.finish(0);
  lun.expect(reused, kGood);
}

TEST(Ladder, AFlushDoesNotWaitForADetachedWrite) {
  DeviceFixture lun;
  const uint64_t old = lun.write(0, Bytes(512, 1));
  const uint64_t waiting = lun.send({.cdb = {0x35, 0, 0, 0, 0, 0, 0, 0, 0, 0}});
  EXPECT_TRUE(lun.outstanding(waiting));
  abort(lun, old);
  lun.expect(waiting, kGood);
  lun.expect(lun.send({.cdb = {0x35, 0, 0, 0, 0, 0, 0, 0, 0, 0}}), kGood);
}

TEST(Ladder, ThousandsOfAbortsLeaveNothingBehind) {
  DeviceFixture lun;
  for (int round = 0; round < 5000; ++round) {
    const uint64_t tag = round % 2 ? lun.write(8, Bytes(512, 1)) : lun.read(8, 1);
    abort(lun, tag);
    ASSERT_EQ(how(lun, tag), FakeResult::How::kAborted);
    if (round % 16 == 15) lun.finish_all();
  }
  lun.finish_all();
  EXPECT_TRUE(lun.device.idle());
  EXPECT_EQ(lun.device.detached(), 0u);
  EXPECT_EQ(lun.kernel.kept(), 0u);
  EXPECT_EQ(lun.device.counters().aborts, 5000u);
}

TEST(Ladder, ACommandEndsAtItsDeadlineWithoutATaskManagement) {
  DeviceFixture lun(2048, {}, {.deadline = seconds(15)});
  const uint64_t read = lun.read(0, 1);
  const uint64_t write = lun.write(8, Bytes(512, 1));
  const uint64_t waits = lun.write(8, Bytes(512, 2));
  lun.wait(milliseconds(14900));
  EXPECT_TRUE(lun.outstanding(read));
  lun.wait(milliseconds(200));
  lun.expect(read, kBusy);
  lun.expect(write, kBusy);
  lun.expect(waits, kBusy);
  EXPECT_EQ(lun.device.counters().deadlines, 3u);
  EXPECT_EQ(lun.device.counters().aborts, 0u);
  EXPECT_EQ(lun.kernel.kept(), 1u);
  lun.finish_all();
  EXPECT_EQ(lun.image.content[8 * 512], 1) << "the one that waited never touched the image";
  EXPECT_TRUE(lun.device.idle());
}

TEST(Ladder, AHangingDetachedWriteIsFencedAndANewInstanceServes) {
  DeviceFixture lun;
  FakeImage fresh(2048 * 512);
  const uint64_t old = lun.write(0, Bytes(512, 1));
  const uint64_t live = lun.write(16, Bytes(512, 1));
  const uint64_t reading = lun.read(64, 1);
  abort(lun, old);
  lun.wait(milliseconds(4900));
  EXPECT_EQ(lun.take_action(), lock::Action::kNone);
  const uint64_t waits = lun.write(0, Bytes(512, 2));
  lun.wait(milliseconds(200));
  ASSERT_EQ(lun.take_action(), lock::Action::kFence);
  const uint64_t late = lun.read(99, 1);
  EXPECT_EQ(lun.image.pending.size(), 3u) << "nothing new goes to an instance that is being fenced";
  lun.device.on_lock_event(lock::Outcome::kFenced, lun.now);
  lun.ring();
  ASSERT_EQ(lun.take_action(), lock::Action::kReopen);
  lun.expect(live, kBusy);
  lun.expect(reading, kBusy);
  EXPECT_TRUE(lun.outstanding(waits));
  lun.device.on_reopened(fresh, lun.now);  // And the lock is acquired for `waits`.
  lun.ring();
  ASSERT_EQ(fresh.pending.size(), 1u) << "the range is held: somebody may take the fence away";
  lun.device.on_done(fresh.finish(0), lun.now);
  lun.ring();
  EXPECT_EQ(lun.data_of(late), Bytes(512, 0));
  EXPECT_EQ(lun.kernel.kept(), 1u);
  while (!lun.image.pending.empty()) lun.finish(0, -ESHUTDOWN);
  ASSERT_EQ(fresh.pending.size(), 1u) << "the old op has ended: the range is free";
  lun.device.on_done(fresh.finish(0), lun.now);
  lun.ring();
  lun.expect(waits, kGood);
  EXPECT_TRUE(lun.device.idle());
  EXPECT_EQ(lun.kernel.kept(), 0u);
  EXPECT_EQ(lun.device.lock_state(), lock::State::kOwned);
  EXPECT_EQ(lun.kernel.violations(), std::vector<std::string>{});
}

TEST(Ladder, AnUnknownOutcomeHoldsTheRangeUntilItsInstanceIsClosed) {
  DeviceFixture lun;
  FakeImage fresh(2048 * 512);
  const uint64_t write = lun.write(0, Bytes(512, 1));
  lun.finish(0, -ETIMEDOUT);
  lun.expect(write, kBusy);
  ASSERT_EQ(lun.take_action(), lock::Action::kFence) << "it may still be applied";
  const uint64_t newer = lun.write(0, Bytes(512, 2));
  lun.device.on_lock_event(lock::Outcome::kFenceFailed, lun.now);
  lun.ring();
  EXPECT_EQ(lun.device.lock_state(), lock::State::kStuck);
  EXPECT_TRUE(lun.image.pending.empty()) << "served over the range of a write that may still land";
  const uint64_t elsewhere = lun.write(8, Bytes(512, 3));
  lun.finish(0);
  lun.expect(elsewhere, kGood);
  lun.wait(milliseconds(5100));
  ASSERT_EQ(lun.take_action(), lock::Action::kFence) << "not tried again";
  lun.device.on_lock_event(lock::Outcome::kFenced, lun.now);
  lun.ring();
  ASSERT_EQ(lun.take_action(), lock::Action::kReopen);
  lun.device.on_reopened(fresh, lun.now);
  lun.ring();
  lun.expect(newer, kBusy);  // It waited for seconds while the lock was given up.
  const uint64_t again = lun.write(0, Bytes(512, 2));
  EXPECT_EQ(fresh.pending.size(), 0u) << "an OSD may still execute it, if the fence is taken away";
  lun.device.on_instance_closed(2, lun.now);
  lun.ring();
  EXPECT_EQ(fresh.pending.size(), 0u) << "that was another";
  lun.device.on_instance_closed(1, lun.now);
  lun.ring();
  ASSERT_EQ(fresh.pending.size(), 1u);
  lun.device.on_done(fresh.finish(0), lun.now);
  lun.ring();
  lun.expect(again, kGood);
  EXPECT_TRUE(lun.device.idle());
}

// A task's slot is used again: what is known of an instance that is closed says nothing about the
// next one.
TEST(Ladder, ASecondUnknownOutcomeHoldsTheRangeAsWell) {
  DeviceFixture lun;
  FakeImage second(2048 * 512);
  FakeImage third(2048 * 512);
  const auto time_out = [&lun](FakeImage& image, FakeImage& fresh) {
    const uint64_t write = lun.write(0, Bytes(512, 1));
    lun.device.on_done(image.finish(0, -ETIMEDOUT), lun.now);
    lun.ring();
    lun.expect(write, kBusy);
    ASSERT_EQ(lun.take_action(), lock::Action::kFence);
    lun.device.on_lock_event(lock::Outcome::kFenced, lun.now);
    lun.ring();
    ASSERT_EQ(lun.take_action(), lock::Action::kReopen);
    lun.device.on_reopened(fresh, lun.now);
    lun.ring();
  };
  time_out(lun.image, second);
  lun.device.on_instance_closed(1, lun.now);
  EXPECT_TRUE(lun.device.idle());
  time_out(second, third);
  const uint64_t newer = lun.write(0, Bytes(512, 2));
  EXPECT_EQ(third.pending.size(), 0u) << "the one before may still land";
  lun.device.on_instance_closed(2, lun.now);
  lun.ring();
  ASSERT_EQ(third.pending.size(), 1u);
  lun.device.on_done(third.finish(0), lun.now);
  lun.ring();
  lun.expect(newer, kGood);
  EXPECT_TRUE(lun.device.idle());
}

TEST(Ladder, AnOpOfAnInstanceThatIsGivenUpDoesNotBeginItsNextPart) {
  DeviceFixture lun;
  const uint64_t timed_out = lun.write(0, Bytes(512, 1));
  const uint64_t running = lun.write(8, Bytes(512, 2));
  const OpToken token = lun.image.pending[1].token;
  lun.finish(0, -ETIMEDOUT);
  lun.expect(timed_out, kBusy);
  ASSERT_EQ(lun.take_action(), lock::Action::kFence);
  EXPECT_EQ(lun.image.given_up, std::vector<OpToken>{}) << "the fence may fail";
  lun.device.on_lock_event(lock::Outcome::kFenced, lun.now);
  lun.ring();
  lun.expect(running, kBusy);
  EXPECT_EQ(lun.image.given_up, std::vector<OpToken>{token});
}

TEST(Ladder, ARefusedOpOpensAnewWithoutAFenceOfItsOwn) {
  DeviceFixture lun;
  FakeImage fresh(2048 * 512);
  const uint64_t read = lun.read(0, 1);
  const uint64_t write = lun.write(8, Bytes(512, 1));
  lun.finish(1, -ESHUTDOWN);
  lun.expect(write, kBusy);
  lun.expect(read, kBusy);
  ASSERT_EQ(lun.take_action(), lock::Action::kReopen);
  EXPECT_EQ(lun.device.counters().lock_lost, 1u);
  lun.device.on_lock_event(lock::Outcome::kReopenFailed, lun.now);
  lun.expect(lun.read(0, 1), kBusy);
  lun.wait(milliseconds(5100));
  ASSERT_EQ(lun.take_action(), lock::Action::kReopen) << "not tried again";
  lun.device.on_reopened(fresh, lun.now);
  lun.ring();
  EXPECT_EQ(lun.device.lock_state(), lock::State::kUnowned);
  lun.finish(0, -ESHUTDOWN);  // Of the old instance: no news.
  EXPECT_EQ(lun.device.lock_state(), lock::State::kUnowned);
  EXPECT_TRUE(lun.device.idle());
}

TEST(Ladder, AWriteWithoutTheLockIsRepeatedNotFailed) {
  DeviceFixture lun;
  const uint64_t write = lun.write(0, Bytes(512, 1));
  lun.finish(0, -EROFS);
  lun.expect(write, kBusy);
  ASSERT_EQ(lun.reports.size(), 1u);
  EXPECT_EQ(lun.reports[0].away, AwayCause::kLockLost);
  EXPECT_EQ(lun.take_action(), lock::Action::kFence)
      << "broken by a client that did not blocklist us";
}

TEST(Ladder, ALunResetGivesTheLockUp) {
  DeviceFixture lun;
  lun.play_jobs = false;
  const uint64_t first = lun.write(0, Bytes(512, 1));
  ASSERT_EQ(lun.take_action(), lock::Action::kAcquire);
  lun.device.on_lock_event(lock::Outcome::kAcquired, lun.now);
  lun.finish(0);
  lun.expect(first, kGood);
  lun.kernel.lun_reset();
  lun.run();
  ASSERT_EQ(lun.take_action(), lock::Action::kRelease) << "nothing is under way";
  lun.device.on_lock_event(lock::Outcome::kReleased, lun.now);
  const uint64_t hangs = lun.write(0, Bytes(512, 2));
  ASSERT_EQ(lun.take_action(), lock::Action::kAcquire);
  lun.device.on_lock_event(lock::Outcome::kAcquired, lun.now);
  lun.ring();
  lun.kernel.lun_reset();
  lun.run();
  EXPECT_EQ(how(lun, hangs), FakeResult::How::kAborted);
  EXPECT_EQ(lun.take_action(), lock::Action::kNone);
  lun.finish(0);  // In time.
  EXPECT_EQ(lun.take_action(), lock::Action::kRelease);
  lun.device.on_lock_event(lock::Outcome::kReleased, lun.now);
  lun.ring();
  EXPECT_EQ(lun.device.lock_state(), lock::State::kUnowned);
}

TEST(Ladder, ALunResetFencesWhatDoesNotEnd) {
  DeviceFixture lun;
  const uint64_t hangs = lun.write(0, Bytes(512, 2));
  lun.kernel.lun_reset();
  lun.run();
  EXPECT_EQ(how(lun, hangs), FakeResult::How::kAborted);
  lun.wait(milliseconds(200));
  EXPECT_EQ(lun.take_action(), lock::Action::kNone);
  lun.wait(milliseconds(100));
  EXPECT_EQ(lun.take_action(), lock::Action::kFence);
}

TEST(Ladder, HungReadsAreFencedWhenTheyUseTheInstanceUp) {
  DeviceFixture lun(1u << 20, {.ring_bytes = 1024 * 1024 - 128, .blocks = 4096});
  for (uint32_t i = 0; i < 256; ++i) abort(lun, lun.read(8 * i, 1));
  lun.wait(seconds(6));
  EXPECT_EQ(lun.take_action(), lock::Action::kNone) << "no peer is harmed";
  const uint64_t starves = lun.read(1 << 19, 1);
  lun.wait(milliseconds(100));
  EXPECT_EQ(lun.take_action(), lock::Action::kFence);
  EXPECT_TRUE(lun.outstanding(starves));
}

TEST(Ladder, ReportsTellTheWholeStory) {
  DeviceFixture lun;
  const uint64_t write = lun.write(3, Bytes(512, 1));
  lun.wait(milliseconds(100));
  abort(lun, write);
  ASSERT_EQ(lun.reports.size(), 1u);
  EXPECT_EQ(lun.reports[0].kind, Report::Kind::kAborted);
  EXPECT_EQ(lun.reports[0].tmr_type, 1);
  EXPECT_EQ(lun.reports[0].command, "WRITE(10)");
  EXPECT_EQ(lun.reports[0].range, (ByteRange{3 * 512, 512}));
  EXPECT_EQ(lun.reports[0].queued, milliseconds(100));
  lun.wait(milliseconds(1100));
  ASSERT_EQ(lun.reports.size(), 2u);
  EXPECT_EQ(lun.reports[1].kind, Report::Kind::kHangs);
  lun.finish(0, -EIO);
  ASSERT_EQ(lun.reports.size(), 3u);
  EXPECT_EQ(lun.reports[2].kind, Report::Kind::kEnded);
  EXPECT_EQ(lun.reports[2].result, -EIO);
}

}  // namespace
}  // namespace tcmurbd::testing
