// SPDX-License-Identifier: Apache-2.0
// The line of the log for a Report of a LUN's Device. Any thread.
#pragma once

#include "common/log.h"
#include "rbd_handler/device/device_report.h"

namespace tcmurbd {

void log_report(const Log& log, const Report& report);

}  // namespace tcmurbd
