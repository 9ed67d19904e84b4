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
  if (peer_->blocklisted()) peer_ = &cluster_.open();
  if (cluster_.lock_owner == peer_) return peer_works();
  if (peer_asks_) {
    if (world_now() >= peer_gives_up_) {
      peer_asks_.reset();
      // Another instance has it now, to which no request was sent.
      if (cluster_.lock_owner == peer_asked_) peer_breaks_unanswered();
    }
  } else if (chance(30)) {
    peer_asks_ = ++last_request_;
    peer_asked_ = cluster_.lock_owner;
    peer_gives_up_ = world_now() + kPeerPatience;
    peer_unheard_ = frozen_;
    if (device_ && !frozen_) device_->on_peer_asks(*peer_asks_, now_);
  }
}

void LunSim::peer_breaks() {
  if (cluster_.lock_owner != nullptr && cluster_.lock_owner != peer_)
    cluster_.blocklist(*cluster_.lock_owner);
  peer_takes();
}

// A live owner that was too slow and does not know that it is fenced continues in placement groups
// without the new map. If the peer's writes to such a group hang and are aborted, and the host
// returns to the old owner, they may be applied last. An owner cannot prevent that; it is a
// property of blocklists. Maps spread faster than a host does this.
void LunSim::peer_breaks_unanswered() {
  const bool away = !device_ || (frozen_ && world_now() - frozen_since_ > device_->away_limit());
  peer_breaks();
  if (!away) cluster_.spread_map();
}

void LunSim::peer_takes() {
  // Another gateway may have been first; then this one fails and retries.
  if (cluster_.lock_owner != nullptr && !cluster_.lock_owner->blocklisted()) return;
  peer_->take_lock();
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
