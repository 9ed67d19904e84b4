// SPDX-License-Identifier: Apache-2.0
// External faults of the daemon, its machine and its hosts.
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/support/lun_sim.h"

namespace tcmurbd::testing {

using std::chrono::milliseconds;

void LunSim::inject() {
  if (!device_) return;
  const auto fault = static_cast<Fault>(below(kFaults));
  if (!life_.knows(fault)) return;
  switch (fault) {
    case Fault::kFrozenDaemon:
      return freeze_daemon();
    case Fault::kFrozenMachine:
      return freeze_machine();
    case Fault::kResetRing:
      return reset_ring();
    case Fault::kRemovedEntry:
      return remove_entry();
    case Fault::kResize:
      return resize();
    case Fault::kCrash:
      return crash();
    case Fault::kDemoted:
      return change_role();
    case Fault::kLimits:
      return change_limits();
    case Fault::kDrop:
      return drop_silent_session();
    case Fault::kExpiry:
    case Fault::kErrors:
    case Fault::kFull:
    case Fault::kCrowd:
    case Fault::kReleaseHangs:
    case Fault::kPeerBehind:
      return;
  }
}

// Its kernel queues and expires commands, ops end, the peer sends requests; none of it reaches the
// daemon.
void LunSim::freeze_daemon() {
  ++counts_.freezes;
  frozen_ = true;
  frozen_since_ = world_now();
  const TimePoint begin = now_;
  const Duration gap = Device::kTick * (1 + below(chance(2) ? 900 : 90));
  bool dropped = false;
  while (now_ < begin + gap) {
    ++clock_;
    now_ += Device::kTick;
    expire();
    if (chance(4) && open_.size() < life_.open_max) issue();
    if (chance(2)) end_some_op();
    for (uint32_t turn = below(4); turn != 0; --turn) peer_turn();
    if (!dropped && now_ - begin >= kHostPatience && chance(20)) {
      dropped = true;
      drop_session();
    }
  }
  thaw(gap);
}

// The kernel is frozen too: commands of hosts wait in the network and arrive when it resumes, even
// if no host waits for them any more. The clock may have stopped as well; then only the cluster can
// detect it, if it was long enough.
void LunSim::freeze_machine() {
  ++counts_.freezes;
  frozen_ = true;
  frozen_since_ = world_now();
  const bool clock_stops = chance(2);
  const Duration gap = clock_stops ? kWatchTimeout + Device::kTick * below(100)
                                   : Device::kTick * (1 + below(chance(2) ? 900 : 90));
  const TimePoint begin = world_now();
  std::vector<std::pair<Pending, FakeCommand>> unsent;
  bool dropped = false;
  while (world_now() < begin + gap) {
    ++clock_;
    if (clock_stops) {
      skew_ += Device::kTick;
    } else {
      now_ += Device::kTick;
    }
    if (chance(3) && !dropped && unsent.size() < 64) {
      Pending command{.since = now_, .size_max = cluster_.blocks()};
      FakeCommand request = compose(command);
      unsent.emplace_back(std::move(command), std::move(request));
    }
    if (chance(2)) end_some_op();
    for (uint32_t turn = below(4); turn != 0; --turn) peer_turn();
    if (!dropped && world_now() - begin >= kHostPatience && chance(8)) {
      dropped = true;
      drop_session();
      for (auto& [command, request] : unsent) {
        if (command.id != 0) model_.answer(command.id, clock_);
        late_.push_back(std::move(request));
      }
    }
  }
  if (gap >= kWatchTimeout) {
    watch_lost_ = true;
    cluster_.spread_map();
  }
  // Commands sent before the kernel was frozen are in the network's buffers, first in, first out.
  // If the clock stopped as well, the lost watch is reported a moment later: until then, only the
  // order helps in which the kernel reads its sockets and ends the old session for a new one.
  if (dropped && (clock_stops || chance(2))) deliver_late();
  if (!dropped) {
    for (auto& [command, request] : unsent) {
      command.since = now_;
      open_[kernel_.queue(std::move(request))] = std::move(command);
    }
  }
  thaw(clock_stops ? Duration{} : gap);
}

// The host has given up all its commands, and will use another path or session.
void LunSim::drop_session() {
  ++counts_.dropped_sessions;
  for (auto& [tag, command] : open_) {
    if (command.id != 0) model_.answer(command.id, clock_);
    given_up_.insert(tag);
  }
  open_.clear();
  aborted_.clear();
  if (!long_copy_) return;
  model_.answer(long_copy_->id, clock_);
  long_copy_->given_up = true;
}

// Its network has failed: no answer came for as long as a host waits before it uses another path.
void LunSim::drop_silent_session() {
  const auto silent = [this](const auto& entry) {
    return now_ - entry.second.since >= kHostPatience;
  };
  if (!open_.empty() && std::ranges::all_of(open_, silent)) drop_session();
}

void LunSim::deliver_late() {
  for (FakeCommand& request : std::exchange(late_, {}))
    given_up_.insert(kernel_.queue(std::move(request)));
}

// By targetcli or an operator. With the tail at 0 it cannot be detected in the shared memory.
void LunSim::reset_ring() {
  if (kernel_.tail() == 0 || kernel_.on_ring() == 0) return;
  ++counts_.outside_resets;
  kernel_.reset_ring();
  aborted_.clear();
  collect();
}

// By the start of a gateway on this host, or by an operator. Not the entry of the serving instance:
// see acquire(). Nor entries that this process does not know: of a dead process, or of the peer.
// Nor that of an instance that was fenced by the peer before an op was submitted to it, since that
// op is newer than the peer's writes. The guards restore those entries.
void LunSim::remove_entry() {
  for (const auto& [number, instance] : numbers_) {
    if (instance->removed() || !instance->changes_pending()) continue;
    if (instance->changed_when_listed()) continue;
    ++counts_.removed_entries;
    cluster_.remove_entry(*instance);
    return;
  }
}

// Image and device change one after the other, the image first if it grows.
void LunSim::resize() {
  ++counts_.resizes;
  const uint32_t blocks = 16 + 8 * below(7);
  const bool image_alone = chance(4);
  const uint32_t image_blocks = cluster_.blocks();
  for (uint32_t block = std::min(blocks, image_blocks); block < kBlocks; ++block)
    model_.forget(block, clock_);
  cluster_.resize(blocks);
  for (auto& [tag, command] : open_) command.size_max = std::max(command.size_max, blocks);
  for (auto& [copy, command] : copies_) command.size_max = std::max(command.size_max, blocks);
  if (image_alone) return;
  device_blocks_ = blocks;
  device_->on_resized(uint64_t{blocks} * kBlockBytes);
}

// Demoted images are promoted again; the daemon detects it now, or by its next attempt.
void LunSim::change_role() {
  cluster_.primary = !cluster_.primary;
  if (cluster_.primary || chance(2)) device_->on_primary(cluster_.primary, now_);
}

void LunSim::change_limits() {
  task::RateLimits limits;
  if (chance(2)) limits.iops = 10 + below(100);
  if (chance(2)) limits.write_bps = uint64_t{kBlockBytes} * (10 + below(300));
  device_->on_rate_limits(chance(3) ? task::RateLimits{} : limits, now_);
}

void LunSim::crash() {
  counts_ = counts();
  ++counts_.crashes;
  mine_->die();
  // Of earlier instances too: with the process go all its connections.
  for (FakeInstance& instance : cluster_.instances()) {
    if (&instance == mine_ || instance.dead()) continue;
    if (instance.blocklisted() && &instance != peer_) instance.die();
    if (instance.dead() && instance.removed()) instance.close();
  }
  // A fence under way may have been committed.
  if (action_ == lock::Action::kFence && chance(2)) cluster_.blocklist(*mine_);
  action_ = lock::Action::kNone;
  taking_.stop();
  releasing_since_.reset();
  for (const auto& [copy, command] : copies_) {
    if (command.id != 0) model_.answer(command.id, clock_);
  }
  copies_.clear();
  if (long_copy_) end_long_copy(false);
  numbers_.clear();
  inbox_.clear();
  aborted_.clear();
  device_.reset();
  effects_.clear();
}

// Like the daemon at its start: the device is blocked, open commands end, the predecessor is
// fenced, then it is served.
void LunSim::start_successor() {
  kernel_.set_blocked(true);
  kernel_.reset_ring();
  deliver_late();  // Opening takes longer than the delivery of commands left in the network.
  collect();
  cluster_.blocklist(*mine_);
  mine_ = &cluster_.open();
  device_ = std::make_unique<Device>(
      fresh_ring(), *mine_, scsi::DiskFacts{.block_size = kBlockBytes, .blocks = device_blocks_},
      settings());
  awake_since_ = now_;
  watch_lost_ = false;
  kernel_.set_blocked(false);
}

}  // namespace tcmurbd::testing
