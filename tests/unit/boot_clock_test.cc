// SPDX-License-Identifier: Apache-2.0
#include "common/boot_clock.h"

#include <gtest/gtest.h>

#include "common/heartbeat.h"

namespace tcmurbd {
namespace {

TEST(BootClock, GoesOnAndIsNotBehindTheSteadyClock) {
  const Duration first = boot_now();
  const Duration steady = std::chrono::steady_clock::now().time_since_epoch();
  const Duration second = boot_now();
  EXPECT_GE(second, first);
  EXPECT_GE(second, steady) << "the steady clock leaves out suspended time";
}

TEST(Heartbeat, TellsAGapOnce) {
  using std::chrono::milliseconds;
  Heartbeat heart(milliseconds(1000));
  EXPECT_EQ(heart.beat(milliseconds(1500)), std::nullopt);
  EXPECT_EQ(heart.beat(milliseconds(3500)), std::nullopt) << "late, not away";
  EXPECT_EQ(heart.beat(milliseconds(5501)), milliseconds(2001));
  EXPECT_EQ(heart.beat(milliseconds(6001)), std::nullopt);
}

}  // namespace
}  // namespace tcmurbd
