// SPDX-License-Identifier: Apache-2.0
// Quantities used in every folder. Plain values, usable from any thread.
#pragma once

#include <chrono>
#include <cstdint>

namespace tcmurbd {

// The monotonic time of an event. The pure core never reads a clock; it gets the time as an
// argument.
using TimePoint = std::chrono::time_point<std::chrono::steady_clock>;
using Duration = TimePoint::duration;

inline constexpr uint64_t kKiB = 1024;
inline constexpr uint64_t kMiB = 1024 * kKiB;
inline constexpr uint64_t kGiB = 1024 * kMiB;

// A range of bytes of one image. An empty range overlaps nothing.
struct ByteRange {
  uint64_t offset = 0;
  uint64_t length = 0;

  // ENSURES: no overflow for ranges that lie within an image (offset + length <= 2^64 - 1).
  constexpr uint64_t end() const { return offset + length; }
  constexpr bool overlaps(const ByteRange& other) const {
    return length != 0 && other.length != 0 && offset < other.end() && other.offset < end();
  }
  bool operator==(const ByteRange&) const = default;
};

}  // namespace tcmurbd
