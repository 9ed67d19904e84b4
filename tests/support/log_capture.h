// SPDX-License-Identifier: Apache-2.0
// The lines that a test's process logs. Any thread.
#pragma once

#include <memory>
#include <vector>

#include "common/log.h"
#include "common/mutex.h"
#include "rbd_handler/messages/daemon.h"

namespace tcmurbd::testing {

class LogCapture final : public LogWriter {
 public:
  // From the first call on. Starts the log's thread.
  static LogCapture& start() {
    static const auto one = [] {
      auto capture = std::make_shared<LogCapture>();
      Log::start(messages::kLinesLost, capture);
      return capture;
    }();
    return *one;
  }

  void write(const LogLine& line) override {
    const MutexLock lock(mutex_);
    lines_.push_back(line);
  }
  // All that was logged since the last call.
  std::vector<LogLine> take() {
    Log::drain(std::chrono::seconds(60));
    const MutexLock lock(mutex_);
    return std::exchange(lines_, {});
  }

 private:
  Mutex mutex_;
  std::vector<LogLine> lines_ GUARDED_BY(mutex_);
};

}  // namespace tcmurbd::testing
