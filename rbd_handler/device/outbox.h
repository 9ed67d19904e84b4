// SPDX-License-Identifier: Apache-2.0
// What a Device and its OpQueue leave behind for others, until it is taken.
//
// Reactor thread.
#pragma once

#include <cstdint>
#include <vector>

#include "rbd_handler/device/device_report.h"
#include "rbd_handler/task/task_table.h"

namespace tcmurbd {

class Outbox {
 public:
  Outbox() { reports_.reserve(kReportsMax); }

  void tell(const Report& report);
  void tell(Report::Kind kind) { tell({.kind = kind}); }
  // Of one command. `tmr_type`: see Report.
  void tell_of(const task::Task& task, Report::Kind kind, TimePoint now, uint8_t tmr_type = 0);
  // The buffer that was kept for this command id is needed no more.
  void free_buffer(uint16_t cmd_id) { freed_buffers_.push_back(cmd_id); }
  // The ring was reset, which has freed them all.
  void forget_buffers() { freed_buffers_.clear(); }

  // Appends what is there.
  void take_freed_buffers(std::vector<uint16_t>& ids);
  void take_reports(std::vector<Report>& reports);

 private:
  static constexpr size_t kReportsMax = 64;  // Between two takes; the counters count the rest.

  std::vector<uint16_t> freed_buffers_;
  std::vector<Report> reports_;
};

}  // namespace tcmurbd
