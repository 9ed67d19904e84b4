// SPDX-License-Identifier: Apache-2.0
// A LUN in many short lives with faults: its ops end late, very late or never, its instance is
// fenced by itself and by a peer, actions fail, initiators abort and reset; each life has some of
// the faults of tests/support/lun_sim_life.h. Checks the main guarantee: once a newer write is
// acknowledged, older data is never read again; and that every command is answered once and in
// time, and no state is left over.
//
// SIM_LIVES: how many lives for each test (a night: 80000). SIM_SEED: the first life's seed, the
// others follow; a failure prints its own: SIM_SEED=that SIM_LIVES=1 repeats it, in the same test.
// SIM_FAULTS: only these faults, separated by commas.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <array>
#include <cstdlib>
#include <ranges>
#include <string>
#include <string_view>

#include "tests/support/lun_sim.h"

namespace tcmurbd::testing {
namespace {

// Sanitizers cost an order of magnitude.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr uint32_t kLives = 40;
#else
constexpr uint32_t kLives = 200;
#endif
constexpr int kStepsMax = 4000;

std::optional<uint32_t> number(const char* name) {
  const char* text = std::getenv(name);
  if (text == nullptr) return std::nullopt;
  return static_cast<uint32_t>(std::strtoul(text, nullptr, 10));
}

FaultSet possible_faults() {
  FaultSet faults;
  const char* text = std::getenv("SIM_FAULTS");
  if (text == nullptr) {
    faults.set();
    return faults;
  }
  for (const auto word : std::views::split(std::string_view(text), ',')) {
    for (size_t i = 0; i < kFaults; ++i)
      faults[i] = faults[i] || std::string_view(word) == kFaultNames[i];
  }
  return faults;
}

SimCounts live(uint32_t seed, std::optional<Fault> sure) {
  const Life life = Life::draw(seed, sure, possible_faults());
  SCOPED_TRACE(::testing::Message()
               << "SIM_SEED=" << seed << " SIM_LIVES=1, with " << life.to_string());
  LunSim sim(life);
  for (int step = 0; step < kStepsMax && !::testing::Test::HasFailure(); ++step) sim.step();
  if (!::testing::Test::HasFailure()) sim.heal();
  return sim.counts();
}

class DeviceSim : public ::testing::TestWithParam<size_t> {};

TEST_P(DeviceSim, NothingAcknowledgedIsEverUndone) {
  std::optional<Fault> sure;
  if (GetParam() < kFaults) sure = static_cast<Fault>(GetParam());
  if (sure && !possible_faults()[GetParam()]) GTEST_SKIP();
  const uint32_t first = number("SIM_SEED").value_or(std::random_device{}());
  const uint32_t lives = number("SIM_LIVES").value_or(kLives);
  SimCounts counts;
  for (uint32_t i = 0; i < lives && !HasFailure(); ++i) counts.add(live(first + i, sure));
  fmt::print("{}\n", counts.to_string());
  if (HasFailure() || lives < kLives) return;
  EXPECT_GT(counts.fences, 0u) << "lives without a fence show little";
  EXPECT_GT(counts.releases, 0u);
  EXPECT_GT(counts.aborts, 0u);
  EXPECT_GT(counts.deadlines, 0u);
}

INSTANTIATE_TEST_SUITE_P(Lives, DeviceSim, ::testing::Range(size_t{0}, kFaults + 1),
                         [](const auto& param) {
                           return param.param < kFaults ? std::string(kFaultNames[param.param])
                                                        : std::string("any");
                         });

}  // namespace
}  // namespace tcmurbd::testing
