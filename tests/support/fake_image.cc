// SPDX-License-Identifier: Apache-2.0
#include "tests/support/fake_image.h"

#include <algorithm>

#include "common/check.h"

namespace tcmurbd::testing {
namespace {

size_t data_bytes(const ImageOp& op) {
  switch (op.kind) {
    case OpKind::kWriteZeroes:
    case OpKind::kBlockStatus:
      return 0;
    case OpKind::kWriteSame:
    case OpKind::kCompare:  // Or none, or as much as the range.
      return iov_bytes(op.data);
    case OpKind::kCompareAndWrite:
      return 2 * op.range.length;
    default:
      return op.range.length;
  }
}

}  // namespace

void FakeImage::submit(const ImageOp& op, OpToken token) {
  CHECK(op.range.length != 0 && op.range.end() <= content.size());
  CHECK(pending.size() < kImageOpsMax);
  for (const Pending& other : pending) {
    // Ops of one command (one token) may touch: they do the same.
    if (other.op.kind == OpKind::kBlockStatus) continue;
    if (lenient && op.kind == OpKind::kBlockStatus) continue;
    const bool ordered = changes_image(other.op.kind) || (changes_image(op.kind) && !lenient);
    if (other.token != token && ordered) {
      overlap_seen |= other.op.range.overlaps(op.range);
    }
  }
  CHECK(iov_bytes(op.data) == data_bytes(op));
  CHECK((op.kind != OpKind::kBlockStatus) || op.mapped != nullptr);
  Pending entry{op, token, {}, {}};
  if (op.kind != OpKind::kRead) {
    entry.data.resize(iov_bytes(op.data));
    copy_from_iov(op.data, 0, entry.data);
  }
  pending.push_back(std::move(entry));
}

void FakeImage::do_first_part(size_t index) {
  CHECK(index < pending.size());
  Pending& entry = pending[index];
  CHECK(entry.found.empty());
  const auto [offset, length] = entry.op.range;
  const auto place = content.begin() + static_cast<ptrdiff_t>(offset);
  switch (entry.op.kind) {
    case OpKind::kWriteAndRead:
    case OpKind::kWriteAndCompare:
      std::ranges::copy(entry.data, place);
      break;
    default:
      break;
  }
  entry.found.assign(place, place + static_cast<ptrdiff_t>(length));
}

OpDone FakeImage::finish(size_t index, int32_t result) {
  CHECK(index < pending.size());
  if (result == 0 && pending[index].found.empty()) do_first_part(index);
  const Pending entry = std::move(pending[index]);
  pending.erase(pending.begin() + static_cast<ptrdiff_t>(index));
  if (result != 0) return {entry.token, result};
  return apply(entry);
}

// The remaining work after the first part.
OpDone FakeImage::apply(const Pending& entry) {
  const auto [offset, length] = entry.op.range;
  uint8_t* const target = content.data() + offset;
  const std::vector<uint8_t>& data = entry.data;
  const size_t compared = entry.op.kind == OpKind::kCompareAndWrite ? length : data.size();
  if (compares(entry.op.kind) && compared != 0) {
    for (size_t at = 0; at < length; ++at) {
      if (entry.found[at] != data[at % compared])
        return {entry.token, kMiscompare, static_cast<uint32_t>(at % compared)};
    }
  }
  switch (entry.op.kind) {
    case OpKind::kRead:
      copy_to_iov(entry.op.data, 0, {target, length});
      break;
    case OpKind::kWrite:
      std::ranges::copy(data, target);
      break;
    case OpKind::kWriteZeroes:
      std::fill_n(target, length, uint8_t{0});
      break;
    case OpKind::kWriteSame:
      for (uint64_t at = 0; at < length; ++at) target[at] = data[at % data.size()];
      break;
    case OpKind::kCompareAndWrite:
      std::copy_n(data.begin() + static_cast<ptrdiff_t>(length), length, target);
      break;
    case OpKind::kOrWrite:
      for (size_t at = 0; at < length; ++at) target[at] = entry.found[at] | data[at];
      break;
    case OpKind::kBlockStatus:
      find_mapped(entry.op);
      break;
    case OpKind::kCompare:
    case OpKind::kWriteAndRead:
    case OpKind::kWriteAndCompare:
      break;
  }
  return {entry.token};
}

void FakeImage::find_mapped(const ImageOp& op) const {
  op.mapped->clear();
  for (uint64_t at = op.range.offset; at < op.range.end(); ++at) {
    if (content[at] == 0) continue;
    if (op.mapped->empty() || op.mapped->back().end() != at) op.mapped->push_back({at, 0});
    ++op.mapped->back().length;
  }
}

}  // namespace tcmurbd::testing
