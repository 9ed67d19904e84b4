// SPDX-License-Identifier: Apache-2.0
// Find the facts of this host and its clusters. They change nothing. `root` is the prefix of /proc,
// /sys and /lib: "/" or a test tree.
#pragma once

#include <chrono>
#include <expected>
#include <string>
#include <vector>

#include "config/image_spec.h"
#include "rbd_handler/preflight/facts.h"

namespace tcmurbd::preflight {

// As the service map names it.
std::string probe_host_name();

KernelFacts probe_kernel(const std::string& root = "/");

// tcmu-runner, also in a container. tcmu-rbd under that name is none.
std::vector<OtherDaemon> probe_other_daemons(const std::string& root = "/");

// Whether so many client instances could be created: in addition to those of the daemon if it runs
// with `daemon_pid`, else (0) by a process with the limits of this one.
LimitFacts probe_limits(int64_t daemon_pid, uint64_t instances);

// All TCMU devices that the kernel has.
std::expected<std::vector<DeviceFacts>, std::string> probe_devices(const std::string& root = "/");

// What is looked at in the cluster. `device` is empty for an image that no device serves.
struct Wanted {
  ImageSpec spec{};
  std::string device{};
  std::optional<int64_t> device_bytes{};
};

struct ClusterFacts {
  std::vector<ClientFacts> clients{};
  std::vector<ImageFacts> images{};
  std::optional<std::vector<ServiceFacts>> services{};
};

// Connects each user once; without `wanted`, the default user. Returns after `patience` at the
// latest, with an error for each client and image that is not answered by then. Its threads may
// then still hang in librados: the caller ends with _exit().
ClusterFacts probe_clusters(const std::vector<Wanted>& wanted, std::chrono::seconds patience);

}  // namespace tcmurbd::preflight
