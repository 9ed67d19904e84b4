// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/ceph/map_watch.h"

#include <condition_variable>
#include <system_error>
#include <thread>
#include <utility>

#include "common/mutex.h"

namespace tcmurbd::ceph {

namespace {

// With a quorum, the thread ends within milliseconds.
constexpr std::chrono::seconds kEndPatience{2};

}  // namespace

struct MapWatch::Shared {
  std::shared_ptr<ControlClient> control;  // The thread's, until it has ended.
  Mutex mutex;
  std::condition_variable_any changed;
  uint64_t asked GUARDED_BY(mutex) = 0;
  uint64_t answered GUARDED_BY(mutex) = 0;
  std::optional<uint32_t> epoch GUARDED_BY(mutex);
  bool stop GUARDED_BY(mutex) = false;
  bool runs GUARDED_BY(mutex) = true;
};

MapWatch::MapWatch(std::shared_ptr<ControlClient> control) : shared_(std::make_shared<Shared>()) {
  shared_->control = std::move(control);
  try {
    std::thread([shared = shared_] { run(shared); }).detach();
  } catch (const std::system_error&) {  // The process has as many threads as it may have.
    const MutexLock lock(shared_->mutex);
    shared_->runs = false;
  }
}

// A thread that still waits for the monitors closes the client when it ends.
MapWatch::~MapWatch() {
  MutexLock lock(shared_->mutex);
  shared_->stop = true;
  shared_->changed.notify_all();
  const bool ended = shared_->changed.wait_for(
      lock, kEndPatience, [this]() REQUIRES_LOCK(shared_->mutex) { return !shared_->runs; });
  lock.unlock();
  if (ended) shared_->control.reset();
}

std::optional<uint32_t> MapWatch::latest(std::chrono::milliseconds patience) {
  MutexLock lock(shared_->mutex);
  if (!shared_->runs) return std::nullopt;
  const uint64_t number = ++shared_->asked;
  shared_->changed.notify_all();
  const bool known = shared_->changed.wait_for(
      lock, patience,
      [this, number]() REQUIRES_LOCK(shared_->mutex) { return shared_->answered >= number; });
  return known ? shared_->epoch : std::nullopt;
}

void MapWatch::run(const std::shared_ptr<Shared>& shared) {
  for (;;) {
    uint64_t number = 0;
    {
      MutexLock lock(shared->mutex);
      shared->changed.wait(lock, [&]() REQUIRES_LOCK(shared->mutex) {
        return shared->stop || shared->answered != shared->asked;
      });
      if (shared->stop) break;
      number = shared->asked;
    }
    std::optional<uint32_t> epoch;
    const Client& client = shared->control->client();
    if (client.wait_for_latest_map()) epoch = client.map_epoch();
    const MutexLock lock(shared->mutex);
    shared->epoch = epoch;
    shared->answered = number;
    shared->changed.notify_all();
  }
  const MutexLock lock(shared->mutex);
  shared->runs = false;
  shared->changed.notify_all();
}

}  // namespace tcmurbd::ceph
