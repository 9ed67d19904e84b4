// SPDX-License-Identifier: Apache-2.0
// The screen of `tcmu-rbdctl top`. Pure, any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "rbd_handler/ctl/views.h"

namespace tcmurbd {

enum class SortBy : uint8_t { kName, kIops, kBytes, kLatency, kInFlight, kOldest };

// The keys of `top`, and the names of --sort. Nothing: no order has it.
std::optional<SortBy> sort_by_key(char key);
std::optional<SortBy> sort_by_name(const std::string& name);

struct Screen {
  SortBy sort = SortBy::kIops;  // The largest first, names from A.
  size_t rows = 0;              // 0: no limit, as the next.
  size_t columns = 0;
  bool colours = false;
  bool keys = false;  // Names the keys.
};

// With line ends.
std::string top_text(const nlohmann::json& status, const Loads& loads, const Screen& screen);

}  // namespace tcmurbd
