// SPDX-License-Identifier: Apache-2.0
// Ops with separate reads and writes (ceph/op_parts.h), on a real image.
#include <algorithm>
#include <random>

#include "ceph_live.h"

namespace tcmurbd::ceph {
namespace {

class ImageParts : public LiveTest {
 protected:
  OpDone run(Target& target, OpKind kind, const ByteRange& range, Bytes data) {
    const OpToken token = target.next_token++;
    target.submit_spoiled({.kind = kind, .range = range, .data = {}}, std::move(data), 3, token);
    return target.completions.wait_done(token);
  }
  static Bytes with(Bytes bytes, size_t at, uint8_t value) {
    bytes.at(at) = value;
    return bytes;
  }
};

// Over the border of two objects, one of which does not exist.
constexpr ByteRange kRange = {kMiB - 8192, 16384};

TEST_F(ImageParts, ComparesWithWhatIsThere) {
  const auto target = Target::open(dev_config(make_image({.bytes = 4 * kMiB, .order = 20})));
  ASSERT_TRUE(target);
  ASSERT_EQ(target->write(kRange.offset, Bytes(8192, 0x11)), 0);
  Bytes expected(16384, 0);
  std::fill_n(expected.begin(), 8192, 0x11);
  EXPECT_EQ(run(*target, OpKind::kCompare, kRange, expected).result, 0);
  EXPECT_EQ(run(*target, OpKind::kCompare, kRange, {}).result, 0);
  for (const size_t at : {0, 511, 8191, 8192, 16383}) {
    const OpDone done = run(*target, OpKind::kCompare, kRange, with(expected, at, 0x12));
    EXPECT_EQ(done.result, -84);
    EXPECT_EQ(done.mismatch_at, at);
  }
  EXPECT_EQ(run(*target, OpKind::kCompare, {kRange.offset, 8192}, Bytes(512, 0x11)).result, 0);
  const OpDone pattern = run(*target, OpKind::kCompare, kRange, Bytes(512, 0x11));
  EXPECT_EQ(pattern.result, -84);
  EXPECT_EQ(pattern.mismatch_at, 0u);
}

TEST_F(ImageParts, WritesAndReadsBack) {
  const std::string name = make_image({.bytes = 4 * kMiB, .order = 20});
  const auto target = Target::open(dev_config(name));
  ASSERT_TRUE(target);
  Bytes expected(4 * kMiB, 0);
  for (const OpKind kind : {OpKind::kWriteAndRead, OpKind::kWriteAndCompare}) {
    const auto value = static_cast<uint8_t>(kind);
    EXPECT_EQ(run(*target, kind, kRange, Bytes(kRange.length, value)).result, 0);
    std::fill_n(expected.begin() + kRange.offset, kRange.length, value);
    EXPECT_TRUE(exported(name) == expected);
  }
}

TEST_F(ImageParts, OrsBitByBit) {
  const std::string name = make_image({.bytes = 4 * kMiB, .order = 20});
  const auto target = Target::open(dev_config(name));
  ASSERT_TRUE(target);
  std::mt19937 random(1);
  Bytes expected(4 * kMiB, 0);
  for (int round = 0; round < 20; ++round) {
    const ByteRange range{random() % 4096 * 512, (1 + random() % 64) * 512};
    Bytes data(range.length);
    for (size_t i = 0; i < data.size(); ++i)
      expected[range.offset + i] |= data[i] = static_cast<uint8_t>(random());
    EXPECT_EQ(run(*target, OpKind::kOrWrite, range, data).result, 0);
  }
  EXPECT_TRUE(exported(name) == expected);
}

TEST_F(ImageParts, GrowthAndShrinkingAreSeen) {
  const std::string name = make_image({.bytes = 4 * kMiB, .order = 20});
  const auto target = Target::open(dev_config(name));
  ASSERT_TRUE(target);
  const ByteRange behind{4 * kMiB, 4096};
  constexpr OpKind kKinds[] = {OpKind::kCompare, OpKind::kOrWrite, OpKind::kWriteAndRead,
                               OpKind::kWriteAndCompare};
  for (const OpKind kind : kKinds)
    EXPECT_EQ(run(*target, kind, behind, Bytes(4096)).result, kBeyondEnd);
  resize(name, 8 * kMiB);
  for (const OpKind kind : kKinds) EXPECT_EQ(run(*target, kind, behind, Bytes(4096)).result, 0);
  resize(name, 4 * kMiB + 512);
  for (const OpKind kind : kKinds)
    EXPECT_EQ(run(*target, kind, behind, Bytes(4096)).result, kBeyondEnd);
}

TEST_F(ImageParts, ReadsInMoreThanOnePiece) {
  const std::string name = make_image({.bytes = 8 * kMiB, .order = 22});
  const auto target = Target::open(dev_config(name));
  ASSERT_TRUE(target);
  const ByteRange range{3 * kMiB - 512, kMiB + 1536};
  Bytes data(range.length);
  std::mt19937 random(2);
  std::ranges::generate(data, [&] { return static_cast<uint8_t>(random() & 0x7f); });
  EXPECT_EQ(run(*target, OpKind::kWriteAndCompare, range, data).result, 0);
  EXPECT_EQ(run(*target, OpKind::kCompare, range, data).result, 0);
  for (const uint32_t at : {0u, 524287u, 524288u, 1048575u, 1048576u, 1050111u}) {
    const OpDone done = run(*target, OpKind::kCompare, range, with(data, at, 0xff));
    EXPECT_EQ(done.result, -84);
    EXPECT_EQ(done.mismatch_at, at);
  }
  EXPECT_EQ(run(*target, OpKind::kOrWrite, range, Bytes(range.length, 0x80)).result, 0);
  for (uint8_t& byte : data) byte |= 0x80;
  EXPECT_EQ(run(*target, OpKind::kCompare, range, data).result, 0);
  EXPECT_EQ(run(*target, OpKind::kWriteAndRead, range, Bytes(range.length, 7)).result, 0);
  EXPECT_EQ(run(*target, OpKind::kCompare, range, Bytes(512, 7)).result, 0);
  ASSERT_EQ(target->write(range.end() - 1 - 511, Bytes(512, 8)), 0);
  EXPECT_EQ(run(*target, OpKind::kCompare, range, Bytes(512, 7)).mismatch_at, 0u);
}

// Explicit lock: ops that write are refused and write nothing; ops that only compare are not.
TEST_F(ImageParts, WithoutTheLockNothingIsWritten) {
  const std::string name = make_image({.bytes = 4 * kMiB, .order = 20});
  const auto owner = Target::open(dev_config(name));
  const auto other = Target::open_unlocked(dev_config(name));
  ASSERT_TRUE(owner && other);
  ASSERT_EQ(owner->write(0, Bytes(4096, 0x11)), 0);
  EXPECT_EQ(run(*other, OpKind::kCompare, {0, 4096}, Bytes(4096, 0x11)).result, 0);
  for (const OpKind kind : {OpKind::kOrWrite, OpKind::kWriteAndRead, OpKind::kWriteAndCompare})
    EXPECT_EQ(run(*other, kind, {0, 4096}, Bytes(4096, 0xff)).result, -EROFS);
  EXPECT_EQ(run(*owner, OpKind::kCompare, {0, 4096}, Bytes(4096, 0x11)).result, 0);
}

}  // namespace
}  // namespace tcmurbd::ceph
