// SPDX-License-Identifier: Apache-2.0
// How often each message of each device is logged. A hung cluster makes thousands of commands log
// the same. Any thread; gets the time as an argument.
//
//   most messages       a burst, then so many per minute
//   those of a command  a burst of kCommandBurst lines, then one after 1 s, 2 s, 4 s, ... up to
//                       kPauseMax; from the beginning after kQuiet without one. So a storm of any
//                       number of aborts costs about 15 lines of each kind in ten minutes, 20 in
//                       an hour.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "common/log_line.h"
#include "common/mutex.h"

namespace tcmurbd {

// Who logs: the prefix of its lines, and their fields.
struct LogTag {
  std::string prefix{};
  LogFields fields{};
};

class LogLimiter {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  static constexpr uint32_t kCommandBurst = 5;
  static constexpr std::chrono::seconds kPauseMin{1};
  static constexpr std::chrono::seconds kPauseMax{600};
  // Longer than a host's timeout: its commands time out in waves.
  static constexpr std::chrono::seconds kQuiet{300};

  struct Limits {
    uint32_t burst = 20;
    uint32_t per_minute = 60;
  };

  // Returns the number of lines suppressed before this one, or -1: suppress this one too.
  int64_t admit(const LogMessage& message, const LogTag& tag, TimePoint now, Limits limits);

  struct Suppressed {
    const LogMessage* message;
    LogTag tag;
    int64_t lines;
  };
  // Suppressed lines that none has reported yet, of messages of which one may be logged now; each
  // count once. To be called every few seconds; forgets messages that are not logged any more.
  std::vector<Suppressed> take_due(TimePoint now, Limits limits);
  // All, at the end of the process.
  std::vector<Suppressed> take_all();

 private:
  struct Bucket {
    bool may_pass(const LogMessage& message, TimePoint now, Limits limits);

    LogTag tag{};
    double tokens = 0;
    TimePoint filled{};            // When the tokens were counted.
    TimePoint asked{};             // By the last line.
    TimePoint next{};              // of_command: none passes before it,
    std::chrono::seconds pause{};  // and the next one waits for so long.
    int64_t left_out = 0;
  };
  using Key = std::pair<const LogMessage*, std::string>;

  Mutex mutex_;
  std::map<Key, Bucket> buckets_ GUARDED_BY(mutex_);
};

}  // namespace tcmurbd
