// SPDX-License-Identifier: Apache-2.0
// An image's QoS limits (rbd_qos_*). Plain values.
#pragma once

#include <cstdint>

namespace tcmurbd::task {

// Per second; 0: no limit.
struct RateLimits {
  uint64_t iops = 0;
  uint64_t bps = 0;
  uint64_t read_iops = 0;
  uint64_t read_bps = 0;
  uint64_t write_iops = 0;
  uint64_t write_bps = 0;

  bool operator==(const RateLimits&) const = default;
};

}  // namespace tcmurbd::task
