// SPDX-License-Identifier: Apache-2.0
// Random commands: every plan is within the disk, the limits and the data. A failure prints the
// seed; TCMU_RBD_TEST_SEED runs it again.
#include <cstdio>
#include <cstdlib>
#include <map>
#include <random>

#include "tests/unit/scsi_fixture.h"

namespace tcmurbd::scsi {
namespace {

// Where each command's ALLOCATION LENGTH stands: first byte and size.
struct Field {
  size_t at, bytes;
};
const std::map<int, Field> kAllocationLength = {
    {0x03, {4, 1}},   // REQUEST SENSE
    {0x12, {3, 2}},   // INQUIRY
    {0x1a, {4, 1}},   // MODE SENSE(6)
    {0x37, {7, 2}},   // READ DEFECT DATA(10)
    {0x4d, {7, 2}},   // LOG SENSE
    {0x5a, {7, 2}},   // MODE SENSE(10)
    {0x84, {10, 4}},  // RECEIVE COPY RESULTS
    {0x9e, {10, 4}},  // READ CAPACITY(16)
    {0xb7, {6, 4}},   // READ DEFECT DATA(12)
    {0xa3, {6, 4}},   // REPORT TARGET PORT GROUPS, REPORT SUPPORTED ...
};
constexpr int kOpcodes[] = {0x00, 0x03, 0x08, 0x0a, 0x12, 0x15, 0x1a, 0x1b, 0x1e, 0x25,
                            0x28, 0x2a, 0x34, 0x35, 0x37, 0x41, 0x42, 0x4d, 0x4d, 0x55,
                            0x5a, 0x83, 0x84, 0x88, 0x89, 0x8a, 0x90, 0x91, 0x93, 0x9e,
                            0xa3, 0xa3, 0xa8, 0xaa, 0xb7, 0x42, 0x42, 0x42, 0x89, 0x89,
                            0x2e, 0x2f, 0x8b, 0x8e, 0x8f, 0xae, 0xaf, 0x2f, 0x9c};

class ScsiRandom : public ScsiTest {
 protected:
  ScsiRandom() {
    const char* fixed = std::getenv("TCMU_RBD_TEST_SEED");
    seed_ = fixed ? std::strtoull(fixed, nullptr, 0) : std::random_device()();
    random_.seed(seed_);
  }

  uint64_t below(uint64_t n) { return random_() % n; }
  template <typename T>
  T pick(std::initializer_list<T> values) {
    return values.begin()[below(values.size())];
  }

  void store(Bytes& cdb, size_t at, size_t bytes, uint64_t value) const {
    for (size_t i = 0; i < bytes; ++i)
      cdb[at + i] = static_cast<uint8_t>(value >> (8 * (bytes - 1 - i)));
  }

  void choose_disk() {
    disk.block_size = pick({512u, 512u, 4096u});
    disk.blocks = pick<uint64_t>({0, 1, 100, 0x200000, 0x200000, 1ull << 33, (1ull << 52) - 1});
    disk.read_only = below(10) == 0;
    disk.object_bytes = pick({4096u, 1u << 20, 1u << 22, 1u << 25, 0x80000000u});
    disk.stripe_bytes = std::min(disk.object_bytes, pick({4096u, 65536u, 1u << 22}));
    disk.max_transfer_bytes = pick({0u, 65536u, 524288u});
    target.unit_serial = pick<const char*>({"", "8d6d3a3e-5c71-4f22-b9e0-0123456789ab"});
    target.groups.resize(below(4));
  }

  uint64_t interesting_lba() {
    return pick<uint64_t>({0, 1, below(256), disk.blocks - 1, disk.blocks, disk.blocks + 1,
                           disk.blocks - below(64), below(disk.blocks + 1), random_(), UINT64_MAX,
                           1ull << 55});
  }
  uint64_t interesting_count() {
    return pick<uint64_t>({0, 1, 2, 8, below(256), below(65536), below(1 << 20), random_()});
  }

