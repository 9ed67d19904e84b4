// SPDX-License-Identifier: Apache-2.0
// Time since boot with the time that the machine was suspended (CLOCK_BOOTTIME). The steady clock
// stands still meanwhile, so only this one shows for how long a process did not run.
#pragma once

#include "common/units.h"

namespace tcmurbd {

// Never fails. Any thread.
Duration boot_now();

}  // namespace tcmurbd
