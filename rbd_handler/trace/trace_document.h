// SPDX-License-Identifier: Apache-2.0
// Traces as JSON, for the .cc files of this folder. Any thread.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "common/wall_text.h"
#include "rbd_handler/trace/lun_trace.h"

namespace tcmurbd {

nlohmann::json trace_document(const std::vector<LunTrace>& luns);
std::string print_document(const nlohmann::json& document);

}  // namespace tcmurbd