  // Fields where READ, WRITE and the like have them, or any bytes at all.
  Bytes choose_cdb() {
    Bytes cdb(below(20) == 0 ? below(261) : 16);
    if (below(8) == 0) {
      for (uint8_t& byte : cdb) byte = static_cast<uint8_t>(random_());
    } else if (cdb.size() >= 16) {
      const int opcode =
          below(20) == 0 ? static_cast<int>(below(256)) : kOpcodes[below(std::size(kOpcodes))];
      if (opcode >= 0x80 && opcode < 0xa0) {
        store(cdb, 2, 8, interesting_lba());
        store(cdb, 10, 4, interesting_count());
      } else {
        store(cdb, 2, 4, interesting_lba());
        store(cdb, opcode >= 0xa0 ? 6 : 7, opcode >= 0xa0 ? 4 : 2, interesting_count());
      }
      if (opcode < 0x20) store(cdb, 3, 2, interesting_count());
      if (opcode == 0x89) cdb[13] = pick<uint8_t>({0, 1, 1, 1, 2});
      cdb[0] = static_cast<uint8_t>(opcode);
      cdb[1] = pick<uint8_t>({0x00, 0x01, 0x08, 0x10, static_cast<uint8_t>(random_())});
      if (opcode == 0x2f) cdb[1] = pick<uint8_t>({0x00, 0x02, 0x04, 0x06});  // BYTCHK
      if (opcode == 0xa3) cdb[1] = pick<uint8_t>({0x0a, 0x0c, 0x0d, 0x2a});
      if (opcode == 0x9e) cdb[1] = pick<uint8_t>({0x10, 0x12});
    }
    return cdb;
  }

  // The data's length that a READ or WRITE of this CDB would have.
  uint64_t fitting_length(const Bytes& cdb) const {
    if (cdb.size() < 16) return 0;
    const auto field = [&](size_t at, size_t bytes) {
      uint64_t value = 0;
      for (size_t i = 0; i < bytes; ++i) value = value << 8 | cdb[at + i];
      return value;
    };
    switch (cdb[0]) {
      case 0x08:
      case 0x0a:
        return (cdb[4] == 0 ? 256 : cdb[4]) * uint64_t{disk.block_size};
      case 0x28:
      case 0x2a:
      case 0x2e:
        return field(7, 2) * disk.block_size;
      case 0xa8:
      case 0xaa:
      case 0xae:
        return field(6, 4) * disk.block_size;
      case 0x88:
      case 0x9c:
        return field(12, 2) * disk.block_size;
      case 0x8a:
      case 0x8b:
      case 0x8e:
        return field(10, 4) * disk.block_size;
      case 0x89:
        return 2 * cdb[13] * uint64_t{disk.block_size};
      case 0x2f:
        return (cdb[1] & 0x02) == 0   ? 0
               : (cdb[1] & 0x04) != 0 ? disk.block_size
                                      : field(7, 2) * disk.block_size;
      case 0x41:
      case 0x93:
        return disk.block_size;
      default:
        return field(7, 2);
    }
  }

  // Parameter data that often is an UNMAP list.
  Bytes choose_data() {
    Bytes data(below(2000));
    if (below(4) == 0) return data;
    for (uint8_t& byte : data) byte = below(3) == 0 ? static_cast<uint8_t>(random_()) : 0;
    const bool mild = below(2) == 0;
    for (size_t at = 8; at + 16 <= data.size(); at += 16) {
      store(data, at, 8, mild ? below(disk.blocks + 1) / 2 : interesting_lba());
      store(data, at + 8, 4, below(mild ? 8 : 100));
    }
    if (data.size() > 8) {
      store(data, 0, 2, data.size() - 2 + below(3));
      store(data, 2, 2, data.size() - 8 + below(3));
    }
    return data;
  }

  // 64 objects' worth, as VPD B0 says.
  uint64_t zeroing_bytes_max() const { return uint64_t{64} * disk.object_bytes; }

  // None of these disks returns more.
  static constexpr uint64_t kReadBackBytesMax = 4 << 20;

