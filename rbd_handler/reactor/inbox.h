// SPDX-License-Identifier: Apache-2.0
// Carries completions from librbd's threads to the reactor that owns the LUN: the only object of a
// LUN that two threads touch. A bounded lock-free queue and an eventfd that is written once a
// batch, not once a completion.
#pragma once

#include <atomic>
#include <boost/lockfree/queue.hpp>
#include <cstddef>

#include "common/unique_fd.h"
#include "rbd_handler/image.h"

namespace tcmurbd::reactor {

// Client instances of one LUN that may have ops in flight at a time: the one that serves, and those
// that were given up and whose ops still hang. Each costs threads and connections; an OSD that
// hangs for long ends them by their time-out, a few at a time.
inline constexpr size_t kInstancesMax = 8;

class Inbox {
 public:
  // Throws std::system_error when the process is out of descriptors.
  Inbox();

  // Any thread. Never blocks, never allocates.
  // REQUIRES: at most kImageOpsMax for each of kInstancesMax instances pushed and not drained (the
  // core's bound on ops in flight).
  void push(OpDone done);

  // Reactor thread: calls fn(OpDone) for all that is there. Returns how many.
  template <typename Fn>
  size_t drain(Fn fn) {
    // An exchange, not a store: it must read the pushers' flag writes, so that their queue entries
    // are visible.
    if (!signalled_.exchange(false, std::memory_order_acq_rel)) return 0;
    size_t count = 0;
    for (OpDone done; queue_.pop(done); ++count) fn(done);
    return count;
  }
  // Reactor thread: whether drain() would find something; for polling.
  bool has_entries() const { return signalled_.load(std::memory_order_acquire); }

  // Readable when there is something to drain; it may also be so once for nothing.
  int fd() const { return event_.get(); }
  // Reactor thread: to be called when fd() was readable, before drain().
  void clear_event();

 private:
  boost::lockfree::queue<OpDone, boost::lockfree::capacity<kInstancesMax * kImageOpsMax + 1>>
      queue_;
  std::atomic<bool> signalled_{false};
  UniqueFd event_;  // Constant after construction.
};

}  // namespace tcmurbd::reactor
