// SPDX-License-Identifier: Apache-2.0
// VERIFY, WRITE AND VERIFY and ORWRITE: fields, ranges, lengths.
#include "tests/unit/scsi_fixture.h"

namespace tcmurbd::scsi {
namespace {

using enum OpKind;
using ScsiVerify = ScsiTest;

// LBA 123h, 3 blocks, in each form; BYTCHK is bits 2-1 of byte 1.
const Bytes kVerify10 = {0x2f, 0x00, 0x00, 0x00, 0x01, 0x23, 0x00, 0x00, 0x03, 0x00};
const Bytes kVerify12 = {0xaf, 0x00, 0x00, 0x00, 0x01, 0x23, 0x00, 0x00, 0x00, 0x03, 0x00, 0x00};
const Bytes kVerify16 = {0x8f, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
                         0x01, 0x23, 0x00, 0x00, 0x00, 0x03, 0x00, 0x00};
const Bytes kWriteAndVerify10 = with(kVerify10, 0, 0x2e);
const Bytes kWriteAndVerify12 = with(kVerify12, 0, 0xae);
const Bytes kWriteAndVerify16 = with(kVerify16, 0, 0x8e);
const Bytes kOrWrite16 = with(kVerify16, 0, 0x8b);

const Bytes kVerifies[] = {kVerify10, kVerify12, kVerify16};
const Bytes kWrites[] = {kWriteAndVerify10, kWriteAndVerify12, kWriteAndVerify16};

// Where the last byte of the LBA and of the length stand.
size_t lba_at(const Bytes& cdb) { return cdb.size() == 16 ? 9 : 5; }
size_t length_at(const Bytes& cdb) { return cdb.size() == 10 ? 8 : cdb.size() == 12 ? 9 : 13; }

TEST_F(ScsiVerify, ReadsWithoutDataAndComparesWithIt) {
  for (const Bytes& cdb : kVerifies) {
    SCOPED_TRACE(cdb.size());
    const auto op = testing::ElementsAre(Op{kCompare, 0x123 * 512, 3 * 512});
    EXPECT_THAT(run(cdb, 0).ops, op);
    EXPECT_THAT(send(with(cdb, 1, 0x02), Bytes(1536)).ops, op);
    EXPECT_THAT(send(with(cdb, 1, 0x06), Bytes(512)).ops, op);
    EXPECT_EQ(send(with(cdb, 1, 0x04), Bytes(1536)).check, (Check{0x5, 0x24, 0x00}));
  }
}

TEST_F(ScsiVerify, TakesJustTheDataThatBytchkAsksFor) {
  for (const Bytes& cdb : kVerifies) {
    for (const size_t length : {1u, 512u, 1536u})
      EXPECT_EQ(send(cdb, Bytes(length)).check, (Check{0x5, 0x0e, 0x03})) << length;
    for (const size_t length : {0u, 512u, 1535u, 1537u, 2048u})
      EXPECT_EQ(send(with(cdb, 1, 0x02), Bytes(length)).check, (Check{0x5, 0x0e, 0x03})) << length;
    for (const size_t length : {0u, 511u, 513u, 1536u})
      EXPECT_EQ(send(with(cdb, 1, 0x06), Bytes(length)).check, (Check{0x5, 0x0e, 0x03})) << length;
  }
}

TEST_F(ScsiVerify, WritesAndReadsBack) {
  for (const Bytes& cdb : kWrites) {
    SCOPED_TRACE(cdb.size());
    EXPECT_THAT(send(cdb, Bytes(1536)).ops,
                testing::ElementsAre(Op{kWriteAndRead, 0x123 * 512, 3 * 512}));
    EXPECT_THAT(send(with(cdb, 1, 0x02), Bytes(1536)).ops,
                testing::ElementsAre(Op{kWriteAndCompare, 0x123 * 512, 3 * 512}));
    for (const uint8_t bytchk : {0x04, 0x06})
      EXPECT_EQ(send(with(cdb, 1, bytchk), Bytes(1536)).check, (Check{0x5, 0x24, 0x00}));
  }
  EXPECT_THAT(send(kOrWrite16, Bytes(1536)).ops,
              testing::ElementsAre(Op{kOrWrite, 0x123 * 512, 3 * 512}));
}

class ScsiVerifyAll : public ScsiTest, public testing::WithParamInterface<Bytes> {
 protected:
  const Bytes cdb_ = GetParam();
  const bool writes_ = std::ranges::find(kVerifies, cdb_) == std::end(kVerifies);
  Outcome run_blocks(const Bytes& cdb, uint64_t blocks) const {
    return run(cdb, writes_ ? blocks * disk.block_size : 0);
  }
};

INSTANTIATE_TEST_SUITE_P(Forms, ScsiVerifyAll,
                         testing::Values(kVerify10, kVerify12, kVerify16, kWriteAndVerify10,
                                         kWriteAndVerify12, kWriteAndVerify16, kOrWrite16));

TEST_P(ScsiVerifyAll, RefusesProtectionInformation) {
  for (const uint8_t protect : {0x20, 0x40, 0x60, 0x80, 0xa0, 0xe0})
    EXPECT_EQ(run_blocks(with(cdb_, 1, protect), 3).check, (Check{0x5, 0x24, 0x00}));
}

TEST_P(ScsiVerifyAll, AcceptsDpoAndTheGroup) {
  EXPECT_EQ(run_blocks(with(cdb_, 1, 0x10), 3).ops.size(), 1u);
  EXPECT_EQ(run_blocks(with(cdb_, cdb_.size() == 10 ? 6 : cdb_.size() - 2, 0x1f), 3).ops.size(),
            1u);
}

TEST_P(ScsiVerifyAll, IsGoodWithoutBlocks) {
  EXPECT_TRUE(run(with(cdb_, length_at(cdb_), 0), 0).good);
}

TEST_P(ScsiVerifyAll, KeepsWithinTheDisk) {
  disk.blocks = 0x126;
  EXPECT_EQ(run_blocks(cdb_, 3).ops.size(), 1u);
  EXPECT_EQ(run_blocks(with(cdb_, lba_at(cdb_), 0x24), 3).check, (Check{0x5, 0x21, 0x00}));
  EXPECT_EQ(run_blocks(with(cdb_, length_at(cdb_), 4), 4).check, (Check{0x5, 0x21, 0x00}));
  const Bytes behind = with(with(cdb_, lba_at(cdb_), 0x27), length_at(cdb_), 0);
  EXPECT_EQ(run(behind, 0).check, (Check{0x5, 0x21, 0x00}));
}

// 4 MiB, or MAXIMUM TRANSFER LENGTH of VPD B0.
TEST_P(ScsiVerifyAll, TransfersABoundedLength) {
  disk.max_transfer_bytes = 0x2100 * 512;
  EXPECT_EQ(run_blocks(with(cdb_, length_at(cdb_) - 1, 0x20), 0x2003).ops.size(), 1u);
  EXPECT_EQ(run_blocks(with(cdb_, length_at(cdb_) - 1, 0x21), 0x2103).check,
            (Check{0x5, 0x24, 0x00}));
  disk.max_transfer_bytes = 128 * 512;
  EXPECT_EQ(run_blocks(with(cdb_, length_at(cdb_) - 1, 0x1f), 0x1f03).ops.size(), 1u);
  EXPECT_EQ(run_blocks(with(cdb_, length_at(cdb_) - 1, 0x20), 0x2003).check,
            (Check{0x5, 0x24, 0x00}));
}

TEST_P(ScsiVerifyAll, OnlyWhatWritesIsRefusedByAReadOnlyDisk) {
  disk.read_only = true;
  const Outcome out = run_blocks(cdb_, 3);
  if (writes_) {
    EXPECT_EQ(out.check, (Check{0x7, 0x27, 0x00}));
  } else {
    EXPECT_EQ(out.ops.size(), 1u);
  }
}

TEST_F(ScsiVerify, WritesTakeJustTheirData) {
  for (const Bytes& cdb : {kWriteAndVerify10, kWriteAndVerify12, kWriteAndVerify16, kOrWrite16})
    for (const size_t length : {0u, 512u, 1535u, 1537u})
      EXPECT_EQ(send(cdb, Bytes(length)).check, (Check{0x5, 0x0e, 0x03})) << length;
}

}  // namespace
}  // namespace tcmurbd::scsi
