// SPDX-License-Identifier: Apache-2.0
// One request to the daemon over its control socket.
#pragma once

#include <expected>
#include <string>

namespace tcmurbd {

// The daemon's whole answer. The error is one line with the path. Waits at most 10 s in all.
std::expected<std::string, std::string> ask(const std::string& path, const std::string& request);

}  // namespace tcmurbd
