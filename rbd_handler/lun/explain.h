// SPDX-License-Identifier: Apache-2.0
// Says in plain English what a LUN waits for, since when, where, what was done about it, and what
// comes next: for an operator at night. Pure, any thread.
#pragma once

#include <string>

#include "rbd_handler/lun/lun_snapshot.h"

namespace tcmurbd {

// One paragraph, without line ends.
std::string explain(const LunSnapshot& snapshot);

}  // namespace tcmurbd
