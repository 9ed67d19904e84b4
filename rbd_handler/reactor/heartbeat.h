// SPDX-License-Identifier: Apache-2.0
// Knows when a reactor did not run: the process was stopped, the machine was frozen or suspended,
// or something blocked. What the kernel queued meanwhile is older than it looks (Device::on_away).
//
// Thread: the reactor's, but for the constructor and steady().
#pragma once

#include <array>
#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstddef>

#include "common/units.h"

namespace tcmurbd::reactor {

class Heartbeat {
 public:
  // How often the reactor runs at least. Each LUN looks much more often while it has work.
  static constexpr Duration kBeat = std::chrono::milliseconds(200);

  // The clock of reactors: it counts the time in which the machine was suspended.
  static TimePoint now();

  explicit Heartbeat(boost::asio::io_context& reactor);
  // Begins to beat.
  void start();

  // The reactor runs, at `now`. Returns the longest time, of those that ended after `since`, in
  // which it did not; zero if none is worth noticing.
  Duration longest_gap(TimePoint since, TimePoint now);

  // Any thread. False: the reactor has not run lately, or there was a gap that ended after `since`.
  // Then nothing may begin before the reactor has looked.
  bool steady(TimePoint since, TimePoint now) const;

 private:
  struct Gap {
    TimePoint end{};
    Duration length{};
  };
  void beat();
  void look(TimePoint now);

  boost::asio::steady_timer timer_;
  std::atomic<TimePoint> last_{now()};  // Written after last_gap_.
  std::atomic<TimePoint> last_gap_{};   // Its end.
  // The last ones. Who looks again has looked before: a handful is enough.
  std::array<Gap, 16> gaps_{};
  size_t next_ = 0;
};

}  // namespace tcmurbd::reactor
