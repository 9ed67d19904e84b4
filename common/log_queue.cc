// SPDX-License-Identifier: Apache-2.0
#include "common/log_queue.h"

#include <fmt/format.h>

#include <cstdio>
#include <exception>
#include <utility>

namespace tcmurbd {
namespace {

using std::chrono::steady_clock;

constexpr std::chrono::seconds kLastPatience{1};

void write_line(LogWriter& writer, const LogLine& line) {
  try {
    writer.write(line);
  } catch (const std::exception& error) {
    // The journal's socket may be gone; stderr is the last resort.
    std::fprintf(stderr, "%s (log: %s)\n", line.text.c_str(), error.what());
  }
}

}  // namespace

LogQueue::LogQueue(std::shared_ptr<LogWriter> writer, const LogMessage& lost, MoreLines more,
                   std::chrono::milliseconds period)
    : state_(std::make_shared<State>(std::move(writer), lost, std::move(more), period)) {
  writer_ = std::thread([state = state_] { write_lines(*state); });
}

LogQueue::~LogQueue() {
  const bool written = drain(kLastPatience);
  {
    const MutexLock lock(state_->mutex);
    state_->ended = true;
  }
  state_->changed.notify_all();
  if (written) {
    writer_.join();
  } else {
    writer_.detach();
  }
}

void LogQueue::push(LogLine line) {
  {
    const MutexLock lock(state_->mutex);
    if (state_->lines.size() >= kLinesMax) {
      state_->lines.pop_front();
      ++state_->dropped;
    }
    state_->lines.push_back(std::move(line));
  }
  state_->changed.notify_all();
}

bool LogQueue::drain(std::chrono::milliseconds patience) {
  MutexLock lock(state_->mutex);
  return state_->changed.wait_for(lock, patience, [this]() REQUIRES_LOCK(state_->mutex) {
    return state_->lines.empty() && !state_->writing;
  });
}

void LogQueue::write_lines(State& state) {
  MutexLock lock(state.mutex);
  auto ask_at = steady_clock::now() + state.period;
  while (true) {
    state.changed.wait_until(lock, ask_at, [&]() REQUIRES_LOCK(state.mutex) {
      return !state.lines.empty() || state.ended;
    });
    if (state.lines.empty() && state.ended) return;
    std::vector<LogLine> lines;
    if (const size_t dropped = std::exchange(state.dropped, 0); dropped != 0)
      lines.push_back({&state.lost, std::chrono::system_clock::now(),
                       fmt::format(fmt::runtime(state.lost.text), dropped)});
    if (!state.lines.empty()) {
      lines.push_back(std::move(state.lines.front()));
      state.lines.pop_front();
    }
    state.writing = true;
    lock.unlock();
    if (steady_clock::now() >= ask_at) {
      ask_at = steady_clock::now() + state.period;
      if (state.more)
        for (LogLine& line : state.more()) lines.push_back(std::move(line));
    }
    for (const LogLine& line : lines) write_line(*state.writer, line);
    lock.lock();
    state.writing = false;
    if (state.lines.empty()) state.changed.notify_all();
  }
}

}  // namespace tcmurbd