  void expect_sound_ops(const Outcome& out, uint64_t data_length) const {
    uint64_t end_before = 0;
    uint64_t sum = 0;
    const uint64_t capacity = disk.blocks * disk.block_size;
    for (const Op& op : out.ops) {
      ASSERT_GT(op.length, 0u);
      ASSERT_LE(op.offset, capacity);
      ASSERT_LE(op.length, capacity - op.offset);
      ASSERT_EQ(op.offset % disk.block_size, 0u);
      ASSERT_EQ(op.length % disk.block_size, 0u);
      ASSERT_EQ(op.kind, out.ops.front().kind);
      ASSERT_FALSE(disk.read_only && op.kind != OpKind::kRead && op.kind != OpKind::kBlockStatus &&
                   op.kind != OpKind::kCompare);
      if (&op != &out.ops.front()) {
        ASSERT_GT(op.offset, end_before) << "overlaps or touches";
      }
      end_before = op.offset + op.length;
      sum += op.length;
    }
    switch (out.ops.front().kind) {
      case OpKind::kRead:
        ASSERT_EQ(out.ops.size(), 1u);
        ASSERT_LE(sum, data_length);
        break;
      case OpKind::kWrite:
        ASSERT_EQ(out.ops.size(), 1u);
        ASSERT_EQ(sum, data_length);
        break;
      case OpKind::kOrWrite:
      case OpKind::kWriteAndRead:
      case OpKind::kWriteAndCompare:
        ASSERT_EQ(out.ops.size(), 1u);
        ASSERT_EQ(sum, data_length);
        ASSERT_LE(sum, kReadBackBytesMax);
        break;
      case OpKind::kCompare:
        ASSERT_EQ(out.ops.size(), 1u);
        ASSERT_TRUE(data_length == 0 || data_length == disk.block_size || data_length == sum);
        ASSERT_LE(sum, kReadBackBytesMax);
        break;
      case OpKind::kCompareAndWrite:
        ASSERT_EQ(out.ops.size(), 1u);
        ASSERT_EQ(sum, disk.block_size);
        ASSERT_EQ(data_length, 2 * sum);
        break;
      case OpKind::kWriteSame:
        ASSERT_EQ(out.ops.size(), 1u);
        ASSERT_EQ(data_length, disk.block_size);
        [[fallthrough]];
      case OpKind::kWriteZeroes:
        ASSERT_LE(out.ops.size(), 64u);
        ASSERT_LE(sum, zeroing_bytes_max());
        break;
      case OpKind::kBlockStatus: {
        ASSERT_EQ(out.ops.size(), 1u);
        const uint64_t first = out.ops.front().offset / disk.object_bytes;
        ASSERT_LT((end_before - 1) / disk.object_bytes - first, 64u);
        break;
      }
    }
  }

  // WRITE ATOMIC: within one object.
  void expect_atomic(const Outcome& out) const {
    for (const Op& op : out.ops) {
      ASSERT_EQ(op.kind, OpKind::kWrite);
      ASSERT_EQ(op.offset / disk.stripe_bytes, (op.offset + op.length - 1) / disk.stripe_bytes);
    }
  }

  void expect_sound(const Bytes& cdb, const Outcome& out, uint64_t data_length) const {
    ASSERT_EQ(
        out.good + out.check.has_value() + !out.ops.empty() + out.flush + out.copy.has_value(), 1);
    if (!out.ops.empty()) expect_sound_ops(out, data_length);
    if (out.check) {
      ASSERT_NE(out.check->key, 0);
    }
    ASSERT_TRUE(out.good || out.data_in.empty());
    ASSERT_LE(out.data_in.size(), data_length);
    ASSERT_LE(out.data_in.size(), 65536u);
    const auto field = kAllocationLength.find(cdb.empty() ? -1 : cdb[0]);
    if (out.good && field != kAllocationLength.end()) {
      uint64_t allocation = 0;
      for (size_t i = 0; i < field->second.bytes; ++i)
        allocation = allocation << 8 | cdb[field->second.at + i];
      ASSERT_LE(out.data_in.size(), allocation);
    }
  }

  uint64_t seed_ = 0;
  std::mt19937_64 random_;
};

TEST_F(ScsiRandom, EveryAnswerKeepsWithinItsBounds) {
  std::printf("seed %llu\n", static_cast<unsigned long long>(seed_));
  std::map<int, int> planned;
  for (int round = 0; round < 50000; ++round) {
    if (round % 50 == 0) choose_disk();
    const Bytes cdb = choose_cdb();
    const Bytes data = choose_data();
    const bool own_length = below(4) == 0;
    const uint64_t length = own_length ? pick<uint64_t>({0, data.size(), random_(), below(70000)})
                                       : fitting_length(cdb);
    const Outcome out = run(cdb, length, data);
    expect_sound(cdb, out, length);
    if (!cdb.empty() && cdb[0] == 0x9c) expect_atomic(out);
    if (HasFatalFailure()) {
      FAIL() << "seed " << seed_ << " round " << round << " CDB " << testing::PrintToString(cdb)
             << " length " << length;
    }
    if (!out.ops.empty()) ++planned[static_cast<int>(out.ops.front().kind)];
  }
  // Else the bounds were not tried.
  for (const OpKind kind : {OpKind::kRead, OpKind::kWrite, OpKind::kWriteZeroes, OpKind::kWriteSame,
                            OpKind::kCompareAndWrite, OpKind::kBlockStatus, OpKind::kCompare,
                            OpKind::kOrWrite, OpKind::kWriteAndRead}) {
    EXPECT_GT(planned[static_cast<int>(kind)], 40) << static_cast<int>(kind) << ", seed " << seed_;
  }
}

}  // namespace
}  // namespace tcmurbd::scsi
