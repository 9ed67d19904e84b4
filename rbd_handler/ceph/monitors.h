// SPDX-License-Identifier: Apache-2.0
// Requests to the monitors while a LUN is served: the port between its LunImage and the control
// client. Tests implement it with a fake. All calls BLOCK, with a limit while the monitors have a
// quorum. Worker threads.
#pragma once

#include <expected>
#include <string>

#include "rbd_handler/ceph/blocklist.h"
#include "rbd_handler/ceph/failure.h"
#include "rbd_handler/ceph/object_place.h"

namespace tcmurbd::ceph {

class Monitors {
 public:
  virtual ~Monitors() = default;

  // Returns after the monitors committed the OSD map with an entry for `address` for 24 h. OSDs do
  // not enforce it at once: an OSD without that map still serves the instance, until an op of an
  // instance that has it (Client::wait_for_latest_map) reaches the same placement group.
  virtual std::expected<void, LockFailure> blocklist(const std::string& address) const = 0;

  // The blocklist of the latest map. It contains all entries committed before the call that have
  // not expired or been removed.
  virtual std::expected<Blocklist, LockFailure> blocklisted() const = 0;

  // Asks the monitors for the location of the object that a hung op waits for, for the operator:
  // the object map if only that does not answer, else the data object. The error begins with the
  // object.
  virtual std::expected<ObjectLocation, std::string> locate(const ObjectPlace& place) const = 0;
};

}  // namespace tcmurbd::ceph
