// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/ceph/op_parts.h"

#include <algorithm>
#include <cerrno>
#include <functional>

#include "rbd_handler/ceph/ceph_quirks.h"

namespace tcmurbd::ceph {
namespace {

constexpr Part kWhole[] = {Part::kWhole};
constexpr Part kReadOnly[] = {Part::kRead};
constexpr Part kReadFirst[] = {Part::kRead, Part::kWrite};
constexpr Part kWriteFirst[] = {Part::kWrite, Part::kRead};

// Compares with `expected`, repeated.
int32_t compare(std::span<const uint8_t> expected, std::span<const uint8_t> found,
                uint64_t& mismatch) {
  for (; !expected.empty() && !found.empty(); found = found.subspan(expected.size())) {
    const auto differs = std::ranges::mismatch(expected, found).in1;
    if (differs == expected.end()) continue;
    mismatch += static_cast<uint64_t>(differs - expected.begin());
    return kMiscompare;
  }
  return 0;
}

}  // namespace

std::span<const Part> parts_of(const ImageOp& op) {
  switch (op.kind) {
    case OpKind::kRead:
    case OpKind::kWrite:
    case OpKind::kWriteZeroes:
    case OpKind::kWriteSame:
    case OpKind::kBlockStatus:
      return kWhole;
    case OpKind::kCompareAndWrite:
      if (op.range.length <= kCompareBytesMax) return kWhole;
      return kReadFirst;
    case OpKind::kOrWrite:
      return kReadFirst;
    case OpKind::kCompare:
      return kReadOnly;
    case OpKind::kWriteAndRead:
    case OpKind::kWriteAndCompare:
      return kWriteFirst;
  }
  return kWhole;
}

int32_t look_at(OpKind kind, std::span<uint8_t> data, std::span<const uint8_t> found, uint64_t at,
                uint64_t& mismatch) {
  // Otherwise it is one block, repeated, and the piece starts at a block boundary.
  if (at + found.size() <= data.size())
    data = data.subspan(at, found.size());
  else
    at = 0;
  if (compares(kind)) {
    mismatch = at;
    return compare(data, found, mismatch);
  }
  if (kind == OpKind::kOrWrite)
    std::ranges::transform(data, found, data.begin(), std::bit_or<uint8_t>());
  return 0;
}

int32_t result_at_end(const ByteRange& range, int32_t result,
                      const std::expected<uint64_t, int>& bytes) {
  if (!bytes) return bytes.error() == -ETIMEDOUT ? -EAGAIN : bytes.error();
  return range.end() > *bytes ? kBeyondEnd : result;
}

}  // namespace tcmurbd::ceph
