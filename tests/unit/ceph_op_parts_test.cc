// SPDX-License-Identifier: Apache-2.0
// The parts of an op without a librbd call, and the processing between them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "rbd_handler/ceph/op_parts.h"

namespace tcmurbd::ceph {
namespace {

using enum OpKind;
using testing::ElementsAre;
using Bytes = std::vector<uint8_t>;

auto parts(OpKind kind, uint64_t length) {
  return parts_of({.kind = kind, .range = {0, length}, .data = {}});
}

TEST(OpParts, LibrbdDoesWholeWhatItCan) {
  for (const OpKind kind : {kRead, kWrite, kWriteZeroes, kWriteSame, kBlockStatus})
    EXPECT_THAT(parts(kind, 8192), ElementsAre(Part::kWhole));
  EXPECT_THAT(parts(kCompareAndWrite, 512), ElementsAre(Part::kWhole));
}

TEST(OpParts, TheOthersReadAndWriteInTurn) {
  EXPECT_THAT(parts(kCompareAndWrite, 4096), ElementsAre(Part::kRead, Part::kWrite));
  EXPECT_THAT(parts(kOrWrite, 512), ElementsAre(Part::kRead, Part::kWrite));
  EXPECT_THAT(parts(kCompare, 512), ElementsAre(Part::kRead));
  EXPECT_THAT(parts(kWriteAndRead, 512), ElementsAre(Part::kWrite, Part::kRead));
  EXPECT_THAT(parts(kWriteAndCompare, 512), ElementsAre(Part::kWrite, Part::kRead));
}

// The result and the offset of the first difference.
std::pair<int32_t, uint64_t> look(OpKind kind, Bytes data, const Bytes& found, uint64_t at = 0) {
  uint64_t mismatch = 0;
  const int32_t result = look_at(kind, data, found, at, mismatch);
  return {result, result < 0 ? mismatch : 0};
}
constexpr std::pair<int32_t, uint64_t> kSame = {0, 0};
constexpr int32_t kDiffers = -84;  // -EILSEQ

TEST(OpParts, ComparesWithAllOfTheData) {
  for (const OpKind kind : {kCompare, kWriteAndCompare}) {
    EXPECT_EQ(look(kind, {1, 2, 3}, {1, 2, 3}), kSame);
    EXPECT_EQ(look(kind, {1, 2, 3}, {0, 2, 3}), std::pair(kDiffers, uint64_t{0}));
    EXPECT_EQ(look(kind, {1, 2, 3}, {1, 2, 4}), std::pair(kDiffers, uint64_t{2}));
    EXPECT_EQ(look(kind, {1, 2, 3}, {1, 0, 0}), std::pair(kDiffers, uint64_t{1}));
  }
}

TEST(OpParts, ComparesWithAPatternOrWithNothing) {
  EXPECT_EQ(look(kCompare, {1, 2}, {1, 2, 1, 2, 1, 2}), kSame);
  EXPECT_EQ(look(kCompare, {1, 2}, {1, 2, 1, 2, 1, 1}), std::pair(kDiffers, uint64_t{1}));
  EXPECT_EQ(look(kCompare, {1, 2}, {1, 2, 2, 2}), std::pair(kDiffers, uint64_t{0}));
  EXPECT_EQ(look(kCompare, {}, {1, 2, 3}), kSame);
}

TEST(OpParts, ComparesWithTheFirstHalfOfACompareAndWrite) {
  EXPECT_EQ(look(kCompareAndWrite, {1, 2, 8, 9}, {1, 2}), kSame);
  EXPECT_EQ(look(kCompareAndWrite, {1, 2, 8, 9}, {1, 9}), std::pair(kDiffers, uint64_t{1}));
}

TEST(OpParts, ComparesPieceByPiece) {
  EXPECT_EQ(look(kCompare, {1, 2, 3, 4}, {3, 4}, 2), kSame);
  EXPECT_EQ(look(kCompare, {1, 2, 3, 4}, {3, 5}, 2), std::pair(kDiffers, uint64_t{3}));
  EXPECT_EQ(look(kCompare, {1, 2}, {1, 2, 1, 2}, 4), kSame);
  EXPECT_EQ(look(kCompare, {1, 2}, {1, 2, 1, 3}, 4), std::pair(kDiffers, uint64_t{1}));
  EXPECT_EQ(look(kCompare, {}, {1, 2}, 2), kSame);
}

TEST(OpParts, OrsAndComparesNothingElse) {
  Bytes data = {0x01, 0xf0, 0x00, 0xff};
  const Bytes found = {0x80, 0x0f, 0x55, 0x00};
  uint64_t mismatch = 0;
  EXPECT_EQ(look_at(kOrWrite, data, found, 0, mismatch), 0);
  EXPECT_EQ(data, (Bytes{0x81, 0xff, 0x55, 0xff}));
  EXPECT_EQ(look_at(kOrWrite, data, Bytes{0x08, 0x20}, 2, mismatch), 0);
  EXPECT_EQ(data, (Bytes{0x81, 0xff, 0x5d, 0xff}));
  EXPECT_EQ(look(kWriteAndRead, {1, 2, 3}, {0, 0, 0}), kSame);
}

TEST(ResultAtEnd, ACutChangeIsNoSuccess) {
  const ByteRange range{4096, 4096};
  EXPECT_EQ(result_at_end(range, 0, 8192), 0);
  EXPECT_EQ(result_at_end(range, 0, 8191), kBeyondEnd);
  EXPECT_EQ(result_at_end(range, 0, 0), kBeyondEnd);
  EXPECT_EQ(result_at_end(range, -EINVAL, 8192), -EINVAL);
  EXPECT_EQ(result_at_end(range, -EINVAL, 4096), kBeyondEnd);
}

TEST(ResultAtEnd, WithoutASizeBeingCutCantBeRuledOut) {
  const ByteRange range{4096, 4096};
  EXPECT_EQ(result_at_end(range, 0, std::unexpected(-ESHUTDOWN)), -ESHUTDOWN);
  EXPECT_EQ(result_at_end(range, 0, std::unexpected(-ETIMEDOUT)), -EAGAIN);
  EXPECT_EQ(result_at_end(range, -EINVAL, std::unexpected(-ETIMEDOUT)), -EAGAIN);
}

}  // namespace
}  // namespace tcmurbd::ceph
