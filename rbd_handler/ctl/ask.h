// SPDX-License-Identifier: Apache-2.0
// Requests to the daemon over its control socket. They wait at most 10 s in all.
#pragma once

#include <expected>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace tcmurbd {

// The daemon's whole answer. The error is one line with the path.
std::expected<std::string, std::string> ask(const std::string& path, const std::string& request);

// The answer as JSON. The daemon's own error, and an answer that is not JSON, are errors too.
std::expected<nlohmann::json, std::string> ask_json(const std::string& path,
                                                    const std::string& request);

// What ask_json() makes of an answer; `request` is for the error. Pure.
std::expected<nlohmann::json, std::string> read_answer(std::string_view request,
                                                       std::string_view answer);

}  // namespace tcmurbd
