// SPDX-License-Identifier: Apache-2.0
// Log lines with a level and a tag (the device they are about), to stderr, or to the journal when
// stderr is its stream. A hung cluster makes thousands of commands log the same, so each place that
// logs is limited to a burst and then to a rate per minute and tag; suppressed lines are counted.
// Any thread; never waits for the reader of the log (log_queue.h), but is not for the hot path.
#pragma once

#include <spdlog/spdlog.h>

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include "common/mutex.h"

namespace tcmurbd {

// A token bucket for each place that logs.
class RateLimiter {
 public:
  struct Limits {
    uint32_t burst = 20;
    uint32_t per_minute = 60;
  };
  // `place` is the address of a literal. Returns the number of lines suppressed before this one, or
  // -1: suppress this one too.
  int64_t admit(const void* place, std::chrono::steady_clock::time_point now, Limits limits);

 private:
  struct Bucket {
    double tokens = 0;
    std::chrono::steady_clock::time_point filled{};
    int64_t left_out = 0;
  };
  Mutex mutex_;
  std::map<const void*, Bucket> buckets_ GUARDED_BY(mutex_);
};

class Log {
 public:
  // `tag` is the prefix of each line; empty for the daemon as a whole.
  explicit Log(std::string tag = {}) : tag_(std::move(tag)) {}

  template <typename... Args>
  void debug(fmt::format_string<Args...> format, Args&&... args) {
    write(spdlog::level::debug, format, std::forward<Args>(args)...);
  }
  template <typename... Args>
  void info(fmt::format_string<Args...> format, Args&&... args) {
    write(spdlog::level::info, format, std::forward<Args>(args)...);
  }
  template <typename... Args>
  void warning(fmt::format_string<Args...> format, Args&&... args) {
    write(spdlog::level::warn, format, std::forward<Args>(args)...);
  }
  template <typename... Args>
  void error(fmt::format_string<Args...> format, Args&&... args) {
    write(spdlog::level::err, format, std::forward<Args>(args)...);
  }
  const std::string& tag() const { return tag_; }

  // Chooses stderr or the journal; once, before the first line of any thread. Until then lines go
  // to stdout directly. Throws std::system_error if the writer thread cannot be started.
  static void start();
  // Waits before the process exits until all lines are written, at most for `patience`.
  static void drain(std::chrono::milliseconds patience);
  // The settings of config's log section, for all Logs; at any time.
  static void set_level(spdlog::level::level_enum level);
  static void set_limits(RateLimiter::Limits limits);

 private:
  template <typename... Args>
  void write(spdlog::level::level_enum level, fmt::format_string<Args...> format, Args&&... args) {
    if (!spdlog::should_log(level)) return;
    const fmt::string_view text = format;
    const int64_t left_out = admit(text.data());
    if (left_out < 0) return;
    emit(level, fmt::format(format, std::forward<Args>(args)...), left_out);
  }
  int64_t admit(const void* place);
  void emit(spdlog::level::level_enum level, const std::string& line, int64_t left_out);

  const std::string tag_;
  RateLimiter limiter_;
};

}  // namespace tcmurbd
