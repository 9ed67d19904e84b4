// SPDX-License-Identifier: Apache-2.0
// How quickly the OSDs of objects answer. BLOCKS, with a bound: worker thread.
#pragma once

#include <rados/librados.h>

#include <chrono>
#include <span>
#include <string>
#include <vector>

namespace tcmurbd::ceph {

struct ProbedObject {
  rados_ioctx_t pool = nullptr;
  std::string object{};
};

// Stats the objects at the same time. Returns how long the reply for each took, or `patience` if
// there was none until then. Any reply counts, also an error. A write to the object that the
// primary OSD has not committed holds the stat up, as it does any read.
std::vector<std::chrono::nanoseconds> reply_times(std::span<const ProbedObject> objects,
                                                  std::chrono::nanoseconds patience);

}  // namespace tcmurbd::ceph
