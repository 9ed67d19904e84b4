// SPDX-License-Identifier: Apache-2.0
// An image's entry in the cluster's service map, by which Ceph's dashboard, gwcli, rbd-target-api
// and the mgr's prometheus module see who serves it. All of them, and cephadm's list of known
// services, look for the service name that tcmu-runner uses, with the same keys; so this daemon
// publishes under that name.
//
// The client registers itself: librados reports it to the mgr every 5 s, with librbd's counters of
// the image, until rados_shutdown. The mgr removes an entry by its name when any client of that
// name goes, also when a newer instance has the same one; librados notices at its next report and
// registers again.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "config/image_spec.h"

namespace tcmurbd::ceph {

// As gwcli reads it: one more in connections_lost or commands_timed_out is shown as 'Degraded -
// cluster access failure'. So aborts are in neither.
struct ServiceStatus {
  bool lock_owner = false;
  uint64_t locks_lost = 0;          // Taken by another gateway, or fenced by it.
  uint64_t connections_lost = 0;    // The cluster gave up this gateway's watch.
  uint64_t commands_timed_out = 0;  // Once an outage.
  bool operator==(const ServiceStatus&) const = default;
};

using ServiceDict = std::vector<std::pair<std::string, std::string>>;

// "HOST:POOL/IMAGE", with the namespace and the snapshot if there is one.
std::string service_id(const std::string& host, const ImageSpec& spec);
ServiceDict service_metadata(const std::string& host, const ImageSpec& spec,
                             const std::string& image_id);
ServiceDict service_status(const ServiceStatus& status);
// As rados_service_register takes it: each key and value ends with a zero, the last with two.
std::string service_encoding(const ServiceDict& dict);

// uname's nodename, as librados calls this host.
std::string host_name();

}  // namespace tcmurbd::ceph
