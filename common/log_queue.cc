// SPDX-License-Identifier: Apache-2.0
#include "common/log_queue.h"

#include <fmt/format.h>

#include <cstdio>
#include <exception>
#include <utility>

namespace tcmurbd {
namespace {

constexpr std::chrono::seconds kLastPatience{1};

void write_line(spdlog::sinks::sink& sink, const spdlog::details::log_msg& line) {
  try {
    sink.log(line);
    sink.flush();
  } catch (const std::exception& error) {
    // The journal's socket may be gone; stderr is the last resort.
    std::fprintf(stderr, "%.*s (log: %s)\n", static_cast<int>(line.payload.size()),
                 line.payload.data(), error.what());
  }
}

void tell_lost(spdlog::sinks::sink& sink, size_t lost) {
  const std::string text = fmt::format("{} log lines lost: the log output was blocked", lost);
  write_line(sink, spdlog::details::log_msg("", spdlog::level::warn, text));
}

}  // namespace

LogQueue::LogQueue(std::shared_ptr<spdlog::sinks::sink> slow) {
  state_->slow = std::move(slow);
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

void LogQueue::log(const spdlog::details::log_msg& message) {
  {
    const MutexLock lock(state_->mutex);
    if (state_->lines.size() >= kLinesMax) {
      state_->lines.pop_front();
      ++state_->lost;
    }
    state_->lines.emplace_back(message);
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
  while (true) {
    state.changed.wait(
        lock, [&]() REQUIRES_LOCK(state.mutex) { return !state.lines.empty() || state.ended; });
    if (state.lines.empty()) return;
    const auto line = std::move(state.lines.front());
    state.lines.pop_front();
    const size_t lost = std::exchange(state.lost, 0);
    state.writing = true;
    lock.unlock();
    if (lost != 0) tell_lost(*state.slow, lost);
    write_line(*state.slow, line);
    lock.lock();
    state.writing = false;
    if (state.lines.empty()) state.changed.notify_all();
  }
}

void LogQueue::set_pattern(const std::string& pattern) { state_->slow->set_pattern(pattern); }

void LogQueue::set_formatter(std::unique_ptr<spdlog::formatter> formatter) {
  state_->slow->set_formatter(std::move(formatter));
}

}  // namespace tcmurbd
