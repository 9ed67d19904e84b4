// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "rbd_handler/ctl/ask.h"

namespace tcmurbd {

std::expected<nlohmann::json, std::string> read_answer(std::string_view request,
                                                       std::string_view answer) {
  auto parsed = nlohmann::json::parse(answer, nullptr, false);
  if (!parsed.is_object())
    return std::unexpected("the daemon's reply is not JSON (did it exit meanwhile?)");
  const auto error = parsed.find("error");
  if (error == parsed.end()) return parsed;
  const std::string text = error->is_string() ? error->get<std::string>() : error->dump();
  if (text.starts_with("unknown request"))
    return std::unexpected(fmt::format(
        "the daemon does not know the request '{}': it is of another version than this program; "
        "was it restarted after the upgrade?",
        request.substr(0, request.find(' '))));
  return std::unexpected(text);
}

}  // namespace tcmurbd
