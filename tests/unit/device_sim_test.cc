// SPDX-License-Identifier: Apache-2.0
// A LUN for a long and bad life: its ops end late, twice as late or never, its instance is fenced
// by itself and by a peer, jobs fail, initiators abort and reset. What must hold is the promise
// that the program exists for: once a newer write is acknowledged, nothing older is ever seen
// again; and that every command is answered once and nothing is left over.
//
// TCMU_RBD_SIM_SEED repeats a run; each failure prints its seed.
#include <gtest/gtest.h>

#include <cstdlib>

#include "tests/support/lun_sim.h"

namespace tcmurbd::testing {
namespace {

// Sanitizers cost an order of magnitude.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr int kSteps = 40'000;
#else
constexpr int kSteps = 500'000;
#endif

class DeviceSim : public ::testing::TestWithParam<int> {};

TEST_P(DeviceSim, NothingAcknowledgedIsEverUndone) {
  const char* wanted = std::getenv("TCMU_RBD_SIM_SEED");
  const auto seed = wanted != nullptr ? static_cast<uint32_t>(std::strtoul(wanted, nullptr, 10))
                                      : std::random_device{}();
  SCOPED_TRACE(::testing::Message() << "TCMU_RBD_SIM_SEED=" << seed);
  LunSim sim(seed, {.keep_buffer = GetParam() % 4 != 1, .reads_need_lock = GetParam() % 4 == 2});
  for (int step = 0; step < kSteps && !::testing::Test::HasFailure(); ++step) sim.step();
  sim.heal();
  EXPECT_GT(sim.device().counters().fences, 0u) << "a life without a fence shows little";
  EXPECT_GT(sim.device().counters().lock_released, 0u);
  EXPECT_GT(sim.device().counters().aborts, 0u);
  EXPECT_GT(sim.device().counters().deadlines, 0u);
}

INSTANTIATE_TEST_SUITE_P(Lives, DeviceSim, ::testing::Range(0, 8));

}  // namespace
}  // namespace tcmurbd::testing
