// SPDX-License-Identifier: Apache-2.0
// What taking an image's exclusive lock needs of the cluster and of the other gateways: the port
// between the procedure (lock_procedure.h), which decides, and RADOS (rados_lock_cluster.h). Tests
// stand a fake behind it. Calls BLOCK; none for ever while the monitors have a quorum and the
// header's OSD answers. Worker threads.
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
  std::string cookie;   // Names the handle of that client.
  std::string address;  // As `ceph osd blocklist` takes it.
  bool operator==(const LockHolder&) const = default;
};

// What the gateways said when one of them was asked for the lock.
enum class Asked : uint8_t {
  kReleased,
  kHoldsDetached,
  kMustWait,  // The holder has writes that hang, was fenced a short time ago, and keeps the lock.
  kNobody,    // No gateway watches that knows of being the holder.
  kNoAnswer,  // One did not answer in time: frozen or dead, or the channel's OSD hangs.
};

// What is known of an instance that holds the lock.
enum class Fencing : uint8_t {
  kNone,         // Nothing: it may be healthy.
  kOnBlocklist,  // It was fenced, and the monitors have its entry.
  kRemoved,      // It was fenced, and its entry is gone, or can't be looked at.
};

// Whether the cluster still has this gateway's watch on the lock's channel.
enum class OwnWatch : uint8_t {
  kThere,
  kGone,     // It was given up: this gateway was away, or cut off, for longer than a watch lives.
  kUnknown,  // The channel's OSD does not answer.
};

class LockCluster {
 public:
  virtual ~LockCluster() = default;

  // The instance that is to own the lock.
  virtual std::string address() const = 0;
  virtual OwnWatch own_watch() = 0;
  // Errors are negative errnos.
  virtual std::expected<std::optional<LockHolder>, int> holder() = 0;
  // Takes the lock from exactly this holder. False: it had it no more.
  virtual std::expected<bool, int> remove(const LockHolder& holder) = 0;
  virtual Fencing fencing_of(const std::string& address) = 0;
  // Asks the gateway whose instance is `holder` for the lock; an error is why that was not
  // possible.
  virtual std::expected<Asked, std::string> ask(const std::string& holder,
                                                std::chrono::seconds patience) = 0;
  // Returns when the monitors have committed it.
  virtual std::expected<void, LockFailure> blocklist(const std::string& address) = 0;
  // A round trip of the instance to the image's header: -ESHUTDOWN if it was fenced itself.
  virtual std::expected<void, LockFailure> reach_header() = 0;
  // See Client::wait_for_latest_map; of the instance.
  virtual std::expected<void, LockFailure> wait_for_latest_map() = 0;
  // REQUIRES: nobody has it. -EROFS, -EBUSY, -EAGAIN: another was quicker.
  virtual std::expected<void, LockFailure> take_free_lock() = 0;
};

}  // namespace tcmurbd::ceph
