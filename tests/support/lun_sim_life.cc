// SPDX-License-Identifier: Apache-2.0
#include "tests/support/lun_sim_life.h"

#include <random>

namespace tcmurbd::testing {

using std::chrono::milliseconds;

Life Life::draw(uint32_t seed, std::optional<Fault> sure, const FaultSet& possible) {
  std::mt19937 random(seed ^ 0x5eed);
  const auto below = [&](uint32_t limit) { return static_cast<uint32_t>(random() % limit); };
  Life life{.seed = seed};
  for (size_t i = 0; i < kFaults; ++i) life.faults[i] = possible[i] && below(3) == 0;
  if (sure) life.faults.set(static_cast<size_t>(*sure));

  // After an external reset, data of an ended command is read into memory of other commands, which
  // a daemon cannot prevent. Without kept buffers, the Device reads into its own memory.
  life.keep_buffer = !life.knows(Fault::kResetRing) && below(4) != 0;
  life.reads_need_lock = below(4) == 0;
  life.open_max = life.knows(Fault::kCrowd) ? 400 : 8 + below(40);
  life.season = 128u << below(4);
  life.patience = 1u << 2 * below(4);
  life.slowness = 1u << 2 * below(4);
  life.kernel_deadline = milliseconds(12000);
  life.deadline = milliseconds(6000);
  if (life.knows(Fault::kExpiry)) {
    constexpr std::array kDeadlines{milliseconds(0), milliseconds(20000), milliseconds(6000)};
    life.deadline = kDeadlines[below(kDeadlines.size())];
  }
  return life;
}

std::string Life::to_string() const {
  std::string names;
  for (size_t i = 0; i < kFaults; ++i) {
    if (!faults[i]) continue;
    if (!names.empty()) names.push_back(',');
    names.append(kFaultNames[i]);
  }
  return names;
}

}  // namespace tcmurbd::testing
