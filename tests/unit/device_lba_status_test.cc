// SPDX-License-Identifier: Apache-2.0
// GET LBA STATUS through the device: its answer, its order among writes, its abort.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/device_fixture.h"

namespace tcmurbd::testing {
namespace {

uint64_t ask(DeviceFixture& lun, uint8_t lba, uint8_t allocation_length = 0xff) {
  return lun.send({.cdb = {0x9e, 0x12, 0, 0, 0, 0, 0, 0, 0, lba, 0, 0, 0, allocation_length, 0, 0},
                   .data_in_bytes = 255});
}

// 64 blocks, of which number 3 was written.
struct DeviceLbaStatus : ::testing::Test {
  DeviceLbaStatus() {
    const uint64_t tag = lun.write(3, Bytes(512, 1));
    lun.finish(0);
    lun.expect(tag, {});
  }
  DeviceFixture lun{64};
};

// PARAMETER DATA LENGTH, then LBA, blocks, status of each run.
const Bytes kFromTwo = {0, 0, 0, 52, 0, 0, 0, 0,                           //
                        0, 0, 0, 0,  0, 0, 0, 2, 0, 0, 0, 1,  1, 0, 0, 0,  //
                        0, 0, 0, 0,  0, 0, 0, 3, 0, 0, 0, 1,  0, 0, 0, 0,  //
                        0, 0, 0, 0,  0, 0, 0, 4, 0, 0, 0, 60, 1, 0, 0, 0};

TEST_F(DeviceLbaStatus, TellsWhatTheImageFinds) {
  const uint64_t tag = ask(lun, 2);
  ASSERT_EQ(lun.image.pending.size(), 1u);
  lun.finish(0);
  EXPECT_EQ(lun.data_of(tag), kFromTwo);
  EXPECT_EQ(lun.device.counters().read_bytes, 0u) << "no data was read";
  // And nothing of the answer before.
  const uint64_t last = ask(lun, 63);
  lun.finish(0);
  EXPECT_EQ(lun.data_of(last), (Bytes{0, 0, 0, 20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 63,  //
                                      0, 0, 0, 1,  1, 0, 0, 0}));
  EXPECT_TRUE(lun.device.idle());
}

TEST_F(DeviceLbaStatus, IsCutToItsAllocationLength) {
  const uint64_t tag = ask(lun, 2, 24);
  lun.finish(0);
  EXPECT_EQ(lun.data_of(tag), Bytes(kFromTwo.begin(), kFromTwo.begin() + 24));
}

TEST_F(DeviceLbaStatus, AnErrorTellsNothing) {
  const uint64_t tag = ask(lun, 2);
  lun.finish(0, -5);  // -EIO
  lun.expect(tag, {0x02, 0x03, 0x11, 0x00});
  const uint64_t lost = ask(lun, 2);
  lun.finish(0, -110);  // -ETIMEDOUT
  lun.expect(lost, {0x08});
  EXPECT_TRUE(lun.device.idle());
}

// It may cover the whole disk, and hang: nothing waits for it, not even while it waits itself.
TEST_F(DeviceLbaStatus, ComesAfterTheWritesBeforeItAndHoldsUpNone) {
  const uint64_t before = lun.write(2, Bytes(512, 1));
  const uint64_t tag = ask(lun, 2);
  const uint64_t after = lun.write(4, Bytes(512, 0));
  const uint64_t same = lun.write(2, Bytes(512, 1));
  ASSERT_EQ(lun.image.pending.size(), 2u) << "the two writes that do not overlap";
  lun.finish(1);
  lun.expect(after, {});
  lun.finish(0);
  lun.expect(before, {});
  ASSERT_EQ(lun.image.pending.size(), 2u);
  lun.finish(lun.image.pending[0].op.kind == OpKind::kBlockStatus ? 1 : 0);
  lun.expect(same, {});
  EXPECT_TRUE(lun.outstanding(tag));
  lun.finish(0);
  EXPECT_FALSE(lun.image.overlap_seen);
  EXPECT_EQ(lun.data_of(tag), (Bytes{0, 0, 0, 36, 0, 0, 0, 0,                           //
                                     0, 0, 0, 0,  0, 0, 0, 2, 0, 0, 0, 2,  0, 0, 0, 0,  //
                                     0, 0, 0, 0,  0, 0, 0, 4, 0, 0, 0, 60, 1, 0, 0, 0}));
}

// A late result of the image goes to the task's own memory; the data area is free at once.
TEST_F(DeviceLbaStatus, AbortedItKeepsNothingOfTheKernels) {
  const uint64_t tag = ask(lun, 2);
  lun.kernel.abort(tag);
  lun.run();
  const auto result = lun.kernel.take_result(tag);
  ASSERT_TRUE(result);
  EXPECT_EQ(result->how, FakeResult::How::kAborted);
  EXPECT_EQ(lun.kernel.kept(), 0u);
  EXPECT_EQ(lun.device.detached(), 1u);
  const uint64_t write = lun.write(2, Bytes(512, 1));
  ASSERT_EQ(lun.image.pending.size(), 2u) << "nothing waits for it";
  lun.finish(1);
  lun.expect(write, {});
  lun.finish(0);
  EXPECT_TRUE(lun.device.idle());
}

}  // namespace
}  // namespace tcmurbd::testing
