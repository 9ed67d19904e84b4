// SPDX-License-Identifier: Apache-2.0
// Carries completions from librbd's threads to the LUN: a bounded lock-free queue. Who pushes the
// first of a batch sees to it that the batch is drained: it takes the LUN's turn and drains it
// itself if it may, else it writes an eventfd, which wakes the reactor. The eventfd is written once
// a batch, not once a completion.
//
// With few ops in flight, the turn on librbd's thread saves the reactor's wake-up, half a switch of
// threads per op. With many, the reactor is better: it answers a batch with one doorbell.
#pragma once

#include <atomic>
#include <boost/lockfree/queue.hpp>
#include <cstddef>
#include <functional>

#include "common/unique_fd.h"
#include "rbd_handler/image.h"
#include "rbd_handler/reactor/turn.h"

namespace tcmurbd::reactor {

// Client instances of one LUN that may have ops in flight at a time: the one that serves, and those
// that were given up and whose ops still hang. Each costs threads and connections; an OSD that
// hangs for long ends them by their time-out, a few at a time.
inline constexpr size_t kInstancesMax = 8;

class Inbox {
 public:
  // Drains the inbox on the thread that pushed, and shows the kernel what was completed. False: it
  // did nothing, the reactor must. Called with the turn; must not wait for anything.
  using DrainHere = std::function<bool()>;

  // Throws std::system_error when the process is out of descriptors.
  Inbox();

  // Any thread, also one that holds the turn. Never waits. Allocates only if the turn taken here
  // does.
  // REQUIRES: at most kImageOpsMax for each of kInstancesMax instances pushed and not drained (the
  // core's bound on ops in flight).
  void push(OpDone done);

  Turn turn;
  // {}: pushers leave it all to the reactor from now on. After this call, the last one is not
  // called any more.
  void set_drain_here(DrainHere drain) REQUIRES_LOCK(turn) { drain_here_ = std::move(drain); }
  // Whether pushers should try to take the turn. Only advice: a pusher may see it late.
  void invite(bool pushers) { invited_.store(pushers, std::memory_order_relaxed); }

  // Calls fn(OpDone) for all that is there. Returns how many.
  template <typename Fn>
  size_t drain(Fn fn) REQUIRES_LOCK(turn) {
    // An exchange, not a store: it must read the pushers' flag writes, so that their queue entries
    // are visible.
    if (!signalled_.exchange(false, std::memory_order_acq_rel)) return 0;
    size_t count = 0;
    for (OpDone done; queue_.pop(done); ++count) fn(done);
    return count;
  }

  // Readable when the reactor is to drain; it may also be so once for nothing.
  int fd() const { return event_.get(); }
  // Reactor thread: to be called when fd() was readable, before drain().
  void clear_event();

 private:
  bool drained_here();

  boost::lockfree::queue<OpDone, boost::lockfree::capacity<kInstancesMax * kImageOpsMax + 1>>
      queue_;
  std::atomic<bool> signalled_{false};
  std::atomic<bool> invited_{false};
  DrainHere drain_here_ GUARDED_BY(turn);
  UniqueFd event_;  // Constant after construction.
};

}  // namespace tcmurbd::reactor
