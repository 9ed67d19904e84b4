// SPDX-License-Identifier: Apache-2.0
// When to give free memory back to the kernel. A client instance allocates in the arenas of its
// dozen threads, and some 20 KiB of each ended one stay in them, free, for good. malloc_trim()
// gives them back; it holds the lock of each arena for up to a millisecond. While hundreds of LUNs
// end at once, a trim for each would stop everything that allocates for seconds. So there is one a
// second; what it leaves is for the next one.
#pragma once

#include <atomic>

#include "common/units.h"

namespace tcmurbd::ceph {

class HeapTrim {
 public:
  static constexpr Duration kEvery = std::chrono::seconds(1);

  // Whether the caller is to trim now. Any thread; of several at a time, one gets true.
  bool due(TimePoint now) {
    TimePoint next = next_.load(std::memory_order_relaxed);
    return now >= next && next_.compare_exchange_strong(next, now + kEvery);
  }

 private:
  std::atomic<TimePoint> next_{TimePoint::min()};
};

}  // namespace tcmurbd::ceph
