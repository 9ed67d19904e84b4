// SPDX-License-Identifier: Apache-2.0
// A Report as one line for the log: a word that says what it is, then key=value. Pure, any thread.
#pragma once

#include <string>

#include "rbd_handler/device/device_report.h"

namespace tcmurbd {

std::string describe(const Report& report);

}  // namespace tcmurbd
