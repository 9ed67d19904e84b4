// SPDX-License-Identifier: Apache-2.0
// The owner of an image's exclusive lock in the image's header object: read and removed on the
// control client, without librbd. librbd's own call to break a lock blocklists again, which costs a
// commit of the monitors, and uses the LUN's instance, which may hang. BLOCKS: worker threads.
#pragma once

#include <expected>
#include <optional>
#include <string>

#include "rbd_handler/ceph/lock_cluster.h"

namespace tcmurbd::ceph {

class LockRecord {
 public:
  // `pool` is a rados_ioctx_t that outlives this.
  LockRecord(void* pool, const std::string& image_id)
      : pool_(pool), header_("rbd_header." + image_id) {}

  // Errors are negative errnos.
  std::expected<std::optional<LockHolder>, int> holder() const;
  // Removes the lock of exactly this holder. False: it did not have it any more.
  std::expected<bool, int> remove(const LockHolder& holder) const;

 private:
  void* const pool_;
  const std::string header_;
};

}  // namespace tcmurbd::ceph
