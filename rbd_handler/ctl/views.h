// SPDX-License-Identifier: Apache-2.0
// The daemon's answers as text for people, with line ends. Pure, any thread.
//
// Fields that an answer does not have are shown as "-". A JSON value of another type than expected
// throws nlohmann::json::exception.
#pragma once

#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "rbd_handler/ctl/load.h"

namespace tcmurbd {

using Loads = std::map<std::string, Load>;  // By the devices' names.

// A value, or "-".
std::string or_dash(const std::optional<double>& value, std::string (*text)(double));

// Version and process, the table, then the warnings.
std::string status_text(const nlohmann::json& status, const Loads& loads);
// What an operator should look at in a device of a status: "hung 3, full"; empty: nothing.
std::string trouble_of(const nlohmann::json& device);
// The counters that are not zero, device by device.
std::string counters_text(const nlohmann::json& status);

// Histograms of each operation that there was: commands, then their image ops.
std::string hist_text(const nlohmann::json& status);

std::string ops_text(const nlohmann::json& answer);
// A line for each command and each event of the LUN.
std::string trace_text(const nlohmann::json& answer);
std::string slow_text(const nlohmann::json& answer);
std::string fences_text(const nlohmann::json& answer);
std::string explain_text(const nlohmann::json& answer);
std::string release_text(const nlohmann::json& answer);

std::string iostat_text(const nlohmann::json& status, const Loads& loads);

}  // namespace tcmurbd
