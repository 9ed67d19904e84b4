// SPDX-License-Identifier: Apache-2.0
// The gateways of an image, known from their acknowledgements: the client instance of each, and
// whether it is silent. A dead gateway still watches the image for half a minute, and each release
// of the lock by librbd waits five seconds for it. So a gateway that is silent for too long is
// blocklisted, which ends its watch, whether or not it holds the lock.
//
// Silence is counted in notifies that did not overlap, each with the time that a watcher had to
// acknowledge it. So an OSD that hangs, and sends what waited all at once, makes no gateway look
// dead.
//
// Pure. Not thread safe.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tcmurbd::ceph {

class PeerBook {
 public:
  using Time = std::chrono::steady_clock::time_point;
  using Duration = std::chrono::milliseconds;
  // A healthy gateway acknowledges in a millisecond, on a thread of librados; one whose machine is
  // overloaded gets this long while the lock changes hands.
  static constexpr Duration kSilence{2000};
  // And this long while no request waits: a machine that stands still for a moment keeps its
  // instance.
  static constexpr Duration kSilenceInPeace{6000};

  // A notify that a watcher did not acknowledge.
  struct Missed {
    Time sent;
    Time ended;
    Duration patience;  // That it gave the watchers.
  };

  // `client` (rados_get_instance_id of the gateway's control client) has acknowledged a notify.
  // `address`: the instance with which it serves the image; empty: unknown.
  void heard(uint64_t client, std::string_view address);
  // It watches, and has not acknowledged one.
  void missed(uint64_t client, const Missed& notify);
  // Forgets who is not among those that watch.
  void watching(std::span<const uint64_t> clients);
  // If somebody is silent, and may be dead: a notify that is sent from this time on counts.
  std::optional<Time> suspected_until() const;
  // The instances of those that are silent for `limit`; each is reported once.
  std::vector<std::string> take_dead(Duration limit);

 private:
  // More than the gateways of any image; additional ones are ignored.
  static constexpr size_t kPeersMax = 64;

  struct Peer {
    std::string address;
    Duration silent_for{};
    Time silent_until{};
    bool reported = false;
  };
  std::map<uint64_t, Peer> peers_;
};

}  // namespace tcmurbd::ceph
