// SPDX-License-Identifier: Apache-2.0
#include "common/log_limiter.h"

#include <algorithm>

namespace tcmurbd {

bool LogLimiter::Bucket::may_pass(const LogMessage& message, TimePoint now, Limits limits) {
  if (!message.of_command) {
    const std::chrono::duration<double, std::ratio<60>> minutes = now - filled;
    tokens = std::min<double>(limits.burst, tokens + minutes.count() * limits.per_minute);
    filled = now;
  } else if (tokens < 1 && now >= next) {
    tokens = 1;
    pause = std::min(pause * 2, kPauseMax);
  }
  if (tokens < 1) return false;
  tokens -= 1;
  next = now + pause;
  return true;
}

int64_t LogLimiter::admit(const LogMessage& message, const LogTag& tag, TimePoint now,
                          Limits limits) {
  const MutexLock lock(mutex_);
  auto [it, fresh] = buckets_.try_emplace({&message, tag.prefix});
  Bucket& bucket = it->second;
  if (fresh) {
    bucket.tag = tag;
    bucket.filled = now;
  }
  if (fresh || (message.of_command && now - bucket.asked >= kQuiet)) {
    bucket.tokens = message.of_command ? kCommandBurst : limits.burst;
    bucket.pause = kPauseMin;
  }
  bucket.asked = now;
  if (!bucket.may_pass(message, now, limits)) {
    ++bucket.left_out;
    return -1;
  }
  return std::exchange(bucket.left_out, 0);
}

std::vector<LogLimiter::Suppressed> LogLimiter::take_due(TimePoint now, Limits limits) {
  std::vector<Suppressed> due;
  const MutexLock lock(mutex_);
  for (auto& [key, bucket] : buckets_)
    if (bucket.left_out > 0 && bucket.may_pass(*key.first, now, limits))
      due.push_back({key.first, bucket.tag, std::exchange(bucket.left_out, 0)});
  std::erase_if(buckets_, [now](const auto& entry) {
    return entry.second.left_out == 0 && now - entry.second.asked >= kQuiet;
  });
  return due;
}

std::vector<LogLimiter::Suppressed> LogLimiter::take_all() {
  std::vector<Suppressed> all;
  const MutexLock lock(mutex_);
  for (auto& [key, bucket] : buckets_)
    if (bucket.left_out > 0)
      all.push_back({key.first, bucket.tag, std::exchange(bucket.left_out, 0)});
  return all;
}

}  // namespace tcmurbd
