// SPDX-License-Identifier: Apache-2.0
// Which RADOS object a byte of an image lies in, and which OSDs serve the object that an op waits
// for. Plain values; any thread.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace tcmurbd::ceph {

// As used in requests to the monitors.
struct ObjectPlace {
  std::string pool{};
  std::string name_space{};
  std::string object{};
  // The image's object map and its pool; empty if it has none. librbd updates the map before the
  // first write to an object and before it is removed, so those ops may wait for the map instead.
  std::string map_object{};
  std::string map_pool{};
  bool operator==(const ObjectPlace&) const = default;
};

struct ObjectLocation {
  std::string pg{};           // "1.2f".
  std::vector<int> acting{};  // The OSDs, the primary one first; may be empty.
  bool in_map = false;        // Of the object map; else of the data object.
  bool operator==(const ObjectLocation&) const = default;
};

// The request to the monitors for the location of an object. No value: a name is not UTF-8, which
// JSON cannot carry; with a replaced byte, the answer would be that of another object.
std::optional<std::string> location_request(const std::string& pool, const std::string& name_space,
                                            const std::string& object);

// "pg 1.2f, acting osd.2, osd.0".
std::string describe(const ObjectLocation& location);
// The object that `location` is of: "object X of pool 'p'", or "object map M of pool 'p', for which
// object X waits,".
std::string describe(const ObjectPlace& place, const ObjectLocation& location);

}  // namespace tcmurbd::ceph
