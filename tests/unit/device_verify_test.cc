// SPDX-License-Identifier: Apache-2.0
// VERIFY, WRITE AND VERIFY and ORWRITE through the device: their answers, and events between their
// parts.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/device_fixture.h"

namespace tcmurbd::testing {
namespace {

class DeviceVerify : public ::testing::Test {
 protected:
  // `flags`: BYTCHK in bits 2-1
  uint64_t send10(uint8_t opcode, uint8_t flags, uint32_t lba, uint16_t blocks, Bytes data) {
    Bytes cdb = DeviceFixture::cdb10(opcode, lba, blocks);
    cdb[1] = flags;
    return lun.send({.cdb = std::move(cdb), .data_out = std::move(data), .scattered = true});
  }
  uint64_t orwrite(uint8_t lba, Bytes data) {
    const auto blocks = static_cast<uint8_t>(data.size() / 512);
    return lun.send({.cdb = {0x8b, 0, 0, 0, 0, 0, 0, 0, 0, lba, 0, 0, 0, blocks, 0, 0},
                     .data_out = std::move(data),
                     .scattered = true});
  }
  void put(uint32_t lba, Bytes data) {
    const uint64_t tag = lun.write(lba, std::move(data));
    lun.finish_all();
    lun.expect(tag, {});
  }
  Bytes content(uint32_t lba) const {
    const auto begin = lun.image.content.begin() + lba * 512;
    return Bytes(begin, begin + 512);
  }
  void expect_miscompare(uint64_t tag, uint8_t high, uint8_t low) {
    const auto result = lun.kernel.take_result(tag);
    ASSERT_TRUE(result);
    EXPECT_EQ(result->status, 0x02);
    EXPECT_THAT(Bytes(result->sense.begin(), result->sense.begin() + 18),
                ::testing::ElementsAre(0xf0, 0, 0x0e,          // VALID=1; MISCOMPARE
                                       0x00, 0x00, high, low,  // INFORMATION
                                       0x0a, 0, 0, 0, 0, 0x1d, 0x00, 0, 0, 0, 0));
  }

