// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/scsi_fixture.h"

namespace tcmurbd::scsi {
namespace {

using enum OpKind;
using ScsiCompareAndWrite = ScsiTest;

// flags, LBA 0000000000000123, reserved, 01 block, group, control
const Bytes kOneBlock = {0x89, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
                         0x01, 0x23, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00};
const Bytes kNoBlocks = {0x89, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
                         0x01, 0x23, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00};
const Op kOp = {kCompareAndWrite, 0x123 * 512, 512};

TEST_F(ScsiCompareAndWrite, IsOneOpOnItsBlock) {
  EXPECT_THAT(send(kOneBlock, Bytes(1024)).ops, testing::ElementsAre(kOp));
  disk.block_size = 4096;
  EXPECT_THAT(send(kOneBlock, Bytes(8192)).ops,
              testing::ElementsAre(Op{kCompareAndWrite, 0x123 * 4096, 4096}));
}

TEST_F(ScsiCompareAndWrite, IsGoodWithoutBlocks) {
  EXPECT_TRUE(run(kNoBlocks, 0).good);
  // Sent by an initiator that means 256.
  EXPECT_EQ(send(kNoBlocks, Bytes(256 * 1024)).check, (Check{0x5, 0x24, 0x00}));
  EXPECT_EQ(send(kNoBlocks, Bytes(1024)).check, (Check{0x5, 0x24, 0x00}));
}

TEST_F(ScsiCompareAndWrite, TakesNoMoreBlocksThanVpdB0Says) {
  for (const uint8_t blocks : {0x02, 0x03, 0x7f, 0x80, 0xff})
    EXPECT_EQ(send(with(kOneBlock, 13, blocks), Bytes(blocks * 1024u)).check,
              (Check{0x5, 0x24, 0x00}));
}

TEST_F(ScsiCompareAndWrite, TakesJustTwoBlocksOfData) {
  for (const size_t length : {0u, 1u, 512u, 1023u, 1025u, 1536u, 2048u})
    EXPECT_EQ(send(kOneBlock, Bytes(length)).check, (Check{0x5, 0x0e, 0x03})) << length;
  disk.block_size = 4096;
  EXPECT_EQ(send(kOneBlock, Bytes(1024)).check, (Check{0x5, 0x0e, 0x03}));
}

TEST_F(ScsiCompareAndWrite, AcceptsDpoAndFuaAndTheGroup) {
  for (const uint8_t flags : {0x10, 0x08, 0x18})
    EXPECT_THAT(send(with(kOneBlock, 1, flags), Bytes(1024)).ops, testing::ElementsAre(kOp));
  EXPECT_THAT(send(with(kOneBlock, 14, 0x1f), Bytes(1024)).ops, testing::ElementsAre(kOp));
}

TEST_F(ScsiCompareAndWrite, RefusesProtectionInformation) {
  for (const uint8_t protect : {0x20, 0x40, 0x60, 0x80, 0xa0, 0xe0})
    EXPECT_EQ(send(with(kOneBlock, 1, protect), Bytes(1024)).check, (Check{0x5, 0x24, 0x00}));
}

TEST_F(ScsiCompareAndWrite, KeepsWithinTheDisk) {
  // LBA 00000000001fffff is the last.
  const Bytes last = {0x89, 0, 0, 0, 0, 0, 0, 0x1f, 0xff, 0xff, 0, 0, 0, 1, 0, 0};
  EXPECT_THAT(send(last, Bytes(1024)).ops,
              testing::ElementsAre(Op{kCompareAndWrite, 0x1fffffull * 512, 512}));
  const Bytes behind = {0x89, 0, 0, 0, 0, 0, 0, 0x20, 0, 0, 0, 0, 0, 1, 0, 0};
  EXPECT_EQ(send(behind, Bytes(1024)).check, (Check{0x5, 0x21, 0x00}));
  EXPECT_TRUE(run(with(behind, 13, 0), 0).good);
  // lba * 512 overflows into the disk.
  EXPECT_EQ(send(with(kOneBlock, 2, 0x80), Bytes(1024)).check, (Check{0x5, 0x21, 0x00}));
}

TEST_F(ScsiCompareAndWrite, RefusesAReadOnlyDisk) {
  disk.read_only = true;
  EXPECT_EQ(send(kOneBlock, Bytes(1024)).check, (Check{0x7, 0x27, 0x00}));
  EXPECT_EQ(run(kNoBlocks, 0).check, (Check{0x7, 0x27, 0x00}));
}

TEST_F(ScsiCompareAndWrite, TellsWhereTheMiscompareIs) {
  // -84 is -EILSEQ.
  EXPECT_EQ(result_from_errno(-84, kCompareAndWrite, 0), Result::check({0x0e, 0x1d, 0x00, 0u}));
  EXPECT_EQ(result_from_errno(-84, kCompareAndWrite, 4095),
            Result::check({0x0e, 0x1d, 0x00, 4095u}));
  EXPECT_THAT(encode_fixed(result_from_errno(-84, kCompareAndWrite, 0x1ff).sense),
              testing::ElementsAre(0xf0, 0, 0x0e,           // VALID=1; MISCOMPARE
                                   0x00, 0x00, 0x01, 0xff,  // INFORMATION
                                   0x0a, 0, 0, 0, 0, 0x1d, 0x00, 0, 0, 0, 0));
}

}  // namespace
}  // namespace tcmurbd::scsi
