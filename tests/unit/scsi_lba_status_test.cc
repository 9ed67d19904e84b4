// SPDX-License-Identifier: Apache-2.0
// GET LBA STATUS: its op, and the Data-In from the op's result.
#include "tests/unit/scsi_fixture.h"

namespace tcmurbd::scsi {
namespace {

using enum OpKind;

constexpr uint64_t kObject = 4 * 1024 * 1024;

class ScsiLbaStatus : public ScsiTest {
 protected:
  // LBA in 8 bytes, allocation length 00001000
  static Bytes cdb(uint64_t lba) {
    Bytes bytes = {0x9e, 0x12, 0, 0, 0, 0, 0, 0, 0, 0, 0x00, 0x00, 0x10, 0x00, 0, 0};
    for (size_t i = 0; i < 8; ++i) bytes[2 + i] = static_cast<uint8_t>(lba >> (56 - 8 * i));
    return bytes;
  }
  // The answer for `range` if `mapped` may hold data.
  Bytes answer(const ByteRange& range, const std::vector<ByteRange>& mapped,
               uint64_t data_length = 1 << 20, const Bytes& command = cdb(0)) const {
    Bytes data_in;
    lba_status(parse(command).value(), disk, {data_length}, range, mapped, data_in);
    return data_in;
  }
  // LBA below 65536, blocks, PROVISIONING STATUS
  static Bytes descriptor(uint16_t lba, uint32_t blocks, uint8_t status) {
    return {0,
            0,
            0,
            0,
            0,
            0,
            static_cast<uint8_t>(lba >> 8),
            static_cast<uint8_t>(lba),
            static_cast<uint8_t>(blocks >> 24),
            static_cast<uint8_t>(blocks >> 16),
            static_cast<uint8_t>(blocks >> 8),
            static_cast<uint8_t>(blocks),
            status,
            0,
            0,
            0};
  }
};

TEST_F(ScsiLbaStatus, AsksForNoMoreObjectsThanOneOpMay) {
  EXPECT_THAT(ask(cdb(0)).ops, testing::ElementsAre(Op{kBlockStatus, 0, 64 * kObject}));
  // 64 objects, the first of them not from its begin.
  EXPECT_THAT(ask(cdb(1)).ops, testing::ElementsAre(Op{kBlockStatus, 512, 64 * kObject - 512}));
  EXPECT_THAT(ask(cdb(8191)).ops,
              testing::ElementsAre(Op{kBlockStatus, kObject - 512, 63 * kObject + 512}));
  EXPECT_THAT(ask(cdb(8192)).ops, testing::ElementsAre(Op{kBlockStatus, kObject, 64 * kObject}));
  disk.object_bytes = 4096;
  EXPECT_THAT(ask(cdb(7)).ops, testing::ElementsAre(Op{kBlockStatus, 7 * 512, 63 * 4096 + 512}));
  disk.block_size = 4096;
  EXPECT_THAT(ask(cdb(7)).ops, testing::ElementsAre(Op{kBlockStatus, 7 * 4096, 64 * 4096}));
}

TEST_F(ScsiLbaStatus, EndsWithTheDisk) {
  EXPECT_THAT(ask(cdb(0x1fffff)).ops,
              testing::ElementsAre(Op{kBlockStatus, 0x1fffffull * 512, 512}));
  for (const uint64_t lba : {uint64_t{0x200000}, uint64_t{0x200001}, uint64_t{1} << 55, UINT64_MAX})
    EXPECT_EQ(ask(cdb(lba)).check, (Check{0x5, 0x21, 0x00})) << lba;
  disk.blocks = 0;
  EXPECT_EQ(ask(cdb(0)).check, (Check{0x5, 0x21, 0x00}));
}

TEST_F(ScsiLbaStatus, AsksNothingIfNothingMayBeTold) {
  const Outcome none = ask(with(cdb(0), 12, 0));  // allocation length 0
  EXPECT_TRUE(none.good);
  EXPECT_TRUE(none.data_in.empty());
  EXPECT_EQ(ask(with(cdb(0x200000), 12, 0)).check, (Check{0x5, 0x21, 0x00}));
}

TEST_F(ScsiLbaStatus, ServesASnapshotAndRefusesAFilteredReport) {
  EXPECT_EQ(ask(with(cdb(0), 14, 0x01)).check, (Check{0x5, 0x24, 0x00}));  // REPORT TYPE
  disk.read_only = true;
  EXPECT_EQ(ask(cdb(0)).ops.size(), 1u);
}

TEST_F(ScsiLbaStatus, TellsRunsInTurn) {
  // PARAMETER DATA LENGTH: 4 bytes of the header and the descriptors.
  EXPECT_EQ(answer({0, 65536}, {}), (Bytes{0, 0, 0, 20, 0, 0, 0, 0}) + descriptor(0, 128, 1));
  EXPECT_EQ(answer({0, 65536}, {{0, 65536}}),
            (Bytes{0, 0, 0, 20, 0, 0, 0, 0}) + descriptor(0, 128, 0));
  EXPECT_EQ(answer({512, 65024}, {{512, 512}, {8192, 1024}}),
            (Bytes{0, 0, 0, 68, 0, 0, 0, 0}) + descriptor(1, 1, 0) + descriptor(2, 14, 1) +
                descriptor(16, 2, 0) + descriptor(18, 110, 1));
  EXPECT_EQ(answer({512, 1024}, {{1024, 512}}),
            (Bytes{0, 0, 0, 36, 0, 0, 0, 0}) + descriptor(1, 1, 1) + descriptor(2, 1, 0));
}

TEST_F(ScsiLbaStatus, ABlockThatHoldsOneByteIsMapped) {
  EXPECT_EQ(answer({0, 2048}, {{1023, 1}}), (Bytes{0, 0, 0, 52, 0, 0, 0, 0}) + descriptor(0, 1, 1) +
                                                descriptor(1, 1, 0) + descriptor(2, 2, 1));
  EXPECT_EQ(answer({0, 2048}, {{1023, 2}}), (Bytes{0, 0, 0, 52, 0, 0, 0, 0}) + descriptor(0, 1, 1) +
                                                descriptor(1, 2, 0) + descriptor(3, 1, 1));
  // Runs that share a block, and neighbours, are one.
  EXPECT_EQ(answer({0, 2048}, {{0, 1}, {100, 1}, {600, 1}, {1100, 1}}),
            (Bytes{0, 0, 0, 36, 0, 0, 0, 0}) + descriptor(0, 3, 0) + descriptor(3, 1, 1));
  disk.block_size = 4096;
  EXPECT_EQ(answer({0, 16384}, {{4095, 1}, {12288, 1}}),
            (Bytes{0, 0, 0, 52, 0, 0, 0, 0}) + descriptor(0, 1, 0) + descriptor(1, 2, 1) +
                descriptor(3, 1, 0));
}

TEST_F(ScsiLbaStatus, TellsLargeNumbers) {
  disk.block_size = 512;
  // LBA 00200000_00000000: 2^53, times 512.
  const Bytes data = answer({1ull << 62, 1ull << 40}, {});
  EXPECT_EQ(data, (Bytes{0,    0, 0, 20, 0,    0, 0, 0, 0x00, 0x20, 0, 0, 0, 0, 0, 0,  //
                         0x80, 0, 0, 0,  0x01, 0, 0, 0}));
}

// PARAMETER DATA LENGTH is the full length (SPC-4, allocation length).
TEST_F(ScsiLbaStatus, IsCutToTheAllocationLengthAndWhatTheFabricExpects) {
  const Bytes whole = answer({0, 2048}, {{1024, 512}});
  ASSERT_EQ(whole.size(), 56u);
  const Bytes alloc24 = {0x9e, 0x12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 24, 0, 0};
  EXPECT_EQ(answer({0, 2048}, {{1024, 512}}, 1 << 20, alloc24), cut(whole, 0, 24));
  for (const size_t length : {0u, 1u, 7u, 8u, 24u, 55u, 56u})
    EXPECT_EQ(answer({0, 2048}, {{1024, 512}}, length), cut(whole, 0, length));
}

}  // namespace
}  // namespace tcmurbd::scsi
