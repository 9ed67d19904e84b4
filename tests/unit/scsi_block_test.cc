// SPDX-License-Identifier: Apache-2.0
// READ, WRITE, SYNCHRONIZE CACHE and PRE-FETCH: fields, ranges, lengths.
#include "tests/unit/scsi_fixture.h"

namespace tcmurbd::scsi {
namespace {

using enum OpKind;

// One transfer of each command's form; all name LBA 0x123 unless said.
struct Form {
  const char* name;
  Bytes cdb;
  Op op;
};

const std::vector<Form> kForms = {
    // LBA 1f0123 in 21 bits, 2 blocks
    {"READ(6)", {0x08, 0x1f, 0x01, 0x23, 0x02, 0x00}, {kRead, 0x1f0123ull * 512, 1024}},
    {"WRITE(6)", {0x0a, 0x1f, 0x01, 0x23, 0x02, 0x00}, {kWrite, 0x1f0123ull * 512, 1024}},
    // flags, LBA 00000123, group, 0100 blocks
    {"READ(10)",
     {0x28, 0x00, 0x00, 0x00, 0x01, 0x23, 0x00, 0x01, 0x00, 0x00},
     {kRead, 0x123 * 512, 0x100 * 512}},
    {"WRITE(10)",
     {0x2a, 0x00, 0x00, 0x00, 0x01, 0x23, 0x00, 0x01, 0x00, 0x00},
     {kWrite, 0x123 * 512, 0x100 * 512}},
    // flags, LBA 00000123, 00000003 blocks
    {"READ(12)",
     {0xa8, 0x00, 0x00, 0x00, 0x01, 0x23, 0x00, 0x00, 0x00, 0x03, 0x00, 0x00},
     {kRead, 0x123 * 512, 3 * 512}},
    {"WRITE(12)",
     {0xaa, 0x00, 0x00, 0x00, 0x01, 0x23, 0x00, 0x00, 0x00, 0x03, 0x00, 0x00},
     {kWrite, 0x123 * 512, 3 * 512}},
    // flags, LBA 0000000000000123, 00010000 blocks
    {"READ(16)",
     {0x88, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x23, 0x00, 0x01, 0x00, 0x00, 0x00,
      0x00},
     {kRead, 0x123 * 512, 0x10000 * 512}},
    {"WRITE(16)",
     {0x8a, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x23, 0x00, 0x01, 0x00, 0x00, 0x00,
      0x00},
     {kWrite, 0x123 * 512, 0x10000 * 512}},
};

using ScsiBlock = ScsiTest;

TEST_F(ScsiBlock, EachFormBecomesOneOp) {
  for (const Form& form : kForms) {
    SCOPED_TRACE(form.name);
    EXPECT_THAT(run(form.cdb, form.op.length).ops, testing::ElementsAre(form.op));
  }
}

TEST_F(ScsiBlock, CountsInTheDisksOwnBlocks) {
  disk = {.block_size = 4096, .blocks = 0x200000};
  // READ(10), LBA 3, 2 blocks
  EXPECT_THAT(run({0x28, 0, 0, 0, 0, 3, 0, 0, 2, 0}, 8192).ops,
              testing::ElementsAre(Op{kRead, 3 * 4096, 2 * 4096}));
}

TEST_F(ScsiBlock, NoBlocksMeans256InSixByteCommands) {
  EXPECT_THAT(run({0x08, 0, 0, 0, 0, 0}, 256 * 512).ops,
              testing::ElementsAre(Op{kRead, 0, 256 * 512}));
  EXPECT_THAT(run({0x0a, 0, 0, 0, 0, 0}, 256 * 512).ops,
              testing::ElementsAre(Op{kWrite, 0, 256 * 512}));
}

TEST_F(ScsiBlock, NoBlocksIsGoodWithoutAnOpInLongerCommands) {
  for (const uint8_t opcode : {0x28, 0x2a})
    EXPECT_TRUE(run({opcode, 0, 0, 0, 0, 9, 0, 0, 0, 0}, 0).good);
  for (const uint8_t opcode : {0xa8, 0xaa})
    EXPECT_TRUE(run({opcode, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0}, 0).good);
  for (const uint8_t opcode : {0x88, 0x8a}) {
    Bytes cdb(16);
    cdb[0] = opcode;
    EXPECT_TRUE(run(cdb, 0).good);
  }
}

TEST_F(ScsiBlock, AcceptsDpoAndFua) {
  for (const Form& form : kForms) {
    if (form.cdb.size() == 6) continue;
    SCOPED_TRACE(form.name);
    for (const uint8_t flags : {0x10, 0x08, 0x18}) {
      EXPECT_THAT(run(with(form.cdb, 1, flags), form.op.length).ops, testing::ElementsAre(form.op));
    }
  }
}

TEST_F(ScsiBlock, RefusesProtectionInformation) {
  for (const Form& form : kForms) {
    if (form.cdb.size() == 6) continue;
    SCOPED_TRACE(form.name);
    for (const uint8_t protect : {0x20, 0x40, 0x60, 0x80, 0xa0, 0xe0}) {
      EXPECT_EQ(run(with(form.cdb, 1, protect), form.op.length).check, (Check{0x5, 0x24, 0x00}));
    }
  }
}

TEST_F(ScsiBlock, RefusesEveryWriteToAReadOnlyDisk) {
  disk.read_only = true;
  for (const Form& form : kForms) {
    SCOPED_TRACE(form.name);
    const Outcome out = run(form.cdb, form.op.length);
    if (form.op.kind == kWrite) {
      EXPECT_EQ(out.check, (Check{0x7, 0x27, 0x00}));
    } else {
      EXPECT_THAT(out.ops, testing::ElementsAre(form.op));
    }
  }
  EXPECT_EQ(run({0x2a, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 0).check, (Check{0x7, 0x27, 0x00}));
}

// READ(16) or WRITE(16).
Bytes transfer16(uint8_t opcode, uint64_t lba, uint32_t blocks) {
  Bytes cdb = {opcode, 0};
  for (int shift = 56; shift >= 0; shift -= 8) cdb.push_back(static_cast<uint8_t>(lba >> shift));
  for (int shift = 24; shift >= 0; shift -= 8) cdb.push_back(static_cast<uint8_t>(blocks >> shift));
  return cdb + Bytes{0, 0};
}

TEST_F(ScsiBlock, KeepsRangesWithinTheDisk) {
  struct Case {
    uint64_t lba;
    uint32_t blocks;
    bool within;
  };
  const Case cases[] = {
      {0x1fffff, 1, true},
      {0x1ffffe, 2, true},
      {0x1fffff, 2, false},
      {0x200000, 0, true},  // At the end there is room for nothing.
      {0x200000, 1, false},
      {0x200001, 0, false},
      {0, 0x200000, true},
      {0, 0x200001, false},
      {0, 0xffffffff, false},
      {1ull << 32, 1, false},
      {1ull << 63, 1, false},
      {0xffffffffffffffff, 0, false},
      {0xffffffffffffffff, 1, false},
      {0xffffffffffffffff, 0xffffffff, false},
      {0xffffffff00000001, 0xffffffff, false},
      // lba * 512 overflows into the disk.
      {1ull << 55, 1, false},
      {(1ull << 55) + 1, 1, false},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(testing::Message() << "LBA " << c.lba << " + " << c.blocks);
    for (const uint8_t opcode : {0x88, 0x8a}) {
      const Outcome out = run(transfer16(opcode, c.lba, c.blocks), c.blocks * 512ull);
      if (!c.within) {
        EXPECT_EQ(out.check, (Check{0x5, 0x21, 0x00}));
      } else if (c.blocks == 0) {
        EXPECT_TRUE(out.good);
      } else {
        EXPECT_THAT(out.ops, testing::ElementsAre(Op{opcode == 0x88 ? kRead : kWrite, c.lba * 512,
                                                     c.blocks * 512ull}));
      }
    }
  }
}

TEST_F(ScsiBlock, ReachesTheLastBlockOfTheLargestDisk) {
  disk.blocks = (1ull << 55) - 1;
  const uint64_t last = disk.blocks - 1;
  EXPECT_THAT(run(transfer16(0x88, last, 1), 512).ops,
              testing::ElementsAre(Op{kRead, last * 512, 512}));
  EXPECT_EQ(run(transfer16(0x88, last, 2), 1024).check, (Check{0x5, 0x21, 0x00}));
}

TEST_F(ScsiBlock, HasNoRangeOnAnEmptyDisk) {
  disk.blocks = 0;
  EXPECT_EQ(run(transfer16(0x88, 0, 1), 512).check, (Check{0x5, 0x21, 0x00}));
  EXPECT_TRUE(run(transfer16(0x88, 0, 0), 0).good);
}

TEST_F(ScsiBlock, ServesAReadThatExpectsMoreThanItsCdb) {
  EXPECT_THAT(run(transfer16(0x88, 8, 2), 1025).ops, testing::ElementsAre(Op{kRead, 4096, 1024}));
  EXPECT_TRUE(run(transfer16(0x88, 8, 0), 4096).good);
}

TEST_F(ScsiBlock, RefusesATransferThatWouldBeCut) {
  EXPECT_EQ(run(transfer16(0x88, 8, 2), 1023).check, (Check{0x5, 0x0e, 0x03}));
  EXPECT_EQ(run(transfer16(0x88, 8, 2), 0).check, (Check{0x5, 0x0e, 0x03}));
  // A write's length must be just its CDB's: the kernel cannot report a residual for it.
  EXPECT_EQ(run(transfer16(0x8a, 8, 2), 1023).check, (Check{0x5, 0x0e, 0x03}));
  EXPECT_EQ(run(transfer16(0x8a, 8, 2), 1025).check, (Check{0x5, 0x0e, 0x03}));
  EXPECT_EQ(run(transfer16(0x8a, 8, 0), 512).check, (Check{0x5, 0x0e, 0x03}));
}

TEST_F(ScsiBlock, FlushesForSynchronizeCache) {
  const Bytes ten = {0x35, 0, 0, 0, 0, 0, 0, 0, 0, 0};
  EXPECT_TRUE(run(ten, 0).flush);
  EXPECT_TRUE(run(with(ten, 8, 1), 0).flush);
  EXPECT_TRUE(run(with(ten, 1, 0x02), 0).good) << "IMMED";
  // LBA 200000: at the end; 200001: beyond it.
  EXPECT_TRUE(run({0x35, 0, 0x00, 0x20, 0x00, 0x00, 0, 0, 0, 0}, 0).flush);
  EXPECT_EQ(run({0x35, 0, 0x00, 0x20, 0x00, 0x01, 0, 0, 0, 0}, 0).check, (Check{0x5, 0x21, 0x00}));
  EXPECT_TRUE(run(transfer16(0x91, 0, 0x200000), 0).flush);
  EXPECT_EQ(run(transfer16(0x91, 0, 0x200001), 0).check, (Check{0x5, 0x21, 0x00}));
  EXPECT_EQ(run(transfer16(0x91, 0xffffffffffffffff, 1), 0).check, (Check{0x5, 0x21, 0x00}));
}

TEST_F(ScsiBlock, ChecksTheRangeOfAPreFetchAndHasNothingToDo) {
  const Bytes ten = {0x34, 0, 0x00, 0x1f, 0xff, 0xff, 0, 0, 1, 0};  // The last block.
  for (const uint8_t immediate : {0x00, 0x02}) {
    EXPECT_TRUE(run(with(ten, 1, immediate), 0).good);
    EXPECT_TRUE(run(with(with(ten, 1, immediate), 8, 0), 0).good) << "to the end";
    EXPECT_EQ(run(with(with(ten, 1, immediate), 8, 2), 0).check, (Check{0x5, 0x21, 0x00}));
  }
  EXPECT_TRUE(run(transfer16(0x90, 0, 0x200000), 0).good);
  EXPECT_EQ(run(transfer16(0x90, 0, 0x200001), 0).check, (Check{0x5, 0x21, 0x00}));
  EXPECT_EQ(run(transfer16(0x90, 0xffffffffffffffff, 1), 0).check, (Check{0x5, 0x21, 0x00}));
}

TEST_F(ScsiBlock, FlushesAReadOnlyDiskToo) {
  disk.read_only = true;
  EXPECT_TRUE(run({0x35, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 0).flush);
}

}  // namespace
}  // namespace tcmurbd::scsi
