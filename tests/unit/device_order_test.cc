// SPDX-License-Identifier: Apache-2.0
// The order of commands while some of them wait: for the lock, for room, for the image's QoS
// limits.
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
const Bytes kSynchronizeCache{0x35, 0, 0, 0, 0, 0, 0, 0, 0, 0};

void acquired(DeviceFixture& lun) {
  ASSERT_EQ(lun.take_action(), Action::kAcquire);
  lun.device.on_lock_event(lock::Outcome::kAcquired, lun.now);
  lun.ring();
}

TEST(Order, AReadDoesNotPassAWriteThatIsPulledBackAtTheGate) {
  DeviceFixture lun;
  lun.play_jobs = false;
  const uint64_t first = lun.write(0, Bytes(512, 1));
  acquired(lun);
  const uint64_t second = lun.write(0, Bytes(512, 2));
  const uint64_t reader = lun.read(0, 1);
  const uint64_t flush = lun.send({.cdb = kSynchronizeCache});
  lun.wait(milliseconds(300));
  lun.device.on_peer_asks(1, lun.now);  // The gate closes.
  lun.ring();
  lun.finish(0);
  lun.expect(first, kGood);
  ASSERT_EQ(lun.take_action(), Action::kRelease);
  lun.device.on_lock_event(lock::Outcome::kReleased, lun.now);  // It opens for reads.
  lun.ring();
  EXPECT_TRUE(lun.image.pending.empty());
  EXPECT_TRUE(lun.outstanding(flush));
  lun.wait(milliseconds(300));
  acquired(lun);
  ASSERT_EQ(lun.image.pending.size(), 1u);
  lun.finish(0);
  lun.expect(second, kGood);
  lun.expect(flush, kGood);
  lun.finish(0);
  EXPECT_EQ(lun.data_of(reader), Bytes(512, 2));
}

TEST(Order, AFlushWaitsForAWriteThatIsParked) {
  DeviceFixture lun;
  lun.play_jobs = false;
  const uint64_t write = lun.write(0, Bytes(512, 1));
  const uint64_t flush = lun.send({.cdb = kSynchronizeCache});
  EXPECT_TRUE(lun.outstanding(flush));
  acquired(lun);
  EXPECT_TRUE(lun.outstanding(flush));
  lun.finish(0);
  lun.expect(write, kGood);
  lun.expect(flush, kGood);
}

TEST(Order, AFlushOfWhatNobodyWroteNeedsNoLock) {
  DeviceFixture lun;
  lun.play_jobs = false;
  lun.expect(lun.send({.cdb = kSynchronizeCache}), kGood);
  EXPECT_EQ(lun.take_action(), Action::kNone);
}

TEST(Order, AFlushWaitsForAWriteThatWaitsForRoom) {
  DeviceFixture lun(2048, {.ring_bytes = 64 * 1024 - 128, .blocks = 512});
  std::vector<uint64_t> writes;
  for (uint32_t i = 0; i <= kImageOpsMax; ++i) writes.push_back(lun.write(i, Bytes(512, 1)));
  ASSERT_EQ(lun.image.pending.size(), kImageOpsMax);
  const uint64_t flush = lun.send({.cdb = kSynchronizeCache});
  while (lun.image.pending.size() > 1) {
    lun.finish(0);
    EXPECT_TRUE(lun.outstanding(flush));
  }
  lun.finish(0);
  lun.expect(flush, kGood);
  for (const uint64_t write : writes) lun.expect(write, kGood);
}

