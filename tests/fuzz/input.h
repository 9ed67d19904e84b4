// SPDX-License-Identifier: Apache-2.0
// A fuzzer's bytes, consumed from the front for each decision. After the end all values are zero,
// so each input is valid.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace tcmurbd::fuzz {

class Input {
 public:
  explicit Input(std::span<const uint8_t> bytes) : rest_(bytes) {}

  bool empty() const { return rest_.empty(); }

  // Little endian.
  template <typename T>
  T number() {
    T value = 0;
    const auto taken = bytes(sizeof(T));
    std::ranges::copy(taken, reinterpret_cast<uint8_t*>(&value));
    return value;
  }
  uint8_t byte() { return number<uint8_t>(); }
  bool flag() { return (byte() & 1) != 0; }
  // From 0 to limit - 1; one byte, or two if the limit needs them.
  uint32_t below(uint32_t limit) {
    return (limit > 256 ? number<uint16_t>() : number<uint8_t>()) % limit;
  }
  // At most `count`: what is left.
  std::span<const uint8_t> bytes(size_t count) {
    const auto taken = rest_.first(std::min(count, rest_.size()));
    rest_ = rest_.subspan(taken.size());
    return taken;
  }
  std::string text(size_t count) {
    const auto taken = bytes(count);
    return {taken.begin(), taken.end()};
  }

 private:
  std::span<const uint8_t> rest_;
};

// A valid message: not empty, one line, printable.
inline bool is_message(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) { return c >= 0x20 && c < 0x7f; });
}

}  // namespace tcmurbd::fuzz
