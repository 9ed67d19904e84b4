// SPDX-License-Identifier: Apache-2.0
// A bounded queue in front of a writer that may block: a pipe without a reader, a hung journal. One
// thread writes; callers never wait for it. When the queue is full, the oldest lines are dropped,
// and the next line written says how many.
#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "common/log_line.h"
#include "common/log_writer.h"
#include "common/mutex.h"

namespace tcmurbd {

class LogQueue {
 public:
  // Lines of about 200 bytes. The rate limits allow far fewer while a healthy journal is busy.
  static constexpr size_t kLinesMax = 4096;

  // Lines that no event brings; the queue's thread asks for them.
  using MoreLines = std::function<std::vector<LogLine>()>;

  // `lost` has the message for lines that were dropped, with their number. `more` is called every
  // `period`. Throws std::system_error if the thread cannot be started.
  LogQueue(std::shared_ptr<LogWriter> writer, const LogMessage& lost, MoreLines more = nullptr,
           std::chrono::milliseconds period = std::chrono::seconds(5));
  // Waits for the queued lines, for a short time only.
  ~LogQueue();
  LogQueue(const LogQueue&) = delete;
  LogQueue& operator=(const LogQueue&) = delete;

  // Any thread; never waits for the writer.
  void push(LogLine line);
  // Waits until all lines are written, at most for `patience`. Returns whether they are.
  bool drain(std::chrono::milliseconds patience);

 private:
  // Shared with the thread, which is abandoned if the writer never returns.
  struct State {
    State(std::shared_ptr<LogWriter> slow, const LogMessage& lost_message, MoreLines more_lines,
          std::chrono::milliseconds asked_every)
        : writer(std::move(slow)),
          lost(lost_message),
          more(std::move(more_lines)),
          period(asked_every) {}
    const std::shared_ptr<LogWriter> writer;
    const LogMessage& lost;
    const MoreLines more;
    const std::chrono::milliseconds period;
    Mutex mutex;
    std::condition_variable_any changed;
    std::deque<LogLine> lines GUARDED_BY(mutex);
    size_t dropped GUARDED_BY(mutex) = 0;
    bool writing GUARDED_BY(mutex) = false;
    bool ended GUARDED_BY(mutex) = false;
  };
  static void write_lines(State& state);

  const std::shared_ptr<State> state_;
  std::thread writer_;
};

}  // namespace tcmurbd
