// SPDX-License-Identifier: Apache-2.0
// A Report as one line for the log: a word that says what it is, then key=value. Pure, any thread.
#pragma once

#include <string>
#include <string_view>

#include "rbd_handler/device/device_report.h"

namespace tcmurbd {

std::string describe(const Report& report);

// "waits-for-lock", "in-librbd", ...: where a command is.
std::string_view stage_name(task::TaskState state);

}  // namespace tcmurbd
