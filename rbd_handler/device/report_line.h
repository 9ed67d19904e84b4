// SPDX-License-Identifier: Apache-2.0
// A Report in words, for the log. Pure, any thread.
#pragma once

#include <string>
#include <string_view>

#include "rbd_handler/device/device_report.h"

namespace tcmurbd {

// Of a command: key=value.
std::string describe(const Report& report);
std::string_view describe(AwayCause cause);
// "ABORT_TASK", "LUN_RESET", ...; `type` as in the kernel's TMR entries.
std::string_view task_management_name(uint8_t type);

// "waits-for-lock", "in-librbd", ...: where a command is.
std::string_view stage_name(task::TaskState state);

}  // namespace tcmurbd
