// SPDX-License-Identifier: Apache-2.0
// Figures and names for people. Pure, any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace tcmurbd {

// "850us", "12.3ms", "4.5s", "3m12s", "2h05m", "3d04h". Negative: "-".
std::string human_seconds(double seconds);
// "512 B", "4 KiB", "1.5 MiB".
std::string human_bytes(uint64_t bytes);
// With so many digits that three are significant: "0.25", "7.3", "1234".
std::string human_rate(double rate);
// Megabytes (10^6) a second.
std::string human_megabytes(double bytes);
// Without what would move a terminal's cursor: control characters become '?'.
std::string printable(std::string_view text);
// The columns that UTF-8 text takes, if none of its characters is wide.
size_t width_of(std::string_view text);
// Lines of at most `width` columns, broken at spaces; a longer word stays whole. Ends with a line
// end.
std::string wrap(std::string_view text, size_t width);

}  // namespace tcmurbd
