// SPDX-License-Identifier: Apache-2.0
// The operations on the cluster and the other gateways for acquiring an image's exclusive lock: the
// port between the procedure (lock_procedure.h), which decides, and RADOS (rados_lock_cluster.h).
// Tests use a fake. Calls BLOCK, but not forever while the monitors have a quorum and the header's
// OSD responds. Worker threads.
#pragma once

#include <chrono>
#include <cstdint>
#include <expected>
#include <optional>
#include <string>

#include "rbd_handler/ceph/failure.h"

namespace tcmurbd::ceph {

struct LockHolder {
  std::string client;   // "client.4123"
  std::string cookie;   // Identifies the handle of that client.
  std::string address;  // As `ceph osd blocklist` takes it.
  // Of the header object, which each change of the lock increases. Two equal holders: this one kept
  // the lock between the two calls. A client that released the lock and took it again has the same
  // cookie.
  uint64_t version = 0;
  bool operator==(const LockHolder&) const = default;
};

// The answer to a request for the lock.
enum class Asked : uint8_t {
  kReleased,
  kHoldsDetached,
  kMustWait,  // The holder keeps the lock for now, see lock::PeerAnswer::kWait.
  kNobody,    // No gateway on the channel is the holder.
  kNoAnswer,  // A gateway did not answer in time: it is frozen or dead, or the channel's OSD hangs.
};

// What is known about the instance that holds the lock.
enum class Fencing : uint8_t {
  kNone,         // Not fenced: it may be healthy.
  kOnBlocklist,  // It was fenced, and its blocklist entry exists.
  kRemoved,      // It was fenced, but its blocklist entry was removed or cannot be read.
};

// Whether the cluster still has this gateway's watch on the lock channel. This detects a machine
// whose clock did not advance while it was frozen.
enum class OwnWatch : uint8_t {
  kThere,
  kGone,     // It was removed: this gateway was away or disconnected for longer than the watch
             // timeout.
  kUnknown,  // The channel's OSD does not respond.
};

class LockCluster {
 public:
  virtual ~LockCluster() = default;

  // The instance that is to own the lock.
  virtual std::string address() const = 0;
  virtual OwnWatch own_watch() = 0;
  // Errors are negative errnos.
  virtual std::expected<std::optional<LockHolder>, int> holder() = 0;
  // Removes the lock of exactly this holder. False: it did not have it any more.
  virtual std::expected<bool, int> remove(const LockHolder& holder) = 0;
  virtual Fencing fencing_of(const std::string& address) = 0;
  // Requests the lock from the gateway whose instance is `holder`; the error is why that was not
  // possible.
  virtual std::expected<Asked, std::string> ask(const std::string& holder,
                                                std::chrono::seconds patience) = 0;
  // Returns when the monitors have committed it.
  virtual std::expected<void, LockFailure> blocklist(const std::string& address) = 0;
  // A round trip of the instance to the image's header: -ESHUTDOWN if it was fenced itself.
  virtual std::expected<void, LockFailure> reach_header() = 0;
  // See Client::wait_for_latest_map; of the instance.
  virtual std::expected<void, LockFailure> wait_for_latest_map() = 0;
  // REQUIRES: the lock is free. -EROFS, -EBUSY, -EAGAIN: another gateway acquired it first.
  virtual std::expected<void, LockFailure> take_free_lock() = 0;
};

}  // namespace tcmurbd::ceph
