// SPDX-License-Identifier: Apache-2.0
// Keeps fenced instances on the blocklist. Looks once a second, once for all images of a control
// client, whether the OSD map has changed (map_watch.h), reads the blocklist if so, and restores
// removed entries of the ledgers. It also finds an instance that serves here and was blocklisted by
// another client, such as tcmu-runner, which breaks a lock without asking. If the map's epoch is
// not known, it reads the blocklist at each look: once in three seconds while all ledgers are
// empty. It reads the ledgers every half minute, in case a notify was lost. One thread for each
// control client.
#pragma once

#include <condition_variable>
#include <expected>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "common/mutex.h"
#include "rbd_handler/ceph/fence_ledger.h"
#include "rbd_handler/ceph/map_watch.h"

namespace tcmurbd::ceph {

class FenceGuard {
 public:
  // Returns the guard of this control client, starting it if necessary. Any thread.
  static std::shared_ptr<FenceGuard> of(const std::shared_ptr<ControlClient>& control);
  // BLOCKS until the monitor commands under way have ended, at most 10 s each: worker thread.
  ~FenceGuard() = default;
  FenceGuard(const FenceGuard&) = delete;
  FenceGuard& operator=(const FenceGuard&) = delete;

  // Opens the ledger of a served image. It is read at once and maintained as long as the caller
  // keeps it; the guard must outlive it. Any thread, does not block.
  std::expected<std::shared_ptr<FenceLedger>, std::string> open_ledger(
      const ImageSpec& spec, const std::string& image_id, std::shared_ptr<Log> log,
      OnOwnFenced on_own_fenced = [](const std::string&) {});

 private:
  // Wakes the thread on events of ledgers; these may come after the guard is destroyed.
  struct Bell {
    Mutex mutex;
    std::condition_variable_any rung;
    bool ringing GUARDED_BY(mutex) = false;
    void ring();
  };

  // A fenced instance without a blocklist entry.
  struct Missing {
    FenceLedger* ledger;
    std::string address;
    std::expected<void, LockFailure> done;
  };

  explicit FenceGuard(std::shared_ptr<ControlClient> control);
  void run(const std::stop_token& stop);
  std::vector<std::shared_ptr<FenceLedger>> ledgers();
  // `fences`: a ledger is not empty.
  bool look(const std::vector<std::shared_ptr<FenceLedger>>& ledgers, bool fences);
  // All at the same time, with some more threads until they have ended.
  void put_back(std::vector<Missing>& all);

  // The blocklist, read again only if the OSD map has changed.
  std::expected<Blocklist, LockFailure> current_blocklist();

  const std::shared_ptr<ControlClient> control_;
  const std::shared_ptr<Bell> bell_ = std::make_shared<Bell>();
  Mutex mutex_;
  std::vector<std::weak_ptr<FenceLedger>> ledgers_ GUARDED_BY(mutex_);
  // The thread's.
  bool complained_ = false;  // Reset when it works again.
  std::unique_ptr<MapWatch> map_;
  Blocklist blocklist_;
  std::optional<uint32_t> blocklist_epoch_;  // It is not older than this map.
  std::jthread thread_;                      // Last: it uses all of the above.
};

}  // namespace tcmurbd::ceph
