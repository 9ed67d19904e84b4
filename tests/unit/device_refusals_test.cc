// SPDX-License-Identifier: Apache-2.0
// Refusals: a ring that another process resets, a full pool, a demoted image.
#include <gtest/gtest.h>

#include <cerrno>
#include <vector>

#include "tests/unit/device_fixture.h"

namespace tcmurbd::testing {
namespace {

using lock::Action;
using std::chrono::seconds;

constexpr Expected kGood{};
constexpr Expected kBusy{.status = 0x08};
constexpr Expected kSpaceAllocationFailed{.status = 0x02, .key = 0x07, .asc = 0x27, .ascq = 0x07};
constexpr Expected kWriteProtected{.status = 0x02, .key = 0x07, .asc = 0x27, .ascq = 0x00};

void restart(DeviceFixture& lun) {
  ASSERT_FALSE(lun.device.broken_reason().empty());
  ASSERT_TRUE(lun.device.ring_unused());
  lun.kernel.reset_ring();
  lun.device.restart(ring::Ring::attach(lun.kernel.map()).value());
  lun.run();
}

size_t count(const DeviceFixture& lun, Report::Kind kind) {
  return static_cast<size_t>(std::ranges::count(lun.reports, kind, &Report::kind));
}

// Three writes: the second waits for the first, and the third for the second alone, so that it
// could begin as soon as that one is dropped.
struct Chain {
  explicit Chain(DeviceFixture& lun)
      : running(lun.write(0, Bytes(1024, 1))),
        waits(lun.write(1, Bytes(1024, 2))),
        behind(lun.write(2, Bytes(1024, 3))) {}
  uint64_t running, waits, behind;
};

// --- a ring that was reset ---

TEST(Reset, WhatWaitedNeverBeginsAndWhatRanIsOrderedBefore) {
  DeviceFixture lun;
  const uint64_t running = lun.write(0, Bytes(512, 1));
  const uint64_t waits = lun.write(0, Bytes(512, 2));
  lun.kernel.reset_ring();
  EXPECT_EQ(lun.kernel.take_result(running)->how, FakeResult::How::kReset);
  EXPECT_EQ(lun.kernel.take_result(waits)->how, FakeResult::How::kReset);
  lun.wait(Device::kTick);
  lun.run();
  restart(lun);
  const uint64_t newer = lun.write(0, Bytes(512, 3));
  ASSERT_EQ(lun.image.pending.size(), 1u);
  lun.finish(0);
  ASSERT_EQ(lun.image.pending.size(), 1u);
  lun.finish(0);
  lun.expect(newer, kGood);
  EXPECT_EQ(lun.image.content[0], 3);
  EXPECT_TRUE(lun.device.idle());
  EXPECT_EQ(lun.kernel.violations(), std::vector<std::string>{});
}

TEST(Reset, WhatWaitsForWhatIsDroppedNeverBegins) {
  DeviceFixture lun;
  const Chain writes(lun);
  lun.kernel.reset_ring();
  lun.run();
  ASSERT_EQ(lun.image.pending.size(), 1u) << "the kernel has answered it";
  lun.finish(0);
  restart(lun);
  EXPECT_EQ(lun.kernel.take_result(writes.behind)->how, FakeResult::How::kReset);
  EXPECT_EQ(lun.image.content[3 * 512], 0);
  EXPECT_TRUE(lun.device.idle());
}

TEST(Reset, WhatIsParkedForTheLockNeverBegins) {
  DeviceFixture lun;
  lun.play_jobs = false;
  lun.write(0, Bytes(512, 1));
  ASSERT_EQ(lun.take_action(), Action::kAcquire);
  lun.kernel.reset_ring();
  lun.run();
  lun.device.on_lock_event(lock::Outcome::kAcquired, lun.now);
  lun.ring();
  restart(lun);
  EXPECT_TRUE(lun.image.pending.empty());
  EXPECT_TRUE(lun.device.idle());
}

TEST(Reset, ItWaitsForReadsThatUseTheDataArea) {
  DeviceFixture lun;
  lun.read(0, 1);
  lun.kernel.reset_ring();
  lun.run();
  EXPECT_FALSE(lun.device.ring_unused()) << "the read may still write into another's memory";
  lun.device.on_done(lun.image.finish(0, -EIO), lun.now);
  restart(lun);
  const uint64_t read = lun.read(0, 1);
  lun.finish(0);
  EXPECT_EQ(lun.data_of(read), Bytes(512, 0));
  EXPECT_EQ(lun.kernel.kept(), 0u);
}

TEST(Reset, APieceOfACopyMayComeMeanwhile) {
  DeviceFixture lun;
  lun.write(0, Bytes(512, 1));
  lun.kernel.reset_ring();
  lun.run();
  std::vector<uint8_t> data(512, 2);
  lun.device.on_copy_op(7,
                        {.token = 1,
                         .disk = 0,
                         .kind = OpKind::kWrite,
                         .range = {4096, 512},
                         .data = data,
                         .memory = {},
                         .issued = lun.now},
                        lun.now);
  restart(lun);
  lun.finish_all();
  const auto done = lun.effects.take<CopyOpDone>(lun.device);
  ASSERT_EQ(done.size(), 1u);
  EXPECT_EQ(done[0].result, scsi::Result::good());
  EXPECT_TRUE(lun.device.idle());
}

// --- a full pool ---

TEST(FullPool, WritesAreRefusedAndNothingIsFenced) {
  DeviceFixture lun;
  for (const int error : {-ENOSPC, -EDQUOT, -ENOSPC}) {
    const uint64_t write = lun.write(0, Bytes(512, 1));
    lun.finish(0, error);
    lun.expect(write, kSpaceAllocationFailed);
  }
  EXPECT_EQ(count(lun, Report::Kind::kPoolFull), 1u) << "reported once";
  const uint64_t read = lun.read(0, 1);
  lun.finish_all();
  EXPECT_EQ(lun.data_of(read), Bytes(512, 0));
  EXPECT_EQ(count(lun, Report::Kind::kPoolHasRoom), 0u);
  const uint64_t write = lun.write(0, Bytes(512, 1));
  lun.finish_all();
  lun.expect(write, kGood);
  EXPECT_EQ(count(lun, Report::Kind::kPoolHasRoom), 1u);
  lun.wait(seconds(30));
  EXPECT_EQ(lun.take_action(), Action::kNone);
  EXPECT_EQ(lun.device.counters().fences, 0u);
}

// --- an image that is demoted ---

TEST(Demoted, ChangesAreWriteProtectedUntilItIsPromoted) {
  DeviceFixture lun;
  const uint64_t running = lun.write(0, Bytes(512, 1));
  const uint64_t waits = lun.write(0, Bytes(512, 2));
  lun.finish(0, kNotPrimary);
  lun.expect(running, kWriteProtected);
  lun.expect(waits, kWriteProtected);
  lun.expect(lun.write(8, Bytes(512, 3)), kWriteProtected);
  const uint64_t read = lun.read(8, 1);
  lun.finish_all();
  EXPECT_EQ(lun.data_of(read), Bytes(512, 0));
  EXPECT_EQ(count(lun, Report::Kind::kDemoted), 1u);
  EXPECT_EQ(lun.take_action(), Action::kNone) << "no fence";
}

TEST(Demoted, WhatWaitsForWhatIsRefusedIsRefusedToo) {
  DeviceFixture lun;
  const Chain writes(lun);
  lun.device.on_primary(false, lun.now);
  lun.ring();
  lun.expect(writes.waits, kWriteProtected);
  lun.expect(writes.behind, kWriteProtected);
  ASSERT_EQ(lun.image.pending.size(), 1u);
  lun.finish(0);
  lun.expect(writes.running, kGood);
}

TEST(Demoted, ItIsFoundOutWhenTheLockIsTakenToo) {
  DeviceFixture lun;
  lun.play_jobs = false;
  const uint64_t write = lun.write(0, Bytes(512, 1));
  ASSERT_EQ(lun.take_action(), Action::kAcquire);
  lun.device.on_lock_event(lock::Outcome::kAcquireDemoted, lun.now);
  lun.ring();
  lun.expect(write, kWriteProtected);
}

TEST(Unsafe, ChangesAreBusyAndReadsServedUntilItIsSafe) {
  DeviceFixture lun;
  const uint64_t running = lun.write(0, Bytes(512, 1));
  const uint64_t waits = lun.write(0, Bytes(512, 2));
  lun.device.on_safe(false, lun.now);
  lun.ring();
  lun.expect(waits, kBusy);
  lun.finish_all();
  lun.expect(running, kGood);
  lun.expect(lun.write(8, Bytes(512, 3)), kBusy);
  const uint64_t read = lun.read(0, 1);
  lun.finish_all();
  EXPECT_EQ(lun.data_of(read), Bytes(512, 1));
  lun.device.on_safe(true, lun.now);
  const uint64_t again = lun.write(8, Bytes(512, 3));
  lun.finish_all();
  lun.expect(again, kGood);
}

TEST(Unsafe, WhatWaitsForWhatIsRefusedIsRefusedToo) {
  DeviceFixture lun;
  const Chain writes(lun);
  lun.device.on_safe(false, lun.now);
  lun.ring();
  lun.expect(writes.waits, kBusy);
  lun.expect(writes.behind, kBusy);
  ASSERT_EQ(lun.image.pending.size(), 1u);
  lun.finish(0);
  lun.expect(writes.running, kGood);
}

TEST(Unsafe, OneThatWasSoWhenOpenedAsksForNoLock) {
  DeviceFixture lun(2048, {}, {.safe = false});
  lun.play_jobs = false;
  lun.expect(lun.write(0, Bytes(512, 1)), kBusy);
  EXPECT_EQ(lun.take_action(), Action::kNone);
}

TEST(Demoted, OneThatWasSoWhenOpenedServesReads) {
  DeviceFixture lun(2048, {}, {.primary = false});
  lun.expect(lun.write(0, Bytes(512, 1)), kWriteProtected);
  const uint64_t read = lun.read(0, 1);
  lun.finish_all();
  EXPECT_EQ(lun.data_of(read), Bytes(512, 0));
}

}  // namespace
}  // namespace tcmurbd::testing
