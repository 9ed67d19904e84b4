// SPDX-License-Identifier: Apache-2.0
#include "tests/support/lun_sim.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <array>

namespace tcmurbd::testing {

void SimCounts::add(const SimCounts& other) {
  steps += other.steps;
  fences += other.fences;
  releases += other.releases;
  aborts += other.aborts;
  deadlines += other.deadlines;
  expired += other.expired;
  freezes += other.freezes;
  dropped_sessions += other.dropped_sessions;
  outside_resets += other.outside_resets;
  removed_entries += other.removed_entries;
  resizes += other.resizes;
  crashes += other.crashes;
  errors += other.errors;
}

std::string SimCounts::to_string() const {
  return fmt::format(
      "steps {}: fences {}, releases {}, aborts {}, deadlines {}, expired {}, freezes {}, dropped "
      "sessions {}, outside resets {}, removed entries {}, resizes {}, crashes {}, errors {}",
      steps, fences, releases, aborts, deadlines, expired, freezes, dropped_sessions,
      outside_resets, removed_entries, resizes, crashes, errors);
}

LunSim::LunSim(const Life& life)
    : life_(life),
      random_(life.seed),
      kernel_({.ring_bytes = 64 * 1024 - 128,
               .block_bytes = kBlockBytes,
               .blocks = 1024,
               .flags = static_cast<uint16_t>(life.keep_buffer ? 0xf : 0x7)}),
      mine_(&cluster_.open()),
      peer_(&cluster_.open()) {
  device_ = std::make_unique<Device>(fresh_ring(), *mine_,
                                     scsi::DiskFacts{.block_size = kBlockBytes, .blocks = kBlocks},
                                     settings());
}

LunSim::Weather LunSim::weather() const {
  constexpr std::array kCycle{Weather::kBad, Weather::kStuck, Weather::kCalm};
  return kCycle[(clock_ / life_.season + life_.seed) % kCycle.size()];
}

void LunSim::step() {
  ++clock_;
  const bool calm = weather() == Weather::kCalm;
  if (!device_ && chance(20)) start_successor();
  if (!late_.empty() && chance(4)) deliver_late();
  if (chance(50)) inject();
  if (chance(64)) close_some_instance();
  // The guard of fences has read the blocklist.
  if (device_ && mine_->blocklisted() && !mine_->removed() && chance(64))
    device_->on_blocklisted(now_);
  switch (below(16)) {
    case 0:
    case 1:
    case 2:
      if (open_.size() < (calm ? 4 : life_.open_max)) issue();
      if (device_ && chance(4) && copies_.size() < (calm ? 1 : 8)) issue_for_a_copy();
      if (device_ && chance(4)) go_on_copying();
      break;
    case 3:
      if (!calm && device_ && chance(life_.patience)) abort_one();
      break;
    case 4:
      if (!calm && device_ && chance(40 * life_.patience)) reset_lun();
      break;
    case 5:
      peer_turn();
      break;
    case 6:
    case 7:
      pass_time();
      break;
    case 8:
    case 9:
      if (calm || chance(life_.slowness)) run_action(calm);
      break;
    default:
      end_some_op();
  }
  run_device();
  check_invariants();
}

void LunSim::check_invariants() {
  EXPECT_FALSE(cluster_.overlap_seen) << "overlapping ops were with one instance at once";
  EXPECT_FALSE(cluster_.torn) << "something came between the two parts of an op";
  EXPECT_FALSE(cluster_.unlocked_change) << "a change was given to librbd without the lock";
  EXPECT_TRUE(!kernel_.broken() || life_.knows(Fault::kResetRing)) << kernel_.broken_reason();
}

void LunSim::heal() {
  peer_alive_ = false;
  healing_ = true;
  // A broken ring, of a device that is idle, is about to be restarted.
  const auto busy = [this] {
    return !open_.empty() || !device_ || !device_->idle() || !device_->broken_reason().empty();
  };
  for (int round = 0; round < 4000 && busy(); ++round) {
    ++clock_;
    if (!device_) start_successor();
    deliver_late();
    cluster_.primary = true;
    device_->on_primary(true, now_);
    device_->on_rate_limits({}, now_);
    for (FakeInstance& instance : cluster_.instances()) {
      while (instance.gave_up() != 0) instance.late(0);
      while (instance.pending() != 0) report_done(instance.finish(0, false));
    }
    while (!numbers_.empty()) close_some_instance();
    run_action(true);
    pass_time();
  }
  EXPECT_TRUE(open_.empty()) << open_.size() << " commands were never answered";
  EXPECT_TRUE(copies_.empty()) << copies_.size() << " ops of copies were never answered";
  EXPECT_TRUE(device_->idle());
  EXPECT_EQ(device_->detached(), 0u);
  EXPECT_EQ(kernel_.kept(), 0u) << "buffers were never freed";
  EXPECT_EQ(kernel_.on_ring(), 0u);
  if (!life_.knows(Fault::kResetRing)) {
    EXPECT_EQ(kernel_.violations(), std::vector<std::string>{});
  }
  for (uint32_t block = 0; block < kBlocks; ++block)
    check_look(model_.look(block, cluster_.content()[block], model_.newest(block)));
}

SimCounts LunSim::counts() const {
  SimCounts counts = counts_;
  counts.steps = clock_;
  if (!device_) return counts;
  counts.fences += device_->counters().fences;
  counts.releases += device_->counters().lock_released;
  counts.aborts += device_->counters().aborts;
  counts.deadlines += device_->counters().deadlines;
  return counts;
}

}  // namespace tcmurbd::testing
