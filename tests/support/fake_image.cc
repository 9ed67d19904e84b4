// SPDX-License-Identifier: Apache-2.0
#include "tests/support/fake_image.h"

#include <algorithm>

#include "common/check.h"

namespace tcmurbd::testing {

void FakeImage::submit(const ImageOp& op, OpToken token) {
  CHECK(op.range.length != 0 && op.range.end() <= content.size());
  CHECK(pending.size() < kImageOpsMax);
  for (const Pending& other : pending) {
    // Ops of one command (one token) may touch: they do the same.
    if (other.token != token && (changes_image(op.kind) || changes_image(other.op.kind))) {
      overlap_seen |= other.op.range.overlaps(op.range);
    }
  }
  Pending entry{op, token, {}};
  if (changes_image(op.kind)) {
    entry.data.resize(iov_bytes(op.data));
    copy_from_iov(op.data, 0, entry.data);
    CHECK(op.kind != OpKind::kCompareAndWrite || entry.data.size() == 2 * op.range.length);
  } else if (op.kind == OpKind::kBlockStatus) {
    CHECK(op.mapped != nullptr);
  } else {
    CHECK(iov_bytes(op.data) == op.range.length);
  }
  pending.push_back(std::move(entry));
}

OpDone FakeImage::finish(size_t index, int32_t result) {
  CHECK(index < pending.size());
  const Pending entry = std::move(pending[index]);
  pending.erase(pending.begin() + static_cast<ptrdiff_t>(index));
  const auto [offset, length] = entry.op.range;
  uint8_t* const target = content.data() + offset;
  if (result == 0) {
    switch (entry.op.kind) {
      case OpKind::kRead:
        copy_to_iov(entry.op.data, 0, {target, length});
        break;
      case OpKind::kWrite:
        CHECK(entry.data.size() == length);
        std::ranges::copy(entry.data, target);
        break;
      case OpKind::kWriteZeroes:
        std::fill_n(target, length, uint8_t{0});
        break;
      case OpKind::kWriteSame:
        for (uint64_t at = 0; at < length; ++at) target[at] = entry.data[at % entry.data.size()];
        break;
      case OpKind::kCompareAndWrite: {
        const auto replacement = entry.data.begin() + static_cast<ptrdiff_t>(length);
        const auto differs = std::mismatch(entry.data.begin(), replacement, target).first;
        if (differs != replacement)
          return {entry.token, kMiscompare, static_cast<uint32_t>(differs - entry.data.begin())};
        std::copy(replacement, entry.data.end(), target);
        break;
      }
      case OpKind::kBlockStatus:
        find_mapped(entry.op);
        break;
    }
  }
  return {entry.token, result};
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
