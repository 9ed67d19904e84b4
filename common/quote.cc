// SPDX-License-Identifier: Apache-2.0
#include "common/quote.h"

#include <fmt/format.h>

namespace tcmurbd {
namespace {

// Long enough for any valid name, short enough that a message fits in one line of a terminal.
constexpr size_t kQuotedBytesMax = 64;

bool shown_as_is(char c) { return c >= 0x20 && c < 0x7f && c != '\'' && c != '\\'; }

}  // namespace

std::string Quoted::operator()(std::string_view text) const {
  const bool cut = text.size() > kQuotedBytesMax;
  std::string out = "'";
  for (const char c : text.substr(0, kQuotedBytesMax)) {
    if (shown_as_is(c))
      out += c;
    else
      out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
  }
  out += cut ? "'..." : "'";
  return out;
}

}  // namespace tcmurbd
