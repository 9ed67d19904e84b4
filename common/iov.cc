// SPDX-License-Identifier: Apache-2.0
#include "common/iov.h"

#include <algorithm>
#include <cstring>

namespace tcmurbd {
namespace {

// Calls fn(piece, bytes_done) for each contiguous piece from `offset` on, until `limit` bytes are
// done.
template <typename Fn>
size_t for_each_piece(IovSpan iov, uint64_t offset, uint64_t limit, Fn fn) {
  uint64_t done = 0;
  for (const iovec& v : iov) {
    if (done == limit) break;
    if (offset >= v.iov_len) {
      offset -= v.iov_len;
      continue;
    }
    const uint64_t length = std::min<uint64_t>(v.iov_len - offset, limit - done);
    fn(std::span(static_cast<uint8_t*>(v.iov_base) + offset, length), done);
    done += length;
    offset = 0;
  }
  return done;
}

}  // namespace

uint64_t iov_bytes(IovSpan iov) {
  uint64_t sum = 0;
  for (const iovec& v : iov) sum += v.iov_len;
  return sum;
}

size_t copy_to_iov(IovSpan iov, uint64_t offset, std::span<const uint8_t> source) {
  return for_each_piece(iov, offset, source.size(), [&](std::span<uint8_t> piece, uint64_t done) {
    std::memcpy(piece.data(), source.data() + done, piece.size());
  });
}

size_t copy_from_iov(IovSpan iov, uint64_t offset, std::span<uint8_t> target) {
  return for_each_piece(iov, offset, target.size(), [&](std::span<uint8_t> piece, uint64_t done) {
    std::memcpy(target.data() + done, piece.data(), piece.size());
  });
}

void zero_iov(IovSpan iov, uint64_t offset) {
  for_each_piece(iov, offset, UINT64_MAX, [](std::span<uint8_t> piece, uint64_t) {
    std::memset(piece.data(), 0, piece.size());
  });
}

}  // namespace tcmurbd
