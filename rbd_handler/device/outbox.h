// SPDX-License-Identifier: Apache-2.0
// The effects that a Device and its OpQueue leave behind, until they are taken.
//
// Reactor thread. Allocates only while its high-water mark grows.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "rbd_handler/device/effect.h"
#include "rbd_handler/task/task_table.h"

namespace tcmurbd {

// The name of a read or write for a copy, which has no CDB.
inline constexpr std::string_view kPieceOfCopy = "piece of EXTENDED COPY";
// For people: the command's name, a literal, and the range of its first op; empty: it has none.
std::string_view command_of(const task::Task& task);
ByteRange range_of(const task::Task& task);

class Outbox {
 public:
  void add(Effect effect) { effects_.push_back(std::move(effect)); }
  // Reports beyond what people read are dropped; the counters count them.
  void tell(const Report& report);
  void tell(Report::Kind kind) { tell({.kind = kind}); }
  // Of one command. `tmr_type`: see Report.
  void tell_of(const task::Task& task, Report::Kind kind, TimePoint now, uint8_t tmr_type = 0);
  // The ring was reset, which has freed all kept buffers.
  void forget_buffers();
  // The copy has ended by itself.
  void forget_cancel(task::TaskId task);

  bool empty() const { return effects_.empty(); }
  // Appends them, oldest first.
  void take(std::vector<Effect>& effects);

 private:
  static constexpr size_t kReportsMax = 64;  // Between two takes.

  std::vector<Effect> effects_;
  size_t reports_ = 0;  // Among them.
};

}  // namespace tcmurbd
