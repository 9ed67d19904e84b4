// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/reactor/heartbeat.h"

#include <algorithm>

#include "common/boot_clock.h"

namespace tcmurbd::reactor {

namespace {
// What a loaded machine does to a timer is no gap.
constexpr Duration kWorthNoticing = Heartbeat::kBeat + Heartbeat::kBeat / 2;
}  // namespace

TimePoint Heartbeat::now() { return TimePoint(boot_now()); }

Heartbeat::Heartbeat(boost::asio::io_context& reactor) : timer_(reactor) {}

void Heartbeat::start() {
  last_ = now();
  beat();
}

void Heartbeat::beat() {
  look(now());
  timer_.expires_after(kBeat);
  timer_.async_wait([this](const boost::system::error_code& error) {
    if (!error) beat();
  });
}

void Heartbeat::look(TimePoint now) {
  const Duration gap = now - last_.load(std::memory_order_relaxed);
  if (gap >= kWorthNoticing) {
    gaps_[next_] = {now, gap};
    next_ = (next_ + 1) % gaps_.size();
    last_gap_.store(now, std::memory_order_relaxed);
  }
  last_.store(now, std::memory_order_release);
}

// Whoever sees that the reactor ran after a gap sees the gap.
bool Heartbeat::steady(TimePoint since, TimePoint now) const {
  const TimePoint last = last_.load(std::memory_order_acquire);
  return now - last < kWorthNoticing && last_gap_.load(std::memory_order_relaxed) <= since;
}

Duration Heartbeat::longest_gap(TimePoint since, TimePoint now) {
  look(now);
  Duration longest{};
  for (const Gap& gap : gaps_) {
    if (gap.end > since) longest = std::max(longest, gap.length);
  }
  return longest;
}

}  // namespace tcmurbd::reactor
