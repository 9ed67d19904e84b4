// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/ring/cdb_length.h"

#include <algorithm>

#include "rbd_handler/ring/ring.h"

namespace tcmurbd::ring {
namespace {

constexpr uint8_t kVariableLength = 0x7f;
constexpr size_t kAdditionalLengthByte = 7;
constexpr size_t kVariableHeaderBytes = 8;
// The longest CDB of a fixed length; the limit for unknown groups.
constexpr size_t kFixedBytesMax = 16;

size_t wanted_length(std::span<const uint8_t> bytes) {
  if (bytes[0] == kVariableLength) {
    if (bytes.size() < kVariableHeaderBytes) return kVariableHeaderBytes;
    return kVariableHeaderBytes + bytes[kAdditionalLengthByte];
  }
  switch (bytes[0] >> 5) {
    case 0:
      return 6;
    case 1:
    case 2:
      return 10;
    case 4:
      return 16;
    case 5:
      return 12;
    default:
      return std::min(bytes.size(), kFixedBytesMax);
  }
}

}  // namespace

size_t cdb_length(std::span<const uint8_t> bytes) {
  if (bytes.empty()) return 0;
  const size_t length = wanted_length(bytes);
  return length <= bytes.size() && length <= kCdbBytesMax ? length : 0;
}

}  // namespace tcmurbd::ring
