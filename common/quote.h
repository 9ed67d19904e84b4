// SPDX-License-Identifier: Apache-2.0
// Makes text that a person, a kernel or a file handed over fit for a message: one line, printable,
// bounded. Pure, any thread.
#pragma once

#include <string>
#include <string_view>

namespace tcmurbd {

// 'text' in single quotes. Control characters, bytes outside ASCII, quotes and backslashes become
// \xNN; more than 64 bytes are cut, which "..." after the closing quote tells.
std::string quoted(std::string_view text);

}  // namespace tcmurbd
