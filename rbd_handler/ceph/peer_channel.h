// SPDX-License-Identifier: Apache-2.0
// What a LUN uses of the other gateways of its image: the port to the lock channel (lock_channel.h)
// and to the owner of the exclusive lock in the image's header. Tests implement it with a fake.
#pragma once

#include <chrono>
#include <cstdint>
#include <expected>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "rbd_handler/ceph/lock_cluster.h"
#include "rbd_handler/lock/peer_answer.h"

namespace tcmurbd::ceph {

// A peer's request for the lock.
struct PeerRequest {
  uint64_t notify_id = 0;
  uint64_t cookie = 0;
  uint64_t nonce = 0;  // Identifies the request for its sender.
};

// Called on threads of librados and of the channel; must only post.
struct ChannelHandlers {
  // Requires one PeerAnswer; otherwise the peer breaks the lock after its timeout. It may be called
  // before acquire_lock() has returned on another thread: then this instance is about to get the
  // lock, and the answer must wait until it has it.
  std::function<void(PeerRequest)> on_request{};
  // The cluster removed our watch: this gateway was away or disconnected for longer than the
  // watch timeout (osd_client_watch_timeout, 30 s), or the object was removed. The watch is
  // registered again automatically. Not called when the object's OSD does not respond, which is
  // no sign that this gateway was away.
  std::function<void()> on_watch_lost{};
  // The list of fenced instances was changed by any gateway.
  std::function<void()> on_fenced{};
  // Instances of gateways that watch the image and have been silent for seconds; each is reported
  // once.
  std::function<void(std::vector<std::string>)> on_silent{};
};

class PeerChannel {
 public:
  // No handler runs after it. BLOCKS, with a bound: worker thread.
  virtual ~PeerChannel() = default;

  // Sets the instance for which requests are answered, and which identifies this gateway to its
  // peers. Any thread.
  virtual void serve_as(const std::string& address) = 0;
  // Any thread, does not block.
  virtual void answer(const PeerRequest& request, lock::PeerAnswer answer) = 0;
  // Requests the lock from the gateway whose instance is `holder`. Returns at its first answer.
  // BLOCKS, at most half a second longer than `patience`: worker thread.
  virtual std::expected<Asked, std::string> ask(const std::string& holder,
                                                std::chrono::seconds patience) = 0;
  // Whether a notify of this gateway still reaches its own watch. BLOCKS: a round trip, or 1.5 s
  // when the channel's OSD hangs. Worker thread.
  virtual OwnWatch own_watch() = 0;
  // The owner of the image's lock, read from the header on the control client. Errors are negative
  // errnos. BLOCKS: worker thread.
  virtual std::expected<std::optional<LockHolder>, int> holder() const = 0;
  // Removes the lock of exactly this holder. False: it did not have it any more. BLOCKS as
  // holder().
  virtual std::expected<bool, int> remove(const LockHolder& holder) const = 0;
};

}  // namespace tcmurbd::ceph
