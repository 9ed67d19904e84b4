// SPDX-License-Identifier: Apache-2.0
// What tcmu-rbdctl status shows, as JSON. Pure, any thread.
#pragma once

#include <string>
#include <vector>

#include "rbd_handler/lun/lun.h"

namespace tcmurbd {

std::string status_json(const std::vector<Lun::Status>& devices);

}  // namespace tcmurbd
