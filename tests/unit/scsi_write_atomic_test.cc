// SPDX-License-Identifier: Apache-2.0
// WRITE ATOMIC(16): one write to one object.
#include "tests/unit/scsi_fixture.h"

namespace tcmurbd::scsi {
namespace {

using enum OpKind;

class ScsiWriteAtomic : public ScsiTest {
 protected:
  // flags, LBA below 65536, ATOMIC BOUNDARY 0000, blocks, group, control
  static Bytes cdb(uint16_t lba, uint16_t blocks) {
    return {0x9c,
            0x00,
            0,
            0,
            0,
            0,
            0,
            0,
            static_cast<uint8_t>(lba >> 8),
            static_cast<uint8_t>(lba),
            0x00,
            0x00,
            static_cast<uint8_t>(blocks >> 8),
            static_cast<uint8_t>(blocks),
            0,
            0};
  }
  Outcome write(uint16_t lba, uint16_t blocks) const {
    return run(cdb(lba, blocks), uint64_t{blocks} * disk.block_size);
  }
};

TEST_F(ScsiWriteAtomic, IsOneWriteOfWhatVpdB0Allows) {
  EXPECT_THAT(write(0x20, 0x20).ops, testing::ElementsAre(Op{kWrite, 16384, 16384}));
  // The last of an object and the first of the next.
  EXPECT_THAT(write(0x1fe0, 0x20).ops, testing::ElementsAre(Op{kWrite, 0x3fc000, 16384}));
  EXPECT_THAT(write(0x2000, 0x20).ops, testing::ElementsAre(Op{kWrite, 0x400000, 16384}));
  disk.block_size = 4096;
  EXPECT_THAT(write(4, 4).ops, testing::ElementsAre(Op{kWrite, 16384, 16384}));
}

TEST_F(ScsiWriteAtomic, KeepsAlignmentAndGranularity) {
  for (const uint16_t lba : {1, 16, 31, 33})
    EXPECT_EQ(write(lba, 32).check, (Check{0x5, 0x24, 0x00})) << lba;
  for (const uint16_t blocks : {1, 16, 31, 33, 65535})
    EXPECT_EQ(write(32, blocks).check, (Check{0x5, 0x24, 0x00})) << blocks;
}

// It is atomic anyway.
TEST_F(ScsiWriteAtomic, ServesMoreThanItTellsWithinOneObject) {
  EXPECT_THAT(write(0, 0x2000).ops, testing::ElementsAre(Op{kWrite, 0, 0x400000}));
  EXPECT_THAT(write(0x1fc0, 0x40).ops, testing::ElementsAre(Op{kWrite, 0x3f8000, 0x8000}));
  EXPECT_EQ(write(0x1fe0, 0x40).check, (Check{0x5, 0x24, 0x00})) << "over an object's border";
  EXPECT_EQ(write(0, 0x2020).check, (Check{0x5, 0x24, 0x00}));
}

TEST_F(ScsiWriteAtomic, KeepsWithinAStripe) {
  disk.stripe_bytes = 65536;
  EXPECT_EQ(write(0, 0x80).ops.size(), 1u);
  EXPECT_EQ(write(0, 0xa0).check, (Check{0x5, 0x24, 0x00}));
  EXPECT_EQ(write(0x60, 0x40).check, (Check{0x5, 0x24, 0x00}));
  disk.stripe_bytes = 8192;
  EXPECT_EQ(write(0, 0x20).check, (Check{0x5, 0x24, 0x00}));
  EXPECT_TRUE(write(0, 0).good);
}

TEST_F(ScsiWriteAtomic, RefusesABoundaryAndProtectionInformation) {
  EXPECT_EQ(run(with(cdb(0, 32), 11, 0x20), 16384).check, (Check{0x5, 0x24, 0x00}));
  EXPECT_EQ(run(with(cdb(0, 32), 10, 0x01), 16384).check, (Check{0x5, 0x24, 0x00}));
  for (const uint8_t protect : {0x20, 0x40, 0x80, 0xe0})
    EXPECT_EQ(run(with(cdb(0, 32), 1, protect), 16384).check, (Check{0x5, 0x24, 0x00}));
  for (const uint8_t flags : {0x08, 0x10, 0x18})  // FUA, DPO
    EXPECT_EQ(run(with(cdb(0, 32), 1, flags), 16384).ops.size(), 1u);
}

TEST_F(ScsiWriteAtomic, KeepsToTheRulesOfAWrite) {
  EXPECT_TRUE(write(5, 0).good);
  EXPECT_EQ(run(cdb(0, 32), 16383).check, (Check{0x5, 0x0e, 0x03}));
  EXPECT_EQ(run(cdb(0, 32), 32768).check, (Check{0x5, 0x0e, 0x03}));
  EXPECT_EQ(run(with(cdb(0, 32), 7, 0x20), 16384).check, (Check{0x5, 0x21, 0x00}));
  disk.read_only = true;
  EXPECT_EQ(write(0, 32).check, (Check{0x7, 0x27, 0x00}));
}

}  // namespace
}  // namespace tcmurbd::scsi
