// SPDX-License-Identifier: Apache-2.0
// The epoch of the latest OSD map, without a command to the monitors. They log each command, also
// one that only reads, and commit the log: so `osd blocklist ls` once a second makes them commit
// once a second, and the next fence waits up to a second for its own commit
// (PaxosService::should_propose, paxos_propose_interval). With the same map, the blocklist is the
// same.
//
// librados waits for the latest map without a bound while the monitors have no quorum. So a thread
// of its own waits; it keeps the client until it ends.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>

#include "rbd_handler/ceph/control_client.h"

namespace tcmurbd::ceph {

class MapWatch {
 public:
  explicit MapWatch(std::shared_ptr<ControlClient> control);
  // BLOCKS, at most 2 s: worker thread.
  ~MapWatch();
  MapWatch(const MapWatch&) = delete;
  MapWatch& operator=(const MapWatch&) = delete;

  // The epoch of the latest map as of this call. No value: it is not known in time, or librados
  // does not report it. BLOCKS, at most for `patience`: worker thread, one at a time.
  std::optional<uint32_t> latest(std::chrono::milliseconds patience);

 private:
  struct Shared;
  static void run(const std::shared_ptr<Shared>& shared);

  const std::shared_ptr<Shared> shared_;
};

}  // namespace tcmurbd::ceph
