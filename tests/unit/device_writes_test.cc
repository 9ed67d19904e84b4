// SPDX-License-Identifier: Apache-2.0
// What a Device tells an operator of commands that change its image: served, or refused and why.
#include <gtest/gtest.h>

#include <cerrno>

#include "tests/unit/device_fixture.h"

namespace tcmurbd {
namespace {

using std::chrono::seconds;
using testing::Bytes;
using testing::DeviceFixture;

constexpr uint8_t kBusyStatus = 0x08;

class WritesTest : public ::testing::Test {
 protected:
  WritesState writes() const { return f.device.load(f.now).writes; }
  uint64_t write() { return f.write(8, Bytes(512)); }
  DeviceFixture f;
};

TEST_F(WritesTest, AreServedWithTheLockAndWithout) {
  EXPECT_EQ(writes(), WritesState::kServed);
  write();
  EXPECT_EQ(writes(), WritesState::kServed);
  f.finish_all();
  EXPECT_EQ(f.device.gauges(f.now).writes, WritesState::kServed);
}

TEST_F(WritesTest, WithoutALockToBeHadAreRefused) {
  f.play_jobs = false;
  const uint64_t tag = write();
  ASSERT_EQ(f.take_action(), lock::Action::kAcquire);
  EXPECT_EQ(writes(), WritesState::kServed) << "it only waits";
  f.device.on_lock_event(lock::Outcome::kAcquireFailed, f.now);
  f.ring();
  f.expect(tag, {.status = kBusyStatus});
  EXPECT_EQ(writes(), WritesState::kNoLock);
  f.wait(seconds(20));
  EXPECT_EQ(writes(), WritesState::kNoLock) << "an idle host retries later";
  f.wait(seconds(11));
  EXPECT_EQ(writes(), WritesState::kServed) << "another gateway may have it rightly";
}

TEST_F(WritesTest, AreServedAgainOnceTheLockIsThere) {
  f.play_jobs = false;
  write();
  ASSERT_EQ(f.take_action(), lock::Action::kAcquire);
  f.device.on_lock_event(lock::Outcome::kAcquireFailed, f.now);
  f.ring();
  f.wait(seconds(1));
  write();
  ASSERT_EQ(f.take_action(), lock::Action::kAcquire);
  f.device.on_lock_event(lock::Outcome::kAcquired, f.now);
  f.ring();
  EXPECT_EQ(writes(), WritesState::kServed);
  f.finish_all();
}

TEST_F(WritesTest, SayWhyTheyAreRefused) {
  f.device.on_safe(false, f.now);
  EXPECT_EQ(writes(), WritesState::kUnsafe);
  f.device.on_safe(true, f.now);
  EXPECT_EQ(writes(), WritesState::kServed);
  f.device.on_primary(false, f.now);
  EXPECT_EQ(writes(), WritesState::kDemoted);
  f.device.on_primary(true, f.now);
  f.device.on_away(AwayCause::kWatchLost, {}, f.now);
  EXPECT_EQ(writes(), WritesState::kAway);
  f.wait(seconds(6));
  write();
  f.finish(0, -ENOSPC);
  EXPECT_EQ(writes(), WritesState::kFull);
  write();
  f.finish_all();
  EXPECT_EQ(writes(), WritesState::kServed);
}

TEST(ReadOnlyDisk, HasNoWritesToServe) {
  testing::FakeKernel kernel;
  testing::FakeImage image(512);
  const Device device(ring::Ring::attach(kernel.map()).value(), image,
                      {.block_size = 512, .blocks = 1, .read_only = true},
                      {.name = "user_0/disk1"});
  EXPECT_EQ(device.load(TimePoint{}).writes, WritesState::kReadOnly);
}

}  // namespace
}  // namespace tcmurbd
