// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/ceph/service_entry.h"

#include <sys/utsname.h>

namespace tcmurbd::ceph {

std::string host_name() {
  utsname names{};
  uname(&names);
  return names.nodename;
}

std::string service_id(const std::string& host, const ImageSpec& spec) {
  return host + ":" + spec.to_string();
}

ServiceDict service_metadata(const std::string& host, const ImageSpec& spec,
                             const std::string& image_id) {
  ServiceDict dict = {{"pool_name", spec.pool},
                      {"image_name", spec.image},
                      {"image_id", image_id},
                      // `ceph -s` counts "N portals active (M hosts)".
                      {"daemon_type", "portal"},
                      {"daemon_prefix", host},
                      {"handler", "tcmu-rbd"}};
  if (!spec.name_space.empty()) dict.emplace_back("namespace", spec.name_space);
  return dict;
}

ServiceDict service_status(const ServiceStatus& status) {
  return {{"lock_owner", status.lock_owner ? "true" : "false"},
          {"lock_lost_cnt", std::to_string(status.locks_lost)},
          {"conn_lost_cnt", std::to_string(status.connections_lost)},
          {"cmd_timed_out_cnt", std::to_string(status.commands_timed_out)}};
}

std::string service_encoding(const ServiceDict& dict) {
  std::string text;
  for (const auto& [key, value] : dict) {
    text += key;
    text += '\0';
    text += value;
    text += '\0';
  }
  text += '\0';
  return text;
}

}  // namespace tcmurbd::ceph
