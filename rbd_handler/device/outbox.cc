// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/device/outbox.h"

#include <algorithm>
#include <iterator>

#include "rbd_handler/scsi/opcode_table.h"

namespace tcmurbd {

std::string_view command_of(const task::Task& task) {
  return task.copy != 0 ? kPieceOfCopy : scsi::command_name(task.entry.cdb_bytes());
}

ByteRange range_of(const task::Task& task) {
  return task.plan.ops.empty() ? ByteRange{} : task.plan.ops.front().range;
}

void Outbox::tell(const Report& report) {
  if (reports_ == kReportsMax) return;
  ++reports_;
  add(report);
}

void Outbox::tell_of(const task::Task& task, Report::Kind kind, TimePoint now, uint8_t tmr_type) {
  const auto age = [now](TimePoint when) {
    return when == TimePoint{} ? Duration{-1} : now - when;
  };
  tell({.kind = kind,
        .tmr_type = tmr_type,
        .cmd_id = task.entry.cmd_id,
        .command = command_of(task),
        .state = task.state(),
        .range = range_of(task),
        .result = task.error,
        .queued = age(task.queued),
        .submitted = age(task.submitted),
        .answered = age(task.answered)});
}

void Outbox::forget_buffers() {
  std::erase_if(effects_, [](const Effect& effect) {
    return std::holds_alternative<FreeKeptBuffer>(effect);
  });
}

void Outbox::forget_cancel(task::TaskId task) {
  std::erase_if(effects_, [task](const Effect& effect) {
    const auto* const cancel = std::get_if<CopyCancel>(&effect);
    return cancel != nullptr && cancel->task == task;
  });
}

void Outbox::take(std::vector<Effect>& effects) {
  std::ranges::move(effects_, std::back_inserter(effects));
  effects_.clear();
  reports_ = 0;
}

}  // namespace tcmurbd
