// SPDX-License-Identifier: Apache-2.0
// Who holds an image's exclusive lock, as the image's header object has it: read and removed
// without librbd, on the control client. librbd's own way to break a lock blocklists once more,
// which costs a round of the monitors, and works on the LUN's instance, which may be stuck. BLOCKS:
// worker threads.
#pragma once

#include <expected>
#include <optional>
#include <string>

#include "rbd_handler/ceph/lock_cluster.h"

namespace tcmurbd::ceph {

class LockRecord {
 public:
  // `pool` is a rados_ioctx_t, and outlives this.
  LockRecord(void* pool, const std::string& image_id)
      : pool_(pool), header_("rbd_header." + image_id) {}

  // Errors are negative errnos.
  std::expected<std::optional<LockHolder>, int> holder() const;
  // Takes the lock from exactly this holder. False: it had it no more.
  std::expected<bool, int> remove(const LockHolder& holder) const;

 private:
  void* const pool_;
  const std::string header_;
};

}  // namespace tcmurbd::ceph
