// SPDX-License-Identifier: Apache-2.0
// The other gateway: it requests, acquires and breaks the lock, and serves while it has it.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "tests/support/lun_sim.h"

namespace tcmurbd::testing {

void LunSim::peer_turn() {
  if (weather() == Weather::kCalm) {
    peer_alive_ = true;
  } else if (chance(200)) {
    peer_alive_ = !peer_alive_;
  }
  if (!peer_alive_) return;
  if (peer_->blocklisted()) {
    peer_taking_.stop();
    peer_asks_.reset();
    peer_answer_.reset();
    peer_ = &cluster_.open();
  }
  if (cluster_.lock_owner != peer_) peer_serves_ = false;
  if (peer_taking_.under_way()) return peer_goes_on_taking();
  if (peer_serves_) return peer_works();
  if (chance(30)) peer_starts_taking();
}

// Some calls of the procedure; each may have to wait for the daemon.
void LunSim::peer_goes_on_taking() {
  while (peer_taking_.under_way() && !chance(4)) {
    if (const auto outcome = peer_taking_.step()) peer_serves_ = outcome->has_value();
  }
}

void LunSim::ask_daemon() {
  peer_asks_ = ++last_request_;
  peer_gives_up_ = world_now() + kPeerPatience;
  peer_unheard_ = frozen_;
  if (device_ && !frozen_) device_->on_peer_asks(*peer_asks_, now_);
}

void LunSim::hear_daemon(lock::PeerAnswer answer) {
  peer_asks_.reset();
  switch (answer) {
    case lock::PeerAnswer::kReleased:
      peer_answer_ = ceph::Asked::kReleased;
      return;
    case lock::PeerAnswer::kHoldsDetached:
      peer_answer_ = ceph::Asked::kHoldsDetached;
      return;
    case lock::PeerAnswer::kWait:
      peer_answer_ = ceph::Asked::kMustWait;
      return;
    case lock::PeerAnswer::kNotOwner:
      peer_answer_ = ceph::Asked::kNobody;
      return;
  }
}

// It keeps the ranges of its detached writes locked, too. If blocklist entries are removed, it does
// not know the leftover writes of a fenced instance of this gateway: the guards restore the entry.
bool LunSim::peer_keeps_off(uint32_t block) {
  if (block >= cluster_.blocks() || peer_->may_change(block)) return true;
  if (!life_.knows(Fault::kRemovedEntry)) return false;
  return std::ranges::any_of(cluster_.instances(), [&](const FakeInstance& instance) {
    return instance.blocklisted() && instance.may_change(block);
  });
}

// Its commands run at once and sequentially: it needs no RangeOrder.
void LunSim::peer_works() {
  const uint32_t block = below(kBlocks);
  if (peer_keeps_off(block)) return;
  if (chance(8)) return peer_leaves_a_write_behind(block);
  if (!life_.knows(Fault::kPeerBehind)) peer_->take_newest_map();
  uint32_t seen = 0;
  EXPECT_TRUE(cluster_.read(block, seen, peer_->standing()));
  check_look(model_.look(block, seen, model_.newest(block)));
  const uint32_t id = model_.submit(clock_);
  EXPECT_TRUE(cluster_.write(block, id, peer_->standing()));
  model_.answer(id, clock_);
  model_.acknowledge(id, {block, 1});
}

// Aborted at once, and in flight for any time.
void LunSim::peer_leaves_a_write_behind(uint32_t block) {
  if (peer_->pending() == kImageOpsMax) return;
  const uint32_t id = model_.submit(clock_);
  model_.answer(id, clock_);
  std::array<uint8_t, kBlockBytes> data{};
  std::memcpy(data.data(), &id, sizeof id);
  const iovec iov{data.data(), data.size()};
  peer_->submit({OpKind::kWrite, {uint64_t{block} * kBlockBytes, kBlockBytes}, {&iov, 1}},
                kPeersOp);
}

}  // namespace tcmurbd::testing