  DeviceFixture lun;
};

TEST_F(DeviceVerify, ReadsTheMediumAndTellsItsErrors) {
  const uint64_t good = send10(0x2f, 0x00, 3, 2, {});
  const uint64_t bad = send10(0x2f, 0x00, 8, 2, {});
  ASSERT_EQ(lun.image.pending.size(), 2u);
  lun.finish(1, -5);  // -EIO
  lun.expect(bad, {0x02, 0x03, 0x11, 0x00});
  EXPECT_TRUE(lun.outstanding(good)) << "answered before anything was read";
  lun.finish(0);
  lun.expect(good, {});
  EXPECT_EQ(lun.device.counters().reads, 2u);
  EXPECT_EQ(lun.device.counters().read_bytes, 2048u);
}

TEST_F(DeviceVerify, TellsTheFirstByteThatDiffers) {
  Bytes data(1024, 0x11);
  put(4, data);
  const uint64_t same = send10(0x2f, 0x02, 4, 2, data);
  data[0x2ff] = 0;
  data[0x300] = 0;
  const uint64_t differs = send10(0x2f, 0x02, 4, 2, data);
  lun.finish_all();
  lun.expect(same, {});
  expect_miscompare(differs, 0x02, 0xff);
  EXPECT_EQ(lun.device.counters().image_errors, 0u) << "the image did as requested";
}

TEST_F(DeviceVerify, ComparesOneBlockWithEach) {
  put(4, Bytes(1536, 0x11));
  const uint64_t same = send10(0x2f, 0x06, 4, 3, Bytes(512, 0x11));
  const uint64_t differs = send10(0x2f, 0x06, 4, 4, Bytes(512, 0x11));
  Bytes late(512, 0x11);
  late[0x1ff] = 0;
  const uint64_t late_differs = send10(0x2f, 0x06, 4, 3, late);
  lun.finish_all();
  lun.expect(same, {});
  expect_miscompare(differs, 0x00, 0x00);
  expect_miscompare(late_differs, 0x01, 0xff);
}

TEST_F(DeviceVerify, PassesReadsAndComesAfterWrites) {
  const uint64_t write = lun.write(4, Bytes(512, 0x22));
  const uint64_t verify = send10(0x2f, 0x02, 4, 1, Bytes(512, 0x22));
  ASSERT_EQ(lun.image.pending.size(), 1u);
  lun.finish(0);
  lun.expect(write, {});
  lun.read(4, 1);
  EXPECT_EQ(lun.image.pending.size(), 2u);
  lun.finish_all();
  lun.expect(verify, {});
}

// The image has a copy of its data by then, and the data read is dropped.
TEST_F(DeviceVerify, AbortedItKeepsNothingOfTheKernels) {
  const uint64_t tag = send10(0x2f, 0x02, 4, 1, Bytes(512));
  lun.kernel.abort(tag);
  lun.run();
  const auto result = lun.kernel.take_result(tag);
  ASSERT_TRUE(result);
  EXPECT_EQ(result->how, FakeResult::How::kAborted);
  EXPECT_EQ(lun.kernel.kept(), 0u);
  const uint64_t write = lun.write(4, Bytes(512, 1));
  ASSERT_EQ(lun.image.pending.size(), 2u) << "nothing waits for it";
  lun.finish(1);
  lun.expect(write, {});
  lun.finish(0);
  EXPECT_TRUE(lun.device.idle());
}

TEST_F(DeviceVerify, WritesThenReadsBack) {
  for (const uint8_t bytchk : {0x00, 0x02}) {
    const uint64_t tag = send10(0x2e, bytchk, 4, 2, Bytes(1024, 0x30 + bytchk));
    lun.image.do_first_part(0);
    EXPECT_EQ(content(5), Bytes(512, 0x30 + bytchk));
    EXPECT_TRUE(lun.outstanding(tag));
    lun.finish(0);
    lun.expect(tag, {});
  }
  EXPECT_EQ(lun.device.counters().writes, 2u);
}

TEST_F(DeviceVerify, WhatReadsBackDifferentlyIsNeverGood) {
  const uint64_t tag = send10(0x2e, 0x02, 4, 2, Bytes(1024, 0x33));
  lun.image.do_first_part(0);
  lun.image.pending[0].found[0x203] ^= 1;
  lun.finish(0);
  expect_miscompare(tag, 0x02, 0x03);
  const uint64_t unread = send10(0x2e, 0x00, 4, 2, Bytes(1024, 0x33));
  lun.image.do_first_part(0);
  lun.finish(0, -5);  // -EIO
  lun.expect(unread, {0x02, 0x03, 0x0c, 0x00});
}

TEST_F(DeviceVerify, OrsWhatIsThere) {
  put(4, Bytes(1024, 0x51));
  const uint64_t tag = orwrite(5, Bytes(1024, 0x0e));
  lun.finish(0);
  lun.expect(tag, {});
  EXPECT_EQ(content(4), Bytes(512, 0x51));
  EXPECT_EQ(content(5), Bytes(512, 0x5f));
  EXPECT_EQ(content(6), Bytes(512, 0x0e));
}

TEST_F(DeviceVerify, NobodyComesBetweenAReadAndItsWrite) {
  const uint64_t first = orwrite(4, Bytes(512, 0x01));
  lun.image.do_first_part(0);
  const uint64_t second = orwrite(4, Bytes(512, 0x02));
  const uint64_t write = lun.write(3, Bytes(1024, 0x80));
  const uint64_t third = orwrite(4, Bytes(512, 0x04));
  const uint64_t read = lun.read(4, 1);
  ASSERT_EQ(lun.image.pending.size(), 1u);
  for (const uint64_t tag : {first, second, write, third}) {
    lun.finish(0);
    lun.expect(tag, {});
  }
  lun.finish(0);
  EXPECT_EQ(lun.data_of(read), Bytes(512, 0x84));
  EXPECT_FALSE(lun.image.overlap_seen);
}

// An aborted ORWRITE that has read, and not yet written, holds its blocks until it really ends.
TEST_F(DeviceVerify, AbortedBetweenReadAndWriteItHoldsItsRange) {
  const uint64_t tag = orwrite(4, Bytes(512, 0x01));
  lun.image.do_first_part(0);
  lun.kernel.abort(tag);
  lun.run();
  const uint64_t write = lun.write(4, Bytes(512, 0x80));
  ASSERT_EQ(lun.image.pending.size(), 1u);
  lun.finish(0);
  EXPECT_EQ(content(4), Bytes(512, 0x01));
  lun.finish(0);
  lun.expect(write, {});
  EXPECT_EQ(content(4), Bytes(512, 0x80));
}

// The lock is broken between the read and the write: librbd refuses the write.
TEST_F(DeviceVerify, TheLockLostBetweenReadAndWriteIsNeverGood) {
  put(9, Bytes(512, 1));  // Takes the lock.
  const uint64_t tag = orwrite(4, Bytes(512, 0x01));
  lun.image.do_first_part(0);
  lun.finish(0, -30);  // -EROFS
  lun.expect(tag, {0x08});
  EXPECT_EQ(lun.take_action(), lock::Action::kFence);
  EXPECT_EQ(content(4), Bytes(512, 0));
}

// The instance is given up between the read and the write: the write is refused or ordered before
// newer ones; the initiator has got BUSY.
TEST_F(DeviceVerify, TheInstanceGivenUpBetweenReadAndWriteIsNeverGood) {
  put(9, Bytes(512, 1));
  const uint64_t tag = orwrite(4, Bytes(512, 0x01));
  const uint64_t hung = lun.write(20, Bytes(512, 1));
  lun.image.do_first_part(0);
  lun.finish(1, -108);  // -ESHUTDOWN: blocklisted by another gateway.
  lun.expect(hung, {0x08});
  lun.expect(tag, {0x08});
  EXPECT_EQ(lun.take_action(), lock::Action::kReopen);
  EXPECT_EQ(lun.device.detached(), 1u);
  lun.finish(0, -108);
  EXPECT_EQ(content(4), Bytes(512, 0));
  EXPECT_EQ(lun.device.detached(), 0u);
}

}  // namespace
}  // namespace tcmurbd::testing
