// SPDX-License-Identifier: Apache-2.0
// Whether the OSDs of an object answer. BLOCKS, with a bound: worker thread.
#pragma once

#include <rados/librados.h>

#include <chrono>
#include <string>

namespace tcmurbd::ceph {

// Stats the object; false: no reply within `patience`, then the stat is canceled. Any reply counts,
// also an error. A write to the object that the primary OSD has not committed holds the stat up, as
// it does any read.
bool answers(rados_ioctx_t pool, const std::string& object, std::chrono::milliseconds patience);

}  // namespace tcmurbd::ceph