// One block with each descriptor, eight blocks apart.
FakeCommand unmap_of(uint32_t first, uint16_t descriptors) {
  const auto length = static_cast<uint16_t>(8 + descriptors * 16);
  Bytes list(length);
  const auto put = [&list](size_t at, uint16_t value) {
    list[at] = static_cast<uint8_t>(value >> 8U);
    list[at + 1] = static_cast<uint8_t>(value);
  };
  put(0, length - 2);
  put(2, descriptors * 16);
  for (uint16_t i = 0; i < descriptors; ++i) {
    put(8 + 16 * i + 6, static_cast<uint16_t>(first + 8 * i));
    list[8 + 16 * i + 11] = 1;
  }
  return {.cdb = {0x42, 0, 0, 0, 0, 0, 0, static_cast<uint8_t>(length >> 8U),
                  static_cast<uint8_t>(length), 0},
          .data_out = std::move(list)};
}

TEST(Order, OneOpThatHangsHoldsNoRoomForTheOthersOfItsCommand) {
  DeviceFixture lun(4096, {.ring_bytes = 64 * 1024 - 128, .blocks = 512});
  std::vector<uint64_t> unmaps;
  for (uint32_t i = 0; i < 4; ++i) unmaps.push_back(lun.send(unmap_of(512 * i, 64)));
  ASSERT_EQ(lun.image.pending.size(), kImageOpsMax);
  const uint64_t read = lun.read(3000, 1);
  ASSERT_EQ(lun.image.pending.size(), kImageOpsMax) << "there is no room";
  for (size_t hung = 0; hung < 4; ++hung)
    for (int i = 0; i < 63; ++i) lun.finish(hung + 1);
  ASSERT_EQ(lun.image.pending.size(), 5U) << "one of each, and the read";
  EXPECT_EQ(lun.image.pending.back().op.kind, OpKind::kRead);
  lun.finish(4);
  lun.expect(read, kGood);
  lun.finish_all();
  for (const uint64_t unmap : unmaps) lun.expect(unmap, kGood);
}

TEST(Order, NothingNewGoesToAnInstanceThatIsAboutToBeFenced) {
  DeviceFixture lun(4096, {.ring_bytes = 64 * 1024 - 128, .blocks = 512});
  for (uint32_t i = 0; i < 4; ++i) lun.send(unmap_of(512 * i, 64));
  const uint64_t read = lun.read(3000, 1);
  ASSERT_EQ(lun.image.pending.size(), kImageOpsMax);
  lun.finish(0, -ETIMEDOUT);  // It may still be applied.
  EXPECT_EQ(lun.take_action(), Action::kFence);
  EXPECT_EQ(lun.image.pending.size(), kImageOpsMax - 1);
  EXPECT_TRUE(lun.outstanding(read)) << "it waits for the new instance";
}

TEST(Order, ASmallOpDoesNotPassALargerOneThatWaitsForRoom) {
  DeviceFixture lun(2048, {.ring_bytes = 64 * 1024 - 128, .blocks = 512});
  for (uint32_t i = 0; i + 1 < kImageOpsMax; ++i) lun.write(i, Bytes(512, 1));
  const uint64_t large = lun.send(unmap_of(1024, 2));  // Two ops, and there is room for one.
  const uint64_t small = lun.write(1500, Bytes(512, 2));
  ASSERT_EQ(lun.image.pending.size(), kImageOpsMax - 1);
  lun.finish(0);
  EXPECT_EQ(lun.image.pending.size(), kImageOpsMax) << "both of the larger one's";
  EXPECT_EQ(lun.image.pending.back().op.kind, OpKind::kWriteZeroes);
  lun.finish_all();
  lun.expect(large, kGood);
  lun.expect(small, kGood);
}

TEST(Order, ReadsWaitForTheLockIfTheyNeedIt) {
  DeviceFixture lun(2048, {}, {.reads_need_lock = true});
  lun.play_jobs = false;
  const uint64_t read = lun.read(0, 1);
  EXPECT_TRUE(lun.image.pending.empty())
      << "an older write may still come, until its owner is gone";
  acquired(lun);
  lun.finish(0);
  EXPECT_EQ(lun.data_of(read), Bytes(512, 0));
}

