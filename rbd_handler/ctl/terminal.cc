// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/ctl/terminal.h"

#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>

namespace tcmurbd {
namespace {

volatile std::sig_atomic_t ended_by_signal = 0;

void on_signal(int number) {
  if (number != SIGWINCH) ended_by_signal = 1;
}

void catch_signal(int number) {
  struct sigaction action{};
  action.sa_handler = on_signal;
  sigaction(number, &action, nullptr);  // Without SA_RESTART: poll() has to return.
}

winsize size() {
  winsize window{};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) != 0 || window.ws_row == 0 || window.ws_col == 0)
    return {.ws_row = 24, .ws_col = 80, .ws_xpixel = 0, .ws_ypixel = 0};
  return window;
}

void write_all(const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

}  // namespace

Terminal::Terminal() {
  tcgetattr(STDIN_FILENO, &before_);
  termios raw = before_;
  raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
  tcsetattr(STDIN_FILENO, TCSANOW, &raw);
  for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGWINCH}) catch_signal(number);
  write_all("\033[?1049h\033[?25l");  // Another screen, without a cursor.
}

Terminal::~Terminal() {
  write_all("\033[?25h\033[?1049l");
  tcsetattr(STDIN_FILENO, TCSANOW, &before_);
}

bool Terminal::present() { return isatty(STDIN_FILENO) == 1 && isatty(STDOUT_FILENO) == 1; }

size_t Terminal::rows() const { return size().ws_row; }
size_t Terminal::columns() const { return size().ws_col; }

void Terminal::show(const std::string& screen) const { write_all("\033[H\033[2J" + screen); }

char Terminal::key(std::chrono::milliseconds patience) const {
  if (ended_by_signal != 0) return 'q';
  pollfd input{.fd = STDIN_FILENO, .events = POLLIN, .revents = 0};
  const int ready = poll(&input, 1, static_cast<int>(patience.count()));
  if (ended_by_signal != 0) return 'q';
  if (ready <= 0) return 0;
  char key = 0;
  return read(STDIN_FILENO, &key, 1) == 1 ? key : 'q';
}

std::string styled(const std::string& text, Style style, bool wanted) {
  if (!wanted || style == Style::kPlain) return text;
  const char* const code = style == Style::kTitle ? "7" : style == Style::kBad ? "31" : "33";
  return std::string("\033[") + code + "m" + text + "\033[0m";
}

}  // namespace tcmurbd
