// SPDX-License-Identifier: Apache-2.0
// One RBD image on a client instance of its own (one rados_t per LUN: fencing one never touches another, and the
// Objecter's throttle is not shared).
#pragma once

#include <atomic>
#include <cstdint>
#include <expected>
#include <functional>
#include <memory>
#include <string>

#include "config/image_spec.h"
#include "rbd_handler/image.h"

namespace tcmurbd::ceph {

// Where completions go. Called on librbd's threads, one at a time for one image; must only push to a
// queue and return (a callback that blocks stalls librbd).
using CompletionSink = std::function<void(OpDone)>;

struct ImageInfo {
  uint64_t bytes = 0;
  uint64_t object_bytes = 0;
  bool read_only = false;
  std::string id;
};

class RbdImage final : public Image {
 public:
  // Connects and opens. BLOCKS for as long as the cluster likes (librbd has no bound of its own when an OSD
  // hangs), so: a worker thread, never a reactor or the netlink thread. Errors are one plain line that names the
  // step, the object of it and the reason, for the operator's log.
  static std::expected<std::unique_ptr<RbdImage>, std::string> open(const ImageSpec& spec,
                                                                    CompletionSink sink);
  // Closes the image, then the instance, in this order. BLOCKS until every op has ended: worker thread.
  // REQUIRES: no submit runs or follows.
  ~RbdImage() override;

  void submit(const ImageOp& op, OpToken token) override;

  const ImageInfo& info() const;
  // The image's size now; refreshes the handle from the header. BLOCKS: worker thread.
  std::expected<uint64_t, std::string> refresh_size();
};

}  // namespace tcmurbd::ceph