TEST(Order, AFailedReleaseIsFencedBeforeAnythingElseBegins) {
  DeviceFixture lun;
  lun.play_jobs = false;
  const uint64_t first = lun.write(0, Bytes(512, 1));
  acquired(lun);
  lun.finish_all();
  lun.expect(first, kGood);
  lun.wait(milliseconds(300));
  lun.device.on_peer_asks(1, lun.now);
  lun.ring();
  ASSERT_EQ(lun.take_action(), Action::kRelease);
  lun.device.on_lock_event(lock::Outcome::kReleaseFailed, lun.now);
  lun.ring();
  EXPECT_EQ(lun.device.lock_state(), lock::State::kFencing);
  EXPECT_EQ(lun.take_action(), Action::kFence);
}

// --- QoS ---

DeviceSettings limited(const task::RateLimits& limits) { return {.limits = limits}; }

TEST(Qos, WritesBeyondTheLimitWaitHereAndAreNotFenced) {
  DeviceFixture lun(4096, {.ring_bytes = 64 * 1024 - 128, .blocks = 2048},
                    limited({.write_bps = 64 * 1024}));
  std::vector<uint64_t> writes;
  for (uint32_t i = 0; i < 48; ++i) writes.push_back(lun.write(i * 64, Bytes(32 * 1024, 1)));
  size_t most = 0;
  for (int tick = 0; tick < 30 * 50; ++tick) {
    most = std::max(most, lun.image.pending.size());
    lun.finish_all();
    lun.wait(Device::kTick);
  }
  for (const uint64_t write : writes) lun.expect(write, kGood);
  EXPECT_LE(most, 1u) << "what librbd is given does not wait in there";
  EXPECT_EQ(lun.device.counters().fences, 0u);
  EXPECT_EQ(lun.device.counters().deadlines, 0u) << "24 s: one's own limit is no fault";
}

TEST(Qos, WhatWaitsIsDroppedByAnAbort) {
  DeviceFixture lun(2048, {}, limited({.write_iops = 1}));
  const uint64_t first = lun.write(0, Bytes(512, 1));
  const uint64_t waits = lun.write(8, Bytes(512, 2));
  lun.finish_all();
  lun.expect(first, kGood);
  lun.kernel.abort(waits);
  lun.run();
  EXPECT_EQ(lun.kernel.take_result(waits)->how, FakeResult::How::kAborted);
  lun.wait(seconds(5));
  EXPECT_TRUE(lun.image.pending.empty());
  EXPECT_TRUE(lun.device.idle());
}

TEST(Qos, ReadsPassWritesThatWaitUnlessTheyOverlap) {
  DeviceFixture lun(2048, {}, limited({.write_iops = 1}));
  lun.write(0, Bytes(512, 1));
  lun.finish_all();
  const uint64_t waits = lun.write(8, Bytes(512, 2));
  const uint64_t elsewhere = lun.read(64, 1);
  const uint64_t behind = lun.read(8, 1);
  const uint64_t flush = lun.send({.cdb = kSynchronizeCache});
  lun.finish_all();
  EXPECT_EQ(lun.data_of(elsewhere), Bytes(512, 0));
  EXPECT_TRUE(lun.outstanding(behind) && lun.outstanding(flush));
  lun.wait(seconds(1));
  lun.finish_all();
  lun.expect(waits, kGood);
  lun.expect(flush, kGood);
  EXPECT_EQ(lun.data_of(behind), Bytes(512, 2));
}

TEST(Qos, ALimitMayBeLifted) {
  DeviceFixture lun(2048, {}, limited({.iops = 1}));
  lun.write(0, Bytes(512, 1));
  const uint64_t waits = lun.write(8, Bytes(512, 2));
  lun.finish_all();
  EXPECT_TRUE(lun.outstanding(waits));
  lun.device.on_rate_limits({}, lun.now);
  lun.ring();
  lun.finish_all();
  lun.expect(waits, kGood);
}

}  // namespace
}  // namespace tcmurbd::testing
