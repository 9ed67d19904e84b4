// SPDX-License-Identifier: Apache-2.0
// The gateways of an image as their acknowledgements show them: which client instance each serves
// the image with, and who is silent. A gateway that died still watches the image for half a minute,
// and librbd's release of the lock waits five seconds for it each time. So who is silent for too
// long is to be blocklisted, whether or not it holds the lock: its watch ends with that.
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
  // A healthy gateway acknowledges in a millisecond, on a thread of librados; one whose machine is
  // overloaded gets this long. Between the first and the last notify that it missed in a row.
  static constexpr std::chrono::seconds kSilence{2};

  // `client`, as rados_get_instance_id tells it of the gateway's control client, has acknowledged a
  // notify. `address`: of the instance that it serves the image with; empty: not told.
  void heard(uint64_t client, std::string_view address);
  // It watches, and has not acknowledged a notify that was sent at this time.
  void missed(uint64_t client, Time sent);
  // The instances of those that are silent for too long; each is told once.
  std::vector<std::string> take_dead();

 private:
  // More gateways than ever serve an image; who is beyond it is not buried.
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
