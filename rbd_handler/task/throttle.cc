// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/task/throttle.h"

#include <algorithm>

namespace tcmurbd::task {

Duration time_at(const RateLimits& limits, uint64_t ops, uint64_t bytes) {
  double seconds = 0;
  const auto consider = [&seconds](uint64_t amount, uint64_t rate) {
    if (rate != 0)
      seconds = std::max(seconds, static_cast<double>(amount) / static_cast<double>(rate));
  };
  consider(ops, limits.iops);
  consider(ops, limits.write_iops);
  consider(bytes, limits.bps);
  consider(bytes, limits.write_bps);
  return std::chrono::duration_cast<Duration>(std::chrono::duration<double>(seconds));
}

void Throttle::set(const RateLimits& limits, TimePoint now) {
  const auto fresh = [](uint64_t rate) {
    return Bucket{.rate = kShare * static_cast<double>(rate)};
  };
  ops_ = {fresh(limits.iops), fresh(limits.read_iops), fresh(limits.write_iops)};
  bytes_ = {fresh(limits.bps), fresh(limits.read_bps), fresh(limits.write_bps)};
  limited_ = limits != RateLimits{};
  filled_ = now;
}

bool Throttle::admits(bool changes, TimePoint now) {
  if (!limited_) return true;
  const double passed = std::chrono::duration<double>(now - filled_).count();
  filled_ = now;
  bool admitted = true;
  for (auto* const buckets : {&ops_, &bytes_}) {
    for (size_t kind = 0; kind < kKinds; ++kind) {
      Bucket& bucket = (*buckets)[kind];
      if (bucket.rate == 0) continue;
      bucket.level = std::min(bucket.level + passed * bucket.rate, bucket.rate * kBurstSeconds);
      const bool concerned = kind == 0 || (kind == 2) == changes;
      if (concerned && bucket.level < 0) admitted = false;
    }
  }
  return admitted;
}

void Throttle::take(bool changes, uint64_t bytes) {
  if (!limited_) return;
  for (const size_t kind : {size_t{0}, changes ? size_t{2} : size_t{1}}) {
    ops_[kind].level -= ops_[kind].rate == 0 ? 0 : 1;
    bytes_[kind].level -= bytes_[kind].rate == 0 ? 0 : static_cast<double>(bytes);
  }
}

}  // namespace tcmurbd::task
