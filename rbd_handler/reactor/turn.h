// SPDX-License-Identifier: Apache-2.0
// The turn of a LUN: the thread that holds it is the one that runs the LUN's Device. The reactor
// waits for it; a thread of librbd only tries to get it, and never waits.
//
// Lock order: the turn comes first. Its holder may take the short locks of the image
// (Image::submit) and of an io_context (post), never the turn of another LUN. No lock may be held
// by a thread that waits for the turn.
#pragma once

#include <atomic>
#include <mutex>
#include <thread>

#include "common/mutex.h"

namespace tcmurbd::reactor {

class TCMURBD_ANNOTATION(capability("turn")) Turn {
 public:
  // REQUIRES: this thread does not hold it.
  void lock() TCMURBD_ANNOTATION(acquire_capability()) {
    mutex_.lock();
    set_holder();
  }
  // False: a thread holds it, which may be this one (an Image may push a completion from within
  // submit).
  bool try_lock() TCMURBD_ANNOTATION(try_acquire_capability(true)) {
    if (holder_.load(std::memory_order_relaxed) == std::this_thread::get_id()) return false;
    if (!mutex_.try_lock()) return false;
    set_holder();
    return true;
  }
  void unlock() TCMURBD_ANNOTATION(release_capability()) {
    holder_.store({}, std::memory_order_relaxed);
    mutex_.unlock();
  }

 private:
  void set_holder() { holder_.store(std::this_thread::get_id(), std::memory_order_relaxed); }

  std::mutex mutex_;
  // Only compared with the id of the thread that reads it, so no order is needed.
  std::atomic<std::thread::id> holder_{};
};

// Holds the turn until its end.
class TCMURBD_ANNOTATION(scoped_lockable) TurnLock {
 public:
  explicit TurnLock(Turn& turn) TCMURBD_ANNOTATION(acquire_capability(turn)) : turn_(turn) {
    turn_.lock();
  }
  ~TurnLock() TCMURBD_ANNOTATION(release_capability()) { turn_.unlock(); }
  TurnLock(const TurnLock&) = delete;
  TurnLock& operator=(const TurnLock&) = delete;

 private:
  Turn& turn_;
};

}  // namespace tcmurbd::reactor
