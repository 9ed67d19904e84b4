// SPDX-License-Identifier: Apache-2.0
// The properties of an open RBD image. A value; independent of librbd.
#pragma once

#include <cstdint>
#include <string>

#include "rbd_handler/task/rate_limits.h"

namespace tcmurbd::ceph {

struct ImageInfo {
  uint64_t bytes = 0;  // When it was opened.
  uint64_t object_bytes = 0;
  uint64_t stripe_bytes = 0;  // An aligned range of at most this size is in one object.
  bool read_only = false;
  bool exclusive_lock = false;  // Whether the image has the feature.
  std::string id{};
  task::RateLimits limits{};  // When it was opened.
  std::string data_pool{};    // The pool of its data objects.
  std::string object_map{};   // The object of its object map; empty: it had none when opened.
};

}  // namespace tcmurbd::ceph
