// SPDX-License-Identifier: Apache-2.0
// A time of the wall clock as text for people and programs. Any thread.
#pragma once

#include <chrono>
#include <string>

namespace tcmurbd {

// "2026-11-27T18:37:32.123456Z".
std::string wall_text(std::chrono::system_clock::time_point time);

}  // namespace tcmurbd
