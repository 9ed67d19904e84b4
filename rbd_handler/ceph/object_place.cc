// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/ceph/object_place.h"

#include <fmt/format.h>

#include "common/quote.h"

namespace tcmurbd::ceph {

std::string describe(const ObjectLocation& location) {
  std::string osds;
  for (const int osd : location.acting)
    osds += fmt::format("{}osd.{}", osds.empty() ? "" : ", ", osd);
  return fmt::format("pg {}, acting {}", location.pg, osds.empty() ? "none" : osds);
}

std::string describe(const ObjectPlace& place, const ObjectLocation& location) {
  if (!location.in_map)
    return fmt::format("object {} of pool {}", place.object, tcmurbd::quoted(place.pool));
  return fmt::format("object map {} of pool {}, for which object {} waits,", place.map_object,
                     tcmurbd::quoted(place.map_pool), place.object);
}

}  // namespace tcmurbd::ceph
