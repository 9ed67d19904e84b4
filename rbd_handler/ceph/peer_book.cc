// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/ceph/peer_book.h"

#include <utility>

namespace tcmurbd::ceph {

void PeerBook::heard(uint64_t client, std::string_view address) {
  const auto known = peers_.find(client);
  if (known == peers_.end() && (address.empty() || peers_.size() == kPeersMax)) return;
  Peer& peer = known == peers_.end() ? peers_[client] : known->second;
  peer.silent_since.reset();
  if (address.empty() || peer.address == address) return;
  peer.address = address;
  peer.told = false;
}

void PeerBook::missed(uint64_t client, Time sent) {
  const auto found = peers_.find(client);
  if (found == peers_.end() || found->second.told) return;
  Peer& peer = found->second;
  if (!peer.silent_since) {
    peer.silent_since = sent;
  } else if (sent - *peer.silent_since >= kSilence) {
    peer.told = true;
    dead_.push_back(peer.address);
  }
}

std::vector<std::string> PeerBook::take_dead() { return std::exchange(dead_, {}); }

}  // namespace tcmurbd::ceph
