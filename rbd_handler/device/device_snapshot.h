// SPDX-License-Identifier: Apache-2.0
// What a LUN does at one moment, for an operator who asks: its commands, the lock, and what comes
// next. Plain values, made by the Device on its reactor, read anywhere.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/units.h"
#include "rbd_handler/device/writes_state.h"
#include "rbd_handler/lock/gate.h"
#include "rbd_handler/task/ladder.h"

namespace tcmurbd {

// A command that is not answered, or whose op has not ended.
struct OpSnapshot {
  uint64_t sequence = 0;       // Its number among all commands of the LUN.
  uint16_t cmd_id = 0;         // The kernel's; reused after the answer.
  std::string_view command{};  // "WRITE(16)"; a literal.
  task::TaskState state = task::TaskState::kFree;
  std::string_view stage{};  // stage_name(), but a wait for QoS limits has a name of its own.
  bool changes = false;      // The image.
  ByteRange range{};         // Of its first op; empty: it has none.
  uint32_t ops = 0;          // UNMAP has one for each descriptor.
  uint32_t instance = 0;     // The client instance of its ops, as Device::instance(); 0: none yet.
  // What ended it before its op has: a task management, its deadline, or a fence.
  std::optional<task::LadderEvent> ended_by{};
  bool outcome_unknown = false;  // Its op failed, but may still be applied: until a fence.
  // Ages. Negative: it was never.
  Duration queued{-1};
  Duration admitted{-1};  // By the QoS limits.
  Duration submitted{-1};
  Duration answered{-1};
  std::optional<Duration> deadline_in{};  // Then it gets BUSY.
};

struct DeviceSnapshot {
  std::vector<OpSnapshot> ops{};  // Oldest first.
  uint64_t more = 0;              // Commands that did not fit.
  lock::GateView gate{};
  uint32_t waiting_changes = 0;   // At the gate.
  uint32_t detached_changes = 0;  // Of the instance that serves.
  uint32_t block_size = 512;
  uint32_t instance = 0;
  uint64_t fences = 0;  // Since the LUN was opened.
  bool primary = true;
  bool safe = true;      // See Device::on_safe().
  bool full = false;     // The pool has no space for changes.
  Duration away_left{};  // How long changes still get BUSY since this gateway was away.
  std::string broken{};  // Device::broken_reason().
};

// The load of a LUN in a few numbers, for a status.
struct DeviceLoad {
  uint32_t in_flight = 0;  // Commands without an answer.
  uint32_t hung = 0;       // Commands that hang: see hangs().
  Duration oldest{-1};     // The age of the oldest of both; negative: there is none.
  bool full = false;       // As above, as is the next.
  bool primary = true;
  WritesState writes = WritesState::kServed;
};

}  // namespace tcmurbd
