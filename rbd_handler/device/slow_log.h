// SPDX-License-Identifier: Apache-2.0
// The last slow commands of a LUN, for an operator who asks later what was slow. A fixed array:
// nothing is allocated.
//
// Reactor thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "common/units.h"
#include "rbd_handler/task/task_table.h"

namespace tcmurbd {

// A command that has ended, and when it reached each stage. TimePoint{}: never.
struct SlowOp {
  uint64_t sequence = 0;
  uint16_t cmd_id = 0;
  std::string_view command{};  // A literal.
  ByteRange range{};           // As in OpSnapshot.
  bool changes = false;
  std::optional<task::LadderEvent> ended_by{};  // As in OpSnapshot.
  TimePoint queued{};
  TimePoint admitted{};
  TimePoint submitted{};
  TimePoint answered{};  // Before `ended`, if it was detached.
  TimePoint ended{};     // Its last op has, or it was dropped.
  int32_t error = 0;     // The first negative errno of its ops.
  uint8_t scsi_status = 0;
};

class SlowLog {
 public:
  // As many as an operator looks at; 100 of them are 13 KiB for each LUN.
  static constexpr size_t kMax = 100;

  // Keeps the command if it was in the daemon for `slow_after` or longer, in place of the oldest.
  // It is about to be released.
  void note(const task::Task& task, TimePoint now);
  void set_slow_after(Duration slow_after) { slow_after_ = slow_after; }
  Duration slow_after() const { return slow_after_; }

  // Newest first.
  std::vector<SlowOp> list() const;
  // All that were slow, also those that are not kept any more.
  uint64_t total() const { return total_; }

 private:
  Duration slow_after_ = std::chrono::seconds(1);
  std::array<SlowOp, kMax> ops_{};
  uint64_t total_ = 0;
};

// What an edge shows of it.
struct SlowReport {
  std::vector<SlowOp> ops{};  // Newest first.
  uint64_t total = 0;
  Duration slow_after{};
  TimePoint now{};  // Of this report.
};

}  // namespace tcmurbd
