// SPDX-License-Identifier: Apache-2.0
// The gateways of an image, known from their acknowledgements: the client instance of each, and
// whether it is silent. A dead gateway still watches the image for half a minute, and each release
// of the lock by librbd waits five seconds for it. So a gateway that is silent for too long is
// blocklisted, which ends its watch, whether or not it holds the lock.
//
// Pure. Not thread safe.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tcmurbd::ceph {

class PeerBook {
 public:
  using Time = std::chrono::steady_clock::time_point;
  // Time between the first and the last notify missed in a row. A healthy gateway acknowledges in a
  // millisecond, on a thread of librados; this allows for an overloaded machine.
  static constexpr std::chrono::seconds kSilence{2};

  // `client` (rados_get_instance_id of the gateway's control client) has acknowledged a notify.
  // `address`: the instance with which it serves the image; empty: unknown.
  void heard(uint64_t client, std::string_view address);
  // It watches, and has not acknowledged a notify that was sent at this time.
  void missed(uint64_t client, Time sent);
  // The instances of gateways that are silent for too long; each is returned once.
  std::vector<std::string> take_dead();

 private:
  // More than the gateways of any image; additional ones are ignored.
  static constexpr size_t kPeersMax = 64;

  struct Peer {
    std::string address;
    std::optional<Time> silent_since;
    bool told = false;
  };
  std::map<uint64_t, Peer> peers_;
  std::vector<std::string> dead_;
};

}  // namespace tcmurbd::ceph
