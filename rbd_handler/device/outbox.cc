// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/device/outbox.h"

#include "rbd_handler/scsi/opcode_table.h"

namespace tcmurbd {

void Outbox::tell(const Report& report) {
  if (reports_.size() < kReportsMax) reports_.push_back(report);
}

void Outbox::tell_of(const task::Task& task, Report::Kind kind, TimePoint now, uint8_t tmr_type) {
  const auto age = [now](TimePoint when) {
    return when == TimePoint{} ? Duration{-1} : now - when;
  };
  tell({.kind = kind,
        .tmr_type = tmr_type,
        .cmd_id = task.entry.cmd_id,
        .command =
            task.copy != 0 ? "piece of EXTENDED COPY" : scsi::command_name(task.entry.cdb_bytes()),
        .state = task.state(),
        .range = task.plan.ops.empty() ? ByteRange{} : task.plan.ops.front().range,
        .result = task.error,
        .queued = age(task.queued),
        .submitted = age(task.submitted),
        .answered = age(task.answered)});
}

void Outbox::take_freed_buffers(std::vector<uint16_t>& ids) {
  ids.insert(ids.end(), freed_buffers_.begin(), freed_buffers_.end());
  freed_buffers_.clear();
}

void Outbox::take_reports(std::vector<Report>& reports) {
  reports.insert(reports.end(), reports_.begin(), reports_.end());
  reports_.clear();
}

}  // namespace tcmurbd
