// SPDX-License-Identifier: Apache-2.0
#include "common/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/sinks/systemd_sink.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>

#include "common/log_queue.h"

namespace tcmurbd {
namespace {

std::atomic<RateLimiter::Limits> limits_now{RateLimiter::Limits{}};

// Set by start(), never destroyed: a line may come after spdlog's registry is destroyed at exit.
std::atomic<const std::shared_ptr<LogQueue>*> queue_now{nullptr};

// JOURNAL_STREAM has the device and inode of the stream that systemd made (systemd.exec(5)); stderr
// may have been redirected since.
bool stderr_is_journal() {
  const char* stream = std::getenv("JOURNAL_STREAM");
  struct stat st{};
  if (stream == nullptr || fstat(STDERR_FILENO, &st) != 0) return false;
  return fmt::format("{}:{}", st.st_dev, st.st_ino) == stream;
}

}  // namespace

int64_t RateLimiter::admit(const void* place, std::chrono::steady_clock::time_point now,
                           Limits limits) {
  const MutexLock lock(mutex_);
  auto [it, fresh] = buckets_.try_emplace(place);
  Bucket& bucket = it->second;
  if (fresh) {
    bucket.tokens = limits.burst;
  } else {
    const std::chrono::duration<double, std::ratio<60>> minutes = now - bucket.filled;
    bucket.tokens =
        std::min<double>(limits.burst, bucket.tokens + minutes.count() * limits.per_minute);
  }
  bucket.filled = now;
  if (bucket.tokens < 1) {
    ++bucket.left_out;
    return -1;
  }
  bucket.tokens -= 1;
  return std::exchange(bucket.left_out, 0);
}

void Log::start() {
  std::shared_ptr<spdlog::sinks::sink> sink;
  if (stderr_is_journal()) {
    sink = std::make_shared<spdlog::sinks::systemd_sink_mt>("tcmu-rbd", true);
    sink->set_pattern("%v");  // The journal adds the time and the level itself.
  } else {
    sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
    sink->set_pattern("%Y-%m-%d %H:%M:%S.%e %l %v");
  }
  auto queue = std::make_shared<LogQueue>(std::move(sink));
  queue_now = new std::shared_ptr<LogQueue>(queue);
  spdlog::set_default_logger(std::make_shared<spdlog::logger>("tcmu-rbd", std::move(queue)));
}

void Log::drain(std::chrono::milliseconds patience) {
  if (const auto* queue = queue_now.load()) (*queue)->drain(patience);
}

void Log::set_level(spdlog::level::level_enum level) { spdlog::set_level(level); }

void Log::set_limits(RateLimiter::Limits limits) { limits_now = limits; }

int64_t Log::admit(const void* place) {
  return limiter_.admit(place, std::chrono::steady_clock::now(), limits_now.load());
}

void Log::emit(spdlog::level::level_enum level, const std::string& line, int64_t left_out) {
  const std::string prefix = tag_.empty() ? "" : tag_ + ": ";
  if (left_out > 0) {
    spdlog::log(level, "{}{} ({} similar lines suppressed)", prefix, line, left_out);
  } else {
    spdlog::log(level, "{}{}", prefix, line);
  }
}

}  // namespace tcmurbd
