// SPDX-License-Identifier: Apache-2.0
// What an RBD image is known to be once it is open. A value; no librbd.
#pragma once

#include <cstdint>
#include <string>

#include "rbd_handler/task/rate_limits.h"

namespace tcmurbd::ceph {

struct ImageInfo {
  uint64_t bytes = 0;  // When it was opened.
  uint64_t object_bytes = 0;
  uint64_t stripe_bytes = 0;  // What is aligned to it and no longer lies in one object.
  bool read_only = false;
  bool exclusive_lock = false;  // Whether the image has the feature.
  std::string id{};
  task::RateLimits limits{};  // When it was opened.
  std::string data_pool{};    // The name of the pool that has its data objects.
};

}  // namespace tcmurbd::ceph
