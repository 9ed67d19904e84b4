// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/ceph/object_place.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "common/quote.h"

namespace tcmurbd::ceph {

std::optional<std::string> location_request(const std::string& pool, const std::string& name_space,
                                            const std::string& object) {
  const nlohmann::json request = {{"prefix", "osd map"},
                                  {"pool", pool},
                                  {"object", object},
                                  {"nspace", name_space},
                                  {"format", "json"}};
  try {
    return request.dump();
  } catch (const nlohmann::json::type_error&) {
    return std::nullopt;
  }
}

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
