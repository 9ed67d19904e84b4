// SPDX-License-Identifier: Apache-2.0
// How gateways ask each other for an image's exclusive lock: a watch and notifies on an object
// beside the image, on the control client, so that it works while the LUN's own instance is stuck.
//
// A request names the instance that holds the lock. Whoever is not that instance answers so at once
// and by itself; only its holder's OnRequest hears of it.
//
// The object is empty, a watch lies on it while a gateway serves the image, and it stays when the
// image is deleted.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <expected>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "config/image_spec.h"
#include "rbd_handler/ceph/control_client.h"
#include "rbd_handler/ceph/lock_cluster.h"
#include "rbd_handler/ceph/lock_record.h"

namespace tcmurbd::ceph {

class LockChannel {
 public:
  enum class Answer : uint8_t {
    kReleased,       // Also if it was released before the request came.
    kHoldsDetached,  // Break it and blocklist me, do not wait. Also for an instance that was
                     // fenced.
    kNotOwner,
  };
  struct Request {
    uint64_t notify_id;
    uint64_t cookie;
  };
  // Called on a thread of librados; must only post. One Answer for each, or the peer breaks the
  // lock when its patience ends. It may come before acquire_lock() has returned on another thread:
  // then this instance is about to hold the lock, and the answer has to wait until it does.
  using OnRequest = std::function<void(Request)>;

  // Watches. BLOCKS, 10 s when an OSD hangs: worker thread.
  static std::expected<std::unique_ptr<LockChannel>, std::string> open(
      std::shared_ptr<ControlClient> control, const ImageSpec& spec, const std::string& image_id,
      OnRequest on_request);
  // No OnRequest runs or follows after it. BLOCKS: milliseconds, at most some 10 s each for a
  // watch that is being repaired and for its removal when an OSD hangs. Worker thread.
  ~LockChannel();
  LockChannel(const LockChannel&) = delete;
  LockChannel& operator=(const LockChannel&) = delete;

  // Which instance the requests to answer are about. acquire_lock() sets it. Any thread.
  void serve_as(const std::string& address);
  // Any thread, does not block.
  void answer(const Request& request, Answer answer);
  // Asks the gateway whose instance is `holder` for the lock. BLOCKS, at most half a second longer
  // than `patience`: worker thread.
  std::expected<Asked, std::string> ask(const std::string& holder, std::chrono::seconds patience);

  const LockRecord& record() const { return record_; }

 private:
  LockChannel(std::shared_ptr<ControlClient> control, PoolHandle pool, const std::string& image_id,
              OnRequest on_request);
  int watch();
  static void on_notify(void* self, uint64_t notify_id, uint64_t cookie, uint64_t notifier,
                        void* data, size_t length);
  static void on_watch_error(void* self, uint64_t cookie, int error);
  bool concerns_us(std::string_view request);
  Asked evaluate(char* reply, size_t length);
  bool watch_failed() const;
  void repair_watch(const std::stop_token& stop);

  // Constant after construction.
  const std::shared_ptr<ControlClient> control_;
  const PoolHandle pool_;
  const std::string object_;
  const LockRecord record_;
  const OnRequest on_request_;
  const uint64_t nonce_;  // Tells this channel's own requests.

  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::string served_;            // Guarded by mutex_, as the next two.
  uint64_t cookie_ = 0;           // Of the watch.
  std::vector<uint64_t> failed_;  // Cookies of watches that the cluster gave up.
  std::jthread repairer_;         // Last: it uses all of the above.
};

}  // namespace tcmurbd::ceph
