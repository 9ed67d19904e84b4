// SPDX-License-Identifier: Apache-2.0
// tcmu-runner's /etc/tcmu/tcmu.conf, for its one-time import: what its settings mean here. The
// daemon never reads that file. Its format is that of tcmu-runner's libtcmu_config.c: lines of
// KEY = VALUE, a KEY alone, or comments that begin with '#'; the last line of a key counts. Pure,
// any thread.
#pragma once

#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/config.h"

namespace tcmurbd {

struct TcmuConf {
  // log_level: 0 and 1 are error, 2 warning, 3 info, 4 and 5 debug. Absent: the file does not set
  // it, and tcmu-runner's default (3) is the default here.
  std::optional<LogLevel> level{};
  // A message for each other key, once: "FILE:LINE: KEY has no effect: REASON".
  std::vector<std::string> without_effect{};
};

// `name` is the prefix of messages. Errors: "FILE:LINE: what is wrong; what is expected".
std::expected<TcmuConf, std::string> parse_tcmu_conf(std::string_view text, std::string_view name);

// The text of a settings file with `log.level: LEVEL` added; everything else, comments too, stays
// as it is. No value: the text sets log.level already, and that stands. `text` may be empty.
// Errors: the text is no valid settings file, or its layout does not allow an insertion.
std::expected<std::optional<std::string>, std::string> add_log_level(std::string_view text,
                                                                     std::string_view name,
                                                                     LogLevel level);

// "debug", "info", "warning", "error".
std::string_view log_level_name(LogLevel level);

}  // namespace tcmurbd
