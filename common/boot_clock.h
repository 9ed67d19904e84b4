// SPDX-License-Identifier: Apache-2.0
// Time since boot, including suspended time (CLOCK_BOOTTIME). The steady clock stops while the
// machine is suspended, so only this clock shows for how long a process did not run.
#pragma once

#include "common/units.h"

namespace tcmurbd {

// Never fails. Any thread.
Duration boot_now();

}  // namespace tcmurbd
