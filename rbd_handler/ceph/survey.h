// SPDX-License-Identifier: Apache-2.0
// Looks at a cluster without serving anything: what the daemon would find when it opens an image,
// and which clients have it open. Changes nothing in the cluster. All calls BLOCK; each op ends
// after 10 s at the latest (ControlClient), except while the monitors have no quorum: the caller
// must not wait for them longer than it likes.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <vector>

#include "config/image_spec.h"
#include "rbd_handler/ceph/control_client.h"

namespace tcmurbd::ceph {

struct ImageSurvey {
  std::string refusal{};  // Why an open for serving fails; empty: it does not.
  uint64_t bytes = 0;
  bool exclusive_lock = false;
  bool primary = true;
  std::string write_error{};  // Why this user cannot write to the image's pool.
  // Clients that watch the image: tcmu-rbd gateways, which also answer on the lock channel, and the
  // addresses of all others.
  uint64_t gateways = 0;
  std::vector<std::string> strangers{};
};

// The error is one line with the image's part that cannot be read.
std::expected<ImageSurvey, std::string> survey_image(const ControlClient& client,
                                                     const ImageSpec& spec);

// An entry of the service map under the name that tcmu-runner and tcmu-rbd share.
struct ServiceDaemon {
  std::string id;
  bool ours;  // By its metadata (service_entry.h).
  bool operator==(const ServiceDaemon&) const = default;
};

// The answer to `service dump` in JSON. Unknown parts are skipped; an answer without services is an
// error. Pure.
std::expected<std::vector<ServiceDaemon>, std::string> parse_service_map(std::string_view json);

// Requires mon caps beyond 'profile rbd'; otherwise an error.
std::expected<std::vector<ServiceDaemon>, std::string> service_map(const ControlClient& client);

}  // namespace tcmurbd::ceph
