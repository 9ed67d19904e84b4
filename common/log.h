// SPDX-License-Identifier: Apache-2.0
// Log lines with a tag (the device they are about), to stderr, or to the journal when stderr is its
// stream. Each line is of a LogMessage, which has its level, text and meaning, and which limits how
// often it is logged (log_limiter.h). Any thread; never waits for the reader of the log
// (log_queue.h), but is not for the hot path.
#pragma once

#include <fmt/format.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "common/log_limiter.h"
#include "common/log_line.h"
#include "common/log_writer.h"

namespace tcmurbd {

class Log {
 public:
  // `tag` is the prefix of each line; empty for the daemon as a whole.
  explicit Log(std::string tag = {}) : tag_{.prefix = std::move(tag)} {}
  // Of a LUN. Its lines have both as fields.
  Log(const std::string& lun, const std::string& image)
      : tag_{.prefix = lun + " " + image, .fields = {.lun = lun, .image = image}} {}

  // `args` are those of the message's text.
  template <const LogMessage& kMessage, typename... Args>
  void write(Args&&... args) const {
    write_with<kMessage>({}, std::forward<Args>(args)...);
  }
  // `fields` adds to those of the tag.
  template <const LogMessage& kMessage, typename... Args>
  void write_with(LogFields fields, Args&&... args) const {
    constexpr fmt::format_string<Args...> kText(kMessage.text);
    if (!shown(kMessage)) return;
    const int64_t left_out = admit(kMessage);
    if (left_out < 0) return;
    emit(kMessage, std::move(fields), fmt::format(kText, std::forward<Args>(args)...), left_out);
  }

  // Once, before the first line of any thread; until then lines go to stderr directly. `lost` is
  // the message for lines that a blocked output cost. Without a `writer`: the journal or stderr.
  // Throws std::system_error if the writer thread cannot be started.
  static void start(const LogMessage& lost, std::shared_ptr<LogWriter> writer = nullptr);
  // Waits before the process exits until all lines are written, at most for `patience`.
  static void drain(std::chrono::milliseconds patience);
  // The settings of config's log section, for all Logs; at any time.
  static void set_level(spdlog::level::level_enum level);
  static void set_limits(LogLimiter::Limits limits);

 private:
  static bool shown(const LogMessage& message);
  int64_t admit(const LogMessage& message) const;
  void emit(const LogMessage& message, LogFields fields, std::string text, int64_t left_out) const;

  const LogTag tag_;
};

// A line that reports what was suppressed, and nothing else.
LogLine summary(const LogLimiter::Suppressed& suppressed);

// A text with "..." for what it is filled with.
std::string outline(std::string_view text);

}  // namespace tcmurbd
