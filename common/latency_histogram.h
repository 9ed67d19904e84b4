// SPDX-License-Identifier: Apache-2.0
// A histogram of durations with fixed, log-linear buckets: 1, 2, ... 9 times each power of ten,
// from 50 us to 60 s. So a limit that people name, such as 20 ms, is a bound, and a bucket is at
// most as wide as the durations below it. Plain values; any thread, one at a time. Nothing is
// allocated.
#pragma once

#include <array>
#include <bit>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <numeric>

namespace tcmurbd {

inline constexpr uint64_t kLatencyFirstNs = 50'000;
inline constexpr uint64_t kLatencyLastNs = 60'000'000'000;

consteval size_t count_latency_bounds() {
  size_t count = 0;
  uint64_t step = 10'000;
  for (uint64_t bound = kLatencyFirstNs; bound <= kLatencyLastNs; bound += step) {
    ++count;
    if (bound == 10 * step) step *= 10;
  }
  return count;
}

// Upper bounds, inclusive, in nanoseconds. All are whole microseconds.
inline constexpr auto kLatencyBoundsNs = [] {
  std::array<uint64_t, count_latency_bounds()> bounds{};
  uint64_t step = 10'000;
  uint64_t bound = kLatencyFirstNs;
  for (uint64_t& each : bounds) {
    each = bound;
    if (bound == 10 * step) step *= 10;
    bound += step;
  }
  return bounds;
}();
static_assert(kLatencyBoundsNs.back() == kLatencyLastNs);

class LatencyHistogram {
 public:
  // One for each bound, and the last for what is longer than all.
  static constexpr size_t kBuckets = kLatencyBoundsNs.size() + 1;

  // A negative duration counts as none.
  void add(std::chrono::nanoseconds duration) {
    const uint64_t ns = duration.count() < 0 ? 0 : static_cast<uint64_t>(duration.count());
    ++buckets_[bucket_of(ns)];
    sum_ns_ += ns;
  }
  void operator+=(const LatencyHistogram& other) {
    for (size_t i = 0; i < kBuckets; ++i) buckets_[i] += other.buckets_[i];
    sum_ns_ += other.sum_ns_;
  }

  const std::array<uint64_t, kBuckets>& buckets() const { return buckets_; }
  uint64_t count() const { return std::accumulate(buckets_.begin(), buckets_.end(), uint64_t{0}); }
  uint64_t sum_ns() const { return sum_ns_; }

  static constexpr size_t bucket_of(uint64_t ns) {
    if (ns > kLatencyLastNs) return kBuckets - 1;
    size_t bucket = kFirstOfWidth[static_cast<size_t>(std::bit_width(ns))];
    while (kLatencyBoundsNs[bucket] < ns) ++bucket;  // At most five: no octave has more bounds.
    return bucket;
  }

 private:
  // By the number of bits of a duration: the bucket of the shortest such one.
  static constexpr auto kFirstOfWidth = [] {
    std::array<uint8_t, static_cast<size_t>(std::bit_width(kLatencyLastNs)) + 1> first{};
    for (size_t width = 1; width < first.size(); ++width)
      while (kLatencyBoundsNs[first[width]] < uint64_t{1} << (width - 1)) ++first[width];
    return first;
  }();

  std::array<uint64_t, kBuckets> buckets_{};
  uint64_t sum_ns_ = 0;
};

}  // namespace tcmurbd
