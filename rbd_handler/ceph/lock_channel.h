// SPDX-License-Identifier: Apache-2.0
// The channel between gateways for an image's exclusive lock: a watch and notifies on an object
// beside the image, on the control client, so that it works while the LUN's own instance hangs.
//
// A request names the instance that holds the lock. All other gateways acknowledge it at once; only
// the holder's on_request is called. The holder answers twice: in its acknowledgement, and with its
// own notify. The OSD returns acknowledgements when all have arrived or the timeout has passed, so
// while a dead gateway still watches the object, only the notify is fast. Gateways of older
// releases only acknowledge and ignore the notify. A gateway that has been silent for two seconds
// is blocklisted even if it does not hold the lock (peer_book.h).
//
// Dead gateways must be known before a release waits for them (peer_book.h). So while others watch,
// each gateway sends a notify every ten seconds, and at once another while one of them is silent.
//
// The object contains the ledger of fenced instances (fence_ledger.h). Gateways watch it while they
// serve the image. It is not deleted with the image.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <expected>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "common/mutex.h"
#include "config/image_spec.h"
#include "rbd_handler/ceph/control_client.h"
#include "rbd_handler/ceph/lock_record.h"
#include "rbd_handler/ceph/notify.h"
#include "rbd_handler/ceph/peer_book.h"
#include "rbd_handler/ceph/peer_channel.h"

namespace tcmurbd::ceph {

class LockChannel final : public PeerChannel {
 public:
  // Watches. BLOCKS, 10 s when an OSD hangs: worker thread.
  static std::expected<std::unique_ptr<LockChannel>, std::string> open(
      std::shared_ptr<ControlClient> control, const ImageSpec& spec, const std::string& image_id,
      ChannelHandlers handlers);
  // No handler runs after it. BLOCKS: milliseconds; when an OSD hangs, at most about 10 s each for
  // the repair of a watch, its removal, and notifies. Worker thread.
  ~LockChannel() override;
  LockChannel(const LockChannel&) = delete;
  LockChannel& operator=(const LockChannel&) = delete;

  void serve_as(const std::string& address) override;
  void answer(const PeerRequest& request, lock::PeerAnswer answer) override;
  std::expected<Asked, std::string> ask(const std::string& holder,
                                        std::chrono::seconds patience) override;
  OwnWatch own_watch() override;
  std::expected<std::optional<LockHolder>, int> holder() const override { return record_.holder(); }
  std::expected<bool, int> remove(const LockHolder& holder) const override {
    return record_.remove(holder);
  }

  // For observers: the channel's object, and a notify that each gateway acknowledges with the
  // address of the instance that it serves as.
  static std::string object_of(const std::string& image_id);
  static std::string probe_words();

 private:
  // Of notifies whose end is not waited for. RADOS counts it in seconds.
  static constexpr std::chrono::milliseconds kShortPatience{1000};

  LockChannel(std::shared_ptr<ControlClient> control, PoolHandle pool, const std::string& image_id,
              ChannelHandlers handlers);
  int watch();
  static void on_notify(void* self, uint64_t notify_id, uint64_t cookie, uint64_t notifier,
                        void* data, size_t length);
  static void on_watch_error(void* self, uint64_t cookie, int error);
  void take_request(PeerRequest request, std::string_view words);
  void take_answer(std::string_view words);
  void acknowledge(const PeerRequest& request, lock::PeerAnswer answer);
  void acknowledge_with(const PeerRequest& request, std::string_view payload);
  bool concerns_us(uint64_t nonce, std::string_view holder);
  uint64_t new_nonce();
  // Sends it with `nonce`, and waits for an answer or its end.
  std::expected<Notify::Outcome, int> send(uint64_t nonce, const std::string& payload,
                                           std::chrono::milliseconds patience);
  void keep(std::shared_ptr<Notify> notify, std::chrono::milliseconds patience);
  bool watch_failed() const REQUIRES_LOCK(mutex_);
  int send_here(const std::shared_ptr<Notify>& notify, uint64_t nonce);
  void meet();
  // The keeper's own (lock_channel_keeper.cc). Those that are called with mutex_ held release it
  // while they wait.
  void keep_watch(const std::stop_token& stop);
  void repair_watch(const std::stop_token& stop) REQUIRES_LOCK(mutex_);
  bool must_probe() const REQUIRES_LOCK(mutex_);
  void probe() REQUIRES_LOCK(mutex_);
  void look_at_ended() REQUIRES_LOCK(mutex_);
  void look_for_dead() REQUIRES_LOCK(mutex_);

  // Constant after construction.
  const std::shared_ptr<ControlClient> control_;
  const PoolHandle pool_;
  const std::string object_;
  const LockRecord record_;
  const ChannelHandlers handlers_;
  const uint64_t nonce_;  // Identifies this channel's own notifies; the low bits count them.

  Mutex mutex_;
  std::condition_variable_any changed_;
  std::string served_ GUARDED_BY(mutex_);
  uint64_t cookie_ GUARDED_BY(mutex_) = 0;           // Of the watch.
  std::vector<uint64_t> failed_ GUARDED_BY(mutex_);  // Cookies of watches that the cluster removed.
  uint64_t notifies_ GUARDED_BY(mutex_) = 0;
  std::map<uint64_t, std::shared_ptr<Notify>> waiting_ GUARDED_BY(mutex_);  // By nonce.
  struct Sent {
    std::shared_ptr<Notify> notify;
    PeerBook::Time at;
    std::chrono::milliseconds patience;
  };
  std::vector<Sent> sent_ GUARDED_BY(mutex_);  // Those that may not have ended yet.
  PeerBook peers_ GUARDED_BY(mutex_);
  bool alone_ GUARDED_BY(mutex_) = false;  // No other gateway watches, as far as is known.
  // When the next notify to the others is due, if none is sent before,
  PeerBook::Time probe_at_ GUARDED_BY(mutex_){};
  // and when one of them is silent.
  PeerBook::Time again_at_ GUARDED_BY(mutex_){};
  // The lock changes hands, or has just done so.
  PeerBook::Time busy_until_ GUARDED_BY(mutex_){};
  std::jthread keeper_;  // Last: it uses all of the above.
};

}  // namespace tcmurbd::ceph
