// SPDX-License-Identifier: Apache-2.0
// An open RBD image on its own client instance: opens it in steps with an error for each, reads its
// size, and closes it in the only safe order. Everything here BLOCKS: worker threads.
#pragma once

#include <rbd/librbd.h>

#include <atomic>
#include <cstdint>
#include <expected>
#include <functional>
#include <memory>
#include <string>

#include "common/mutex.h"
#include "config/image_spec.h"
#include "rbd_handler/ceph/client.h"
#include "rbd_handler/ceph/data_objects.h"
#include "rbd_handler/ceph/image_facts.h"
#include "rbd_handler/ceph/image_info.h"
#include "rbd_handler/ceph/rbd_image.h"

namespace tcmurbd::ceph {

class ImageHandle {
 public:
  static std::expected<std::unique_ptr<ImageHandle>, std::string> open(const ImageSpec& spec);
  // Image, then ioctx, then instance: rados_shutdown under an open image leaves librbd with freed
  // memory.
  ~ImageHandle();
  ImageHandle(const ImageHandle&) = delete;
  ImageHandle& operator=(const ImageHandle&) = delete;

  rbd_image_t handle() const { return image_; }
  const Client& client() const { return *client_; }
  const ImageInfo& info() const { return info_; }
  const DataObjects& data_objects() const { return *data_objects_; }
  const ImageSpec& spec() const { return spec_; }

  // The size after a round trip to the image's header, or a negative errno; bytes() has it then.
  // The round trip detects that the handle was fenced, in which case its cached size is old.
  std::expected<uint64_t, int> fetch_size();

  // The exclusive lock, in librbd's explicit mode; negative errnos. take_free_lock REQUIRES a free
  // lock: otherwise librbd requests it from a live owner (-EROFS if that refuses) and waits for a
  // frozen one. kNotPrimary: the image cannot be written in this cluster. Success if this handle
  // has the lock already. release_lock waits for every write in flight, and succeeds if there is
  // nothing to release.
  std::expected<void, int> take_free_lock();
  std::expected<void, int> release_lock();

  // The size of the last successful fetch_size(), and whether the header may have changed since:
  // query the change first. Any thread, do not block.
  bool header_changed() const {
    return changes_.load(std::memory_order_acquire) !=
           changes_seen_.load(std::memory_order_acquire);
  }
  uint64_t bytes() const { return bytes_.load(std::memory_order_acquire); }
  // Whether it was primary then (mirroring).
  bool primary() const { return primary_.load(std::memory_order_acquire); }

  // The facts at open, and the current ones.
  const ImageFacts& opened() const { return opened_; }
  std::expected<ImageFacts, int> facts_now() { return read_facts(image_); }

  // For a handle that is not primary: makes librbd read the header again if the image is primary
  // now (ceph_quirks.h 3).
  void look_for_promotion();

  // Calls `listener` when the header changed, on a thread of librbd: it must only post. After this
  // returns, the previous listener is not called any more. Any thread.
  void listen(std::function<void()> listener);

 private:
  using Step = std::expected<void, std::string>;

  explicit ImageHandle(const ImageSpec& spec) : spec_(spec) {}
  Step open_pool();
  Step open_image();
  Step check_format();
  Step check_facts();
  Step read_info();
  Step read_layout();
  Step watch_header();
  void on_header_change();
  std::unexpected<std::string> refuse(const std::string& what, const std::string& reason) const;
  std::unexpected<std::string> refuse_image(const std::string& reason) const;

  const ImageSpec spec_;
  std::unique_ptr<Client> client_;
  rados_ioctx_t pool_ = nullptr;
  rbd_image_t image_ = nullptr;
  std::unique_ptr<DataObjects> data_objects_;
  ImageFacts opened_;
  uint64_t watch_ = 0;
  bool watching_ = false;
  ImageInfo info_;

  // Serialises fetches, so that the last stored value was also read last.
  Mutex fetching_;
  std::atomic<uint64_t> bytes_{0};
  std::atomic<bool> primary_{true};
  std::atomic<uint64_t> changes_{0};       // Changes of the header, counted by its watch.
  std::atomic<uint64_t> changes_seen_{0};  // The changes included in bytes_.
  Mutex listener_mutex_;
  std::function<void()> listener_ GUARDED_BY(listener_mutex_);
};

}  // namespace tcmurbd::ceph
