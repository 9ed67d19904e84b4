// SPDX-License-Identifier: Apache-2.0
// The terminal for `top`: keys without Enter, the size, and the way back. Plain ANSI sequences,
// which every terminal of the last decades knows.
#pragma once

#include <termios.h>

#include <chrono>
#include <cstddef>
#include <string>

namespace tcmurbd {

// One at a time. Restores all when it is destroyed, also after SIGINT and SIGTERM, which end
// `top` as the key q does.
class Terminal {
 public:
  Terminal();
  ~Terminal();
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;

  // Whether stdin and stdout are one.
  static bool present();
  size_t rows() const;
  size_t columns() const;

  // Replaces what is shown; cut to the size.
  void show(const std::string& screen) const;
  // Waits for a key. 0: none in this time, or the size changed. 'q' after a signal.
  char key(std::chrono::milliseconds patience) const;

 private:
  termios before_{};
};

// `text` in a colour, if `wanted`.
enum class Style { kPlain, kTitle, kBad, kWarning };
std::string styled(const std::string& text, Style style, bool wanted);

}  // namespace tcmurbd
