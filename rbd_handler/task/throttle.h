// SPDX-License-Identifier: Apache-2.0
// Admits ops by the image's QoS limits before they are given to librbd. librbd has the same limits,
// but an op that waits inside of it can't be taken back, and looks from outside like one that an
// OSD hangs. What waits here is dropped like every command that has not begun.
//
// A token bucket for each limit. An op is admitted when no bucket is in debt, and may put it into
// debt: so the rate holds on average and an op larger than a second's worth passes too.
//
// Pure; time comes in as an argument. Reactor thread.
#pragma once

#include <array>
#include <cstdint>

#include "common/units.h"
#include "rbd_handler/task/rate_limits.h"

namespace tcmurbd::task {

// How long so many ops that change so many bytes take at these limits. Zero: there is none for
// them.
Duration time_at(const RateLimits& limits, uint64_t ops, uint64_t bytes);

class Throttle {
 public:
  void set(const RateLimits& limits, TimePoint now);
  bool limited() const { return limited_; }

  // Whether an op may begin now.
  bool admits(bool changes, TimePoint now);
  // It begins.
  // REQUIRES: admits() said so at this time.
  void take(bool changes, uint64_t bytes);

 private:
  // librbd has the same limits. With all of a limit an op waits there for 50 ms at the median, with
  // this share of it 1 ms (measured, 16.2).
  static constexpr double kShare = 0.95;
  // How much may come at once after a pause: a tenth of a second's worth. librbd's own buckets hold
  // at least as much, so that what is admitted here does not wait there.
  static constexpr double kBurstSeconds = 0.1;

  struct Bucket {
    double rate = 0;   // Tokens a second; 0: no limit.
    double level = 0;  // Below zero: debt.
  };
  static constexpr size_t kKinds = 3;  // All, reads, changes.

  std::array<Bucket, kKinds> ops_;
  std::array<Bucket, kKinds> bytes_;
  bool limited_ = false;
  TimePoint filled_{};
};

}  // namespace tcmurbd::task
