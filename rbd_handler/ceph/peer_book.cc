// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/ceph/peer_book.h"

#include <algorithm>

namespace tcmurbd::ceph {

void PeerBook::heard(uint64_t client, std::string_view address) {
  const auto known = peers_.find(client);
  if (known == peers_.end() && (address.empty() || peers_.size() == kPeersMax)) return;
  Peer& peer = known == peers_.end() ? peers_[client] : known->second;
  peer.silent_for = {};
  if (address.empty() || peer.address == address) return;
  peer.address = address;
  peer.reported = false;
}

void PeerBook::missed(uint64_t client, const Missed& notify) {
  const auto found = peers_.find(client);
  if (found == peers_.end()) return;
  Peer& peer = found->second;
  if (peer.silent_for != Duration{} && notify.sent < peer.silent_until) return;
  peer.silent_for += notify.patience;
  peer.silent_until = notify.ended;
}

void PeerBook::watching(std::span<const uint64_t> clients) {
  std::erase_if(peers_, [&](const auto& entry) {
    return std::ranges::find(clients, entry.first) == clients.end();
  });
}

std::optional<PeerBook::Time> PeerBook::suspected_until() const {
  std::optional<Time> last;
  for (const auto& [client, peer] : peers_) {
    if (peer.silent_for == Duration{} || peer.reported) continue;
    last = std::max(last.value_or(Time{}), peer.silent_until);
  }
  return last;
}

std::vector<std::string> PeerBook::take_dead(Duration limit) {
  std::vector<std::string> dead;
  for (auto& [client, peer] : peers_) {
    if (peer.reported || peer.silent_for < limit) continue;
    peer.reported = true;
    dead.push_back(peer.address);
  }
  return dead;
}

}  // namespace tcmurbd::ceph
