// SPDX-License-Identifier: Apache-2.0
#include "common/boot_clock.h"

#include <gtest/gtest.h>

namespace tcmurbd {
namespace {

TEST(BootClock, GoesOnAndIsNotBehindTheSteadyClock) {
  const Duration first = boot_now();
  const Duration steady = std::chrono::steady_clock::now().time_since_epoch();
  const Duration second = boot_now();
  EXPECT_GE(second, first);
  EXPECT_GE(second, steady) << "the steady clock leaves out suspended time";
}

}  // namespace
}  // namespace tcmurbd
