// SPDX-License-Identifier: Apache-2.0
// A bounded queue in front of a sink that may block: a pipe without a reader, a hung journal. One
// thread writes; callers never wait for it. When the queue is full, the oldest lines are dropped,
// and the next line written says how many.
#pragma once

#include <spdlog/details/log_msg_buffer.h>
#include <spdlog/sinks/sink.h>

#include <chrono>
#include <condition_variable>
#include <deque>
#include <memory>
#include <string>
#include <thread>

#include "common/mutex.h"

namespace tcmurbd {

class LogQueue : public spdlog::sinks::sink {
 public:
  // Lines of about 200 bytes. The rate limits allow far fewer while a healthy journal is busy.
  static constexpr size_t kLinesMax = 4096;

  // Throws std::system_error if its thread cannot be started.
  explicit LogQueue(std::shared_ptr<spdlog::sinks::sink> slow);
  // Waits for the queued lines, for a short time only.
  ~LogQueue() override;
  LogQueue(const LogQueue&) = delete;
  LogQueue& operator=(const LogQueue&) = delete;

  // Any thread; never waits for the sink.
  void log(const spdlog::details::log_msg& message) override;
  void flush() override {}
  // Waits until all lines are written, at most for `patience`. Returns whether they are.
  bool drain(std::chrono::milliseconds patience);

  // REQUIRES: nothing has been logged yet.
  void set_pattern(const std::string& pattern) override;
  void set_formatter(std::unique_ptr<spdlog::formatter> formatter) override;

 private:
  // Shared with the thread, which is abandoned if the sink never returns.
  struct State {
    std::shared_ptr<spdlog::sinks::sink> slow;
    Mutex mutex;
    std::condition_variable_any changed;
    std::deque<spdlog::details::log_msg_buffer> lines GUARDED_BY(mutex);
    size_t lost GUARDED_BY(mutex) = 0;
    bool writing GUARDED_BY(mutex) = false;
    bool ended GUARDED_BY(mutex) = false;
  };
  static void write_lines(State& state);

  const std::shared_ptr<State> state_ = std::make_shared<State>();
  std::thread writer_;
};

}  // namespace tcmurbd
