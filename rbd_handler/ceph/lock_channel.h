// SPDX-License-Identifier: Apache-2.0
// How gateways talk about an image's exclusive lock: a watch and notifies on an object beside the
// image, on the control client, so that it works while the LUN's own instance is stuck.
//
// A request names the instance that holds the lock. Whoever is not that instance acknowledges so at
// once and by itself; only its holder's OnRequest hears of it. The holder answers twice: in its
// acknowledgement, and in a notify of its own. The OSD hands acknowledgements out when it has all
// of them or the patience is over, so with a watcher that died lately only the second is quick.
// Gateways of older releases only acknowledge, and ignore the rest.
//
// The object holds the ledger of fenced instances (fence_ledger.h), a watch lies on it while a
// gateway serves the image, and it stays when the image is deleted.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <expected>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "config/image_spec.h"
#include "rbd_handler/ceph/control_client.h"
#include "rbd_handler/ceph/lock_cluster.h"
#include "rbd_handler/ceph/lock_record.h"
#include "rbd_handler/ceph/notify.h"
#include "rbd_handler/ceph/peer_book.h"
#include "rbd_handler/lock/peer_answer.h"

namespace tcmurbd::ceph {

class LockChannel {
 public:
  struct Request {
    uint64_t notify_id = 0;
    uint64_t cookie = 0;
    uint64_t nonce = 0;  // Names it to its asker.
  };
  // One PeerAnswer for each, or the peer breaks the lock when its patience ends. It may come before
  // acquire_lock() has returned on another thread: then this instance is about to hold the lock,
  // and the answer has to wait until it does.
  using OnRequest = std::function<void(Request)>;

  // Called on threads of librados; must only post.
  struct Handlers {
    OnRequest on_request{};
    // The cluster gave our watch up: this gateway was away, or cut off, for longer than a watch
    // lives (osd_client_watch_timeout, 30 s), or the object was removed. It is watched anew without
    // further ado. Not called when the object's OSD does not answer: that says nothing about us.
    std::function<void()> on_watch_lost{};
    // The ledger of fenced instances was changed, by whomever.
    std::function<void()> on_fenced{};
  };

  // Watches. BLOCKS, 10 s when an OSD hangs: worker thread.
  static std::expected<std::unique_ptr<LockChannel>, std::string> open(
      std::shared_ptr<ControlClient> control, const ImageSpec& spec, const std::string& image_id,
      Handlers handlers);
  // No handler runs or follows after it. BLOCKS: milliseconds, at most some 10 s each for a watch
  // that is being repaired, for its removal and for notifies when an OSD hangs. Worker thread.
  ~LockChannel();
  LockChannel(const LockChannel&) = delete;
  LockChannel& operator=(const LockChannel&) = delete;

  // Which instance the requests to answer are about, and by which this gateway is known to the
  // others. Any thread.
  void serve_as(const std::string& address);
  // Any thread, does not block.
  void answer(const Request& request, lock::PeerAnswer answer);
  // Asks the gateway whose instance is `holder` for the lock. Returns at the first answer of it.
  // BLOCKS, at most half a second longer than `patience`: worker thread.
  std::expected<Asked, std::string> ask(const std::string& holder, std::chrono::seconds patience);
  // Whether a notify of ours still reaches our own watch. BLOCKS: a round trip, or 1.5 s when the
  // channel's OSD hangs. Worker thread.
  OwnWatch own_watch();
  // Instances of gateways that have been silent for seconds and still watch the image; each is told
  // once. Any thread, does not block.
  std::vector<std::string> take_dead();

  const LockRecord& record() const { return record_; }

 private:
  LockChannel(std::shared_ptr<ControlClient> control, PoolHandle pool, const std::string& image_id,
              Handlers handlers);
  int watch();
  static void on_notify(void* self, uint64_t notify_id, uint64_t cookie, uint64_t notifier,
                        void* data, size_t length);
  static void on_watch_error(void* self, uint64_t cookie, int error);
  void take_request(Request request, std::string_view words);
  void take_answer(std::string_view words);
  void acknowledge(const Request& request, lock::PeerAnswer answer);
  void acknowledge_with(const Request& request, std::string_view payload);
  bool concerns_us(uint64_t nonce, std::string_view holder);
  uint64_t new_nonce();
  // Sends it as `nonce`, and waits for an answer or its end.
  std::expected<Notify::Outcome, int> send(uint64_t nonce, const std::string& payload,
                                           std::chrono::milliseconds patience);
  void keep(std::shared_ptr<Notify> notify);
  void look_at_ended();
  bool watch_failed() const;
  void repair_watch(const std::stop_token& stop);

  // Constant after construction.
  const std::shared_ptr<ControlClient> control_;
  const PoolHandle pool_;
  const std::string object_;
  const LockRecord record_;
  const Handlers handlers_;
  const uint64_t nonce_;  // Tells this channel's own notifies; the low bits count them.

  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::string served_;            // Guarded by mutex_, as all below.
  uint64_t cookie_ = 0;           // Of the watch.
  std::vector<uint64_t> failed_;  // Cookies of watches that the cluster gave up.
  uint64_t notifies_ = 0;
  std::map<uint64_t, std::shared_ptr<Notify>> waiting_;  // By nonce.
  struct Sent {
    std::shared_ptr<Notify> notify;
    PeerBook::Time at;
  };
  std::vector<Sent> sent_;  // Those that may not have ended yet.
  PeerBook peers_;
  std::jthread repairer_;  // Last: it uses all of the above.
};

}  // namespace tcmurbd::ceph
