// SPDX-License-Identifier: Apache-2.0
#include "common/wall_text.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

namespace tcmurbd {

std::string wall_text(std::chrono::system_clock::time_point time) {
  const auto micros = std::chrono::floor<std::chrono::microseconds>(time.time_since_epoch());
  const auto whole = std::chrono::floor<std::chrono::seconds>(micros);
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:06}Z",
                     fmt::gmtime(static_cast<std::time_t>(whole.count())),
                     (micros - whole).count());
}

}  // namespace tcmurbd
