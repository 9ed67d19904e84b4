// SPDX-License-Identifier: Apache-2.0
// Which RADOS object a byte of an image lies in, and which OSDs serve the object. Plain values; any
// thread.
#pragma once

#include <string>
#include <vector>

namespace tcmurbd::ceph {

// As used in requests to the monitors.
struct ObjectPlace {
  std::string pool{};
  std::string name_space{};
  std::string object{};
  bool operator==(const ObjectPlace&) const = default;
};

struct ObjectLocation {
  std::string pg{};           // "1.2f".
  std::vector<int> acting{};  // The OSDs, the primary one first; may be empty.
  bool operator==(const ObjectLocation&) const = default;
};

// "pg 1.2f, acting osd.2, osd.0".
std::string describe(const ObjectLocation& location);
// "object X of pool 'p'".
std::string describe(const ObjectPlace& place);

}  // namespace tcmurbd::ceph
