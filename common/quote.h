// SPDX-License-Identifier: Apache-2.0
// Makes text from users, the kernel or files safe for a message: one line, printable, bounded.
// Pure, any thread.
#pragma once

#include <string>
#include <string_view>

namespace tcmurbd {

// 'text' in single quotes. Control characters, bytes outside ASCII, quotes and backslashes become
// \xNN; text longer than 64 bytes is cut, and "..." follows the closing quote.
//
// An object and not a function: for a std::string, argument-dependent lookup would find std::quoted
// as well, which matches better wherever a standard header brings it in.
struct Quoted {
  std::string operator()(std::string_view text) const;
};
inline constexpr Quoted quoted{};

}  // namespace tcmurbd
