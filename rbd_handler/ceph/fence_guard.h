// SPDX-License-Identifier: Apache-2.0
// Sees to it that fenced instances stay on the blocklist: while the ledger of an image that this
// gateway serves is not empty, the monitors are asked for the blocklist once a second, once for all
// images of a control client, and what somebody has removed is put back. One thread for each
// control client, which sleeps when there is nothing to look after but for reading the ledgers
// again every half minute, in case that a notify was lost.
#pragma once

#include <condition_variable>
#include <expected>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "rbd_handler/ceph/fence_ledger.h"

namespace tcmurbd::ceph {

class FenceGuard {
 public:
  // That of this control client, started now if nobody has it. Any thread.
  static std::shared_ptr<FenceGuard> of(const std::shared_ptr<ControlClient>& control);
  // BLOCKS as long as a question of the monitors, 10 s at most: worker thread.
  ~FenceGuard() = default;
  FenceGuard(const FenceGuard&) = delete;
  FenceGuard& operator=(const FenceGuard&) = delete;

  // The ledger of an image that is served now. It is read at once, and looked after for as long as
  // the caller keeps it; this has to live as long. Any thread, does not block.
  std::expected<std::shared_ptr<FenceLedger>, std::string> open_ledger(const ImageSpec& spec,
                                                                       const std::string& image_id,
                                                                       std::shared_ptr<Log> log);

 private:
  // What the ledgers' events wake; they may come when the guard is gone.
  struct Bell {
    std::mutex mutex;
    std::condition_variable_any rung;
    bool ringing = false;  // Guarded by mutex.
    void ring();
  };

  explicit FenceGuard(std::shared_ptr<ControlClient> control);
  void run(const std::stop_token& stop);
  std::vector<std::shared_ptr<FenceLedger>> ledgers();
  bool look(const std::vector<std::shared_ptr<FenceLedger>>& ledgers);
  bool put_back(FenceLedger& ledger, const std::string& address);

  const std::shared_ptr<ControlClient> control_;
  const std::shared_ptr<Bell> bell_ = std::make_shared<Bell>();
  std::mutex mutex_;
  std::vector<std::weak_ptr<FenceLedger>> ledgers_;  // Guarded by mutex_.
  bool complained_ = false;                          // The thread's own, until it works again.
  std::jthread thread_;                              // Last: it uses all of the above.
};

}  // namespace tcmurbd::ceph
