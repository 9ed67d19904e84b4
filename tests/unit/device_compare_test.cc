// SPDX-License-Identifier: Apache-2.0
// COMPARE AND WRITE through the device: its answer and its order among other writes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/device_fixture.h"

namespace tcmurbd::testing {
namespace {

class DeviceCompare : public ::testing::Test {
 protected:
  static Bytes block(uint8_t value) { return Bytes(512, value); }
  // flags, LBA in 8 bytes, reserved, 1 block, group, control
  uint64_t compare_and_write(uint8_t lba, Bytes expected, const Bytes& next) {
    expected.insert(expected.end(), next.begin(), next.end());
    return lun.send({.cdb = {0x89, 0, 0, 0, 0, 0, 0, 0, 0, lba, 0, 0, 0, 1, 0, 0},
                     .data_out = std::move(expected),
                     .scattered = true});
  }
  Bytes content(uint8_t lba) const {
    return Bytes(lun.image.content.begin() + lba * 512,
                 lun.image.content.begin() + (lba + 1) * 512);
  }

  DeviceFixture lun;
};

TEST_F(DeviceCompare, WritesWhenTheBlockIsAsExpected) {
  const uint64_t tag = compare_and_write(3, block(0), block(0x22));
  EXPECT_TRUE(lun.outstanding(tag));
  lun.finish(0);
  lun.expect(tag, {});
  EXPECT_EQ(content(2), block(0));
  EXPECT_EQ(content(3), block(0x22));
  EXPECT_EQ(content(4), block(0));
  EXPECT_EQ(lun.device.counters().writes, 1u);
  EXPECT_EQ(lun.device.counters().write_bytes, 512u);
  EXPECT_TRUE(lun.device.idle());
}

TEST_F(DeviceCompare, TellsTheFirstByteThatDiffersAndWritesNothing) {
  Bytes expected = block(0);
  expected[0x1fe] = 1;
  expected[0x1ff] = 1;
  const uint64_t tag = compare_and_write(3, expected, block(0x22));
  lun.finish(0);
  const auto result = lun.kernel.take_result(tag);
  ASSERT_TRUE(result);
  EXPECT_EQ(result->status, 0x02);
  EXPECT_THAT(Bytes(result->sense.begin(), result->sense.begin() + 18),
              ::testing::ElementsAre(0xf0, 0, 0x0e,           // VALID=1; MISCOMPARE
                                     0x00, 0x00, 0x01, 0xfe,  // INFORMATION
                                     0x0a, 0, 0, 0, 0, 0x1d, 0x00, 0, 0, 0, 0));
  EXPECT_EQ(content(3), block(0));
  EXPECT_EQ(lun.device.counters().image_errors, 0u) << "the image did as requested";
  EXPECT_EQ(lun.device.counters().check_conditions, 1u);
}

TEST_F(DeviceCompare, AnErrorIsNoMiscompare) {
  const uint64_t tag = compare_and_write(3, block(0), block(0x22));
  lun.finish(0, -5);  // -EIO
  lun.expect(tag, {0x02, 0x03, 0x0c, 0x00});
  EXPECT_EQ(lun.device.counters().image_errors, 1u);
}

TEST_F(DeviceCompare, ComparesWithWhatTheWritesBeforeItLeave) {
  const uint64_t write = lun.write(0, Bytes(2048, 0x11));
  const uint64_t first = compare_and_write(3, block(0x11), block(0x22));
  const uint64_t second = compare_and_write(3, block(0x11), block(0x33));
  const uint64_t third = compare_and_write(3, block(0x22), block(0x44));
  const uint64_t overwrite = lun.write(3, block(0x55));
  const uint64_t elsewhere = compare_and_write(9, block(0), block(0x66));
  ASSERT_EQ(lun.image.pending.size(), 2u) << "the write, and what does not overlap it";
  lun.finish_all();
  EXPECT_FALSE(lun.image.overlap_seen);
  for (const uint64_t tag : {write, first, third, overwrite, elsewhere}) lun.expect(tag, {});
  lun.expect(second, {0x02, 0x0e, 0x1d, 0x00});
  EXPECT_EQ(content(3), block(0x55));
  EXPECT_EQ(content(9), block(0x66));
}

TEST_F(DeviceCompare, IsWaitedForByReadsAndSynchronizeCache) {
  const uint64_t tag = compare_and_write(3, block(0), block(0x22));
  const uint64_t read = lun.read(3, 1);
  const uint64_t flush = lun.send({.cdb = {0x35, 0, 0, 0, 0, 0, 0, 0, 0, 0}});
  ASSERT_EQ(lun.image.pending.size(), 1u);
  EXPECT_TRUE(lun.outstanding(flush));
  lun.finish(0);
  lun.expect(tag, {});
  lun.expect(flush, {});
  lun.finish(0);
  EXPECT_EQ(lun.data_of(read), block(0x22));
}

}  // namespace
}  // namespace tcmurbd::testing
