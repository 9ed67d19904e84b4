// SPDX-License-Identifier: Apache-2.0
// A mutex that clang's thread safety analysis understands (libstdc++'s std::mutex has no
// annotations). The check runs with clang-tidy; other compilers ignore the annotations.
//
//     Mutex mutex_;
//     size_t count_ GUARDED_BY(mutex_) = 0;
//     void add() REQUIRES_LOCK(mutex_);            // The caller holds it.
//     changed_.wait(lock, [this]() REQUIRES_LOCK(mutex_) { return count_ != 0; });
//
// Condition variables are std::condition_variable_any; they wait on a MutexLock or on a Mutex.
#pragma once

#include <mutex>

#ifdef __clang__
#define TCMURBD_ANNOTATION(x) __attribute__((x))
#else
#define TCMURBD_ANNOTATION(x)
#endif

#define GUARDED_BY(mutex) TCMURBD_ANNOTATION(guarded_by(mutex))
#define REQUIRES_LOCK(mutex) TCMURBD_ANNOTATION(requires_capability(mutex))

namespace tcmurbd {

class TCMURBD_ANNOTATION(capability("mutex")) Mutex {
 public:
  void lock() TCMURBD_ANNOTATION(acquire_capability()) { mutex_.lock(); }
  void unlock() TCMURBD_ANNOTATION(release_capability()) { mutex_.unlock(); }

 private:
  std::mutex mutex_;
};

// Holds the mutex until its end, but for the time between unlock() and lock().
class TCMURBD_ANNOTATION(scoped_lockable) MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) TCMURBD_ANNOTATION(acquire_capability(mutex)) : mutex_(mutex) {
    mutex_.lock();
  }
  ~MutexLock() TCMURBD_ANNOTATION(release_capability()) {
    if (held_) mutex_.unlock();
  }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

  void lock() TCMURBD_ANNOTATION(acquire_capability()) {
    mutex_.lock();
    held_ = true;
  }
  void unlock() TCMURBD_ANNOTATION(release_capability()) {
    held_ = false;
    mutex_.unlock();
  }

 private:
  Mutex& mutex_;
  bool held_ = true;
};

}  // namespace tcmurbd
