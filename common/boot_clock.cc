// SPDX-License-Identifier: Apache-2.0
#include "common/boot_clock.h"

#include <time.h>

#include "common/check.h"

namespace tcmurbd {

Duration boot_now() {
  timespec now{};
  CHECK(clock_gettime(CLOCK_BOOTTIME, &now) == 0);
  return std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec);
}

}  // namespace tcmurbd
