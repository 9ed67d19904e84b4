// SPDX-License-Identifier: Apache-2.0
// One RBD image on its own client instance, as its LUN uses it: the port between the LUN's LunImage
// and librbd (rbd_image.h). Tests implement it with a fake.
#pragma once

#include <cstdint>
#include <expected>
#include <string>

#include "rbd_handler/ceph/failure.h"
#include "rbd_handler/ceph/image_info.h"
#include "rbd_handler/ceph/object_place.h"
#include "rbd_handler/ceph/service_entry.h"
#include "rbd_handler/image.h"

namespace tcmurbd::ceph {

// The destructor closes the image, then the instance. It BLOCKS until every op has ended: worker
// thread.
// REQUIRES: no submit runs or follows.
class ServedImage : public Image {
 public:
  // Whether librados timed out one of its ops, which an OSD may still apply. Any thread.
  virtual bool timed_out() const = 0;

  virtual const ImageInfo& info() const = 0;
  // The location of the first byte of `range`. Any thread.
  virtual ObjectPlace place_of(const ByteRange& range) const = 0;
  // The instance's address, for log lines and fences. Any thread.
  virtual const std::string& address() const = 0;
  // Registers with the cluster's service map at the first call, and then sends it `status`. It
  // reaches the mgr with librados' next report. Does not block; any thread, one at a time. An error
  // is for the log only: the image is served all the same.
  virtual std::expected<void, std::string> publish(const ServiceStatus& status) = 0;
  // The image's size now; refreshes the handle from the header. BLOCKS: worker thread.
  virtual std::expected<uint64_t, std::string> refresh_size() = 0;

  // Whether it is primary (mirroring) as currently known: the header is read at open and after
  // changes. A non-primary image can be read; changes end with kNotPrimary. After a promotion it
  // can be written, also through a handle that was opened before. Any thread.
  virtual bool primary() const = 0;

  // The exclusive lock; acquire_lock() in lock_procedure.h acquires it. These BLOCK: worker thread.
  // take_free_lock() fails with kNotPrimary for an image that is not primary. REQUIRES: the lock is
  // free; otherwise librbd requests it from the owner, and waits for a frozen one.
  virtual std::expected<void, LockFailure> take_free_lock() = 0;
  // Waits for every write in flight, including detached ones. Succeeds if there is nothing to
  // release.
  virtual std::expected<void, LockFailure> release_lock() = 0;
  // A round trip to the image's header: -ESHUTDOWN if another gateway fenced this instance and the
  // header's OSD has that map.
  virtual std::expected<void, LockFailure> reach_header() = 0;
  // See Client::wait_for_latest_map.
  virtual std::expected<void, LockFailure> wait_for_latest_map() const = 0;
};

}  // namespace tcmurbd::ceph
