// SPDX-License-Identifier: Apache-2.0
// The parts of a gateway for the exclusive lock: an image, a control client and a lock channel,
// with one way to answer requests. For the cluster, several in one process are like several
// processes.
#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "ceph_live.h"
#include "rbd_handler/ceph/fence_guard.h"
#include "rbd_handler/ceph/lock_channel.h"
#include "rbd_handler/ceph/rados_lock_cluster.h"

namespace tcmurbd::ceph {

using std::chrono::steady_clock;

inline double seconds_since(steady_clock::time_point begin) {
  return std::chrono::duration<double>(steady_clock::now() - begin).count();
}

class Gateway {
 public:
  enum class Manner {
    kReleases,
    kHoldsDetached,
    kMustWait,
    kSilent,
    kTakesAgain,  // Releases and acquires it at the first request and is silent; then kReleases.
  };

  // `conf` must be a different path for each gateway, so that each has its own control client.
  Gateway(const std::string& conf, const std::string& image, Manner manner);
  ~Gateway();

  std::expected<LockTaken, LockFailure> acquire(std::span<const std::string> fenced = {});
  int32_t write(uint8_t fill) { return target->write(0, Bytes(4096, fill)); }
  // The number of requests for the lock.
  uint32_t asked();

  std::unique_ptr<Target> target;
  std::shared_ptr<ControlClient> control;
  std::unique_ptr<LockChannel> channel;
  std::shared_ptr<FenceGuard> guard;
  std::shared_ptr<FenceLedger> ledger;

 private:
  void answer_requests(std::stop_token stop);

  Manner manner_;  // Of the worker.
  std::mutex mutex_;
  std::condition_variable_any arrived_;
  std::deque<PeerRequest> requests_;  // Guarded by mutex_.
  uint32_t asked_ = 0;                // Guarded by mutex_.
  std::jthread worker_;
};

// Stops a process, each of its threads, for as long as this lives. The lab gives the pids of the
// monitor and the OSD in TCMU_RBD_TEST_MON_PID and TCMU_RBD_TEST_OSD_PID.
class Frozen {
 public:
  explicit Frozen(pid_t pid);
  ~Frozen();
  Frozen(const Frozen&) = delete;
  Frozen& operator=(const Frozen&) = delete;

 private:
  const pid_t pid_;
};

pid_t pid_from(const char* variable);

}  // namespace tcmurbd::ceph
