// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/scsi_fixture.h"

namespace tcmurbd::scsi {
namespace {

using enum OpKind;

struct Descriptor {
  uint64_t lba;
  uint32_t blocks;
};

Bytes big(uint64_t value, int bytes) {
  Bytes out;
  for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8)
    out.push_back(static_cast<uint8_t>(value >> shift));
  return out;
}

Bytes list_of(const std::vector<Descriptor>& descriptors) {
  Bytes list = big(6 + 16 * descriptors.size(), 2)  // UNMAP DATA LENGTH
               + big(16 * descriptors.size(), 2)    // UNMAP BLOCK DESCRIPTOR DATA LENGTH
               + Bytes(4);
  for (const Descriptor& d : descriptors) list = list + big(d.lba, 8) + big(d.blocks, 4) + Bytes(4);
  return list;
}

class ScsiUnmap : public ScsiTest {
 protected:
  static Bytes cdb(size_t list_length) {
    return {0x42,
            0,
            0,
            0,
            0,
            0,
            0,
            static_cast<uint8_t>(list_length >> 8),
            static_cast<uint8_t>(list_length),
            0};
  }
  Outcome unmap_list(const Bytes& list) const { return send(cdb(list.size()), list); }
  Outcome unmap(const std::vector<Descriptor>& d) const { return unmap_list(list_of(d)); }
};

TEST_F(ScsiUnmap, ReadsTheListAsTheStandardLaysItOut) {
  const Bytes list = {
      0x00, 0x16, 0x00, 0x10, 0x00, 0x00, 0x00, 0x00,  // 22 bytes follow, 16 of descriptors
      0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x23, 0x45,  // UNMAP LOGICAL BLOCK ADDRESS
      0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00,  // NUMBER OF LOGICAL BLOCKS, reserved
  };
  EXPECT_THAT(send({0x42, 0, 0, 0, 0, 0, 0, 0x00, 0x18, 0}, list).ops,
              testing::ElementsAre(Op{kWriteZeroes, 0x12345 * 512, 0x100 * 512}));
}

TEST_F(ScsiUnmap, DoesNothingForNothing) {
  EXPECT_TRUE(run(cdb(0), 0).good);
  EXPECT_TRUE(unmap({}).good);
  EXPECT_TRUE(unmap({{5, 0}}).good);
  EXPECT_TRUE(unmap({{5, 0}, {0x200000, 0}}).good);
}

TEST_F(ScsiUnmap, SkipsDescriptorsWithoutBlocks) {
  EXPECT_THAT(unmap({{0, 0}, {8, 8}, {100, 0}}).ops,
              testing::ElementsAre(Op{kWriteZeroes, 4096, 4096}));
}

TEST_F(ScsiUnmap, JoinsRangesThatOverlapOrTouch) {
  // Unsorted; [10,20) and [15,30) overlap, [30,40) touches, [12,13) lies inside, [50,51) stands
  // alone, and twice.
  EXPECT_THAT(
      unmap({{50, 1}, {30, 10}, {15, 15}, {10, 10}, {12, 1}, {50, 1}}).ops,
      testing::ElementsAre(Op{kWriteZeroes, 10 * 512, 30 * 512}, Op{kWriteZeroes, 50 * 512, 512}));
}

TEST_F(ScsiUnmap, IgnoresWhatAnyLengthCutsOff) {
  // Three descriptors that do not touch; the list cut at each length.
  const Bytes whole = list_of({{0, 1}, {10, 1}, {20, 1}});
  ASSERT_EQ(whole.size(), 56u);
  for (size_t length = 0; length <= whole.size(); ++length) {
    SCOPED_TRACE(length);
    const Outcome out = unmap_list(cut(whole, 0, length));
    if (length == 0 || (length >= 8 && length < 24)) {
      EXPECT_TRUE(out.good);
    } else if (length < 8) {
      EXPECT_EQ(out.check, (Check{0x5, 0x1a, 0x00}));
    } else {
      EXPECT_EQ(out.ops.size(), (length - 8) / 16);
    }
    // The fabric brings less than the CDB says.
    if (length < whole.size()) {
      EXPECT_EQ(send(cdb(whole.size()), cut(whole, 0, length)).check, (Check{0x5, 0x1a, 0x00}));
    }
    // The descriptors' own length: 0 to 48 bytes of them.
    if (length <= 48) {
      const Outcome shorter = unmap_list(with(whole, 3, static_cast<uint8_t>(length)));
      EXPECT_EQ(shorter.ops.size(), length / 16);
    }
    // UNMAP DATA LENGTH, which does not count its own two bytes.
    if (length <= 54) {
      const Outcome shorter = unmap_list(with(whole, 1, static_cast<uint8_t>(length)));
      EXPECT_EQ(shorter.ops.size(), length < 6 ? 0 : (length - 6) / 16);
      EXPECT_FALSE(shorter.check);
    }
  }
}

TEST_F(ScsiUnmap, IgnoresLengthsBeyondTheList) {
  Bytes list = list_of({{0, 1}});
  list[0] = list[1] = list[2] = list[3] = 0xff;
  EXPECT_EQ(unmap_list(list).ops.size(), 1u);
  // Data-out that goes on after the list.
  EXPECT_EQ(send(cdb(24), list_of({{0, 1}, {10, 1}})).ops.size(), 1u);
}

TEST_F(ScsiUnmap, PlansNothingIfOneRangeIsBeyondTheDisk) {
  const Descriptor bad[] = {{0x200000, 1},
                            {0x1fffff, 2},
                            {0, 0x200001},
                            {0xffffffffffffffff, 1},
                            {0xffffffffffffffff, 0xffffffff},
                            {1ull << 55, 1},
                            {0x200001, 0}};
  for (const Descriptor& d : bad) {
    SCOPED_TRACE(testing::Message() << d.lba << " + " << d.blocks);
    for (const auto& list : std::vector<std::vector<Descriptor>>{{d}, {{0, 1}, d}, {d, {0, 1}}}) {
      const Outcome out = unmap(list);
      EXPECT_EQ(out.check, (Check{0x5, 0x21, 0x00}));
      EXPECT_TRUE(out.ops.empty());
    }
  }
}

TEST_F(ScsiUnmap, EnforcesTheMaximaOfVpdB0) {
  // 64 descriptors.
  std::vector<Descriptor> many;
  for (uint64_t i = 0; i < 64; ++i) many.push_back({i * 2, 1});
  EXPECT_EQ(unmap(many).ops.size(), 64u);
  many.push_back({1000, 1});
  EXPECT_EQ(unmap(many).check, (Check{0x5, 0x26, 0x00}));
  many.back().blocks = 0;
  EXPECT_EQ(unmap(many).check, (Check{0x5, 0x26, 0x00}));

  // 00080000h blocks in all, as they are named, not as they are joined.
  EXPECT_EQ(unmap({{0, 0x80000}}).ops.size(), 1u);
  EXPECT_EQ(unmap({{0, 0x80001}}).check, (Check{0x5, 0x26, 0x00}));
  EXPECT_EQ(unmap({{0, 0x40000}, {0x100000, 0x40000}}).ops.size(), 2u);
  EXPECT_EQ(unmap({{0, 0x40000}, {0x100000, 0x40001}}).check, (Check{0x5, 0x26, 0x00}));
  EXPECT_EQ(unmap({{0, 0x80000}, {0, 1}}).check, (Check{0x5, 0x26, 0x00}));
}

TEST_F(ScsiUnmap, RefusesAnchor) {
  const Bytes list = list_of({{0, 1}});
  EXPECT_EQ(send(with(cdb(24), 1, 0x01), list).check, (Check{0x5, 0x24, 0x00}));
}

TEST_F(ScsiUnmap, RefusesAReadOnlyDisk) {
  disk.read_only = true;
  EXPECT_EQ(unmap({{0, 1}}).check, (Check{0x7, 0x27, 0x00}));
  EXPECT_EQ(run(cdb(0), 0).check, (Check{0x7, 0x27, 0x00}));
}

}  // namespace
}  // namespace tcmurbd::scsi
