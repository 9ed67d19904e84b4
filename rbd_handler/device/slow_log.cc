// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/device/slow_log.h"

#include <algorithm>

#include "rbd_handler/device/outbox.h"

namespace tcmurbd {

void SlowLog::note(const task::Task& task, TimePoint now) {
  if (now - task.queued < slow_after_) return;
  ops_[total_++ % kMax] = {.sequence = task.sequence,
                           .cmd_id = task.entry.cmd_id,
                           .command = command_of(task),
                           .range = range_of(task),
                           .changes = task.changes(),
                           .ended_by = task.ended_by,
                           .queued = task.queued,
                           .admitted = task.admitted,
                           .submitted = task.submitted,
                           .answered = task.answered == TimePoint{} ? now : task.answered,
                           .ended = now,
                           .error = task.error,
                           .scsi_status = task.scsi_status};
}

std::vector<SlowOp> SlowLog::list() const {
  std::vector<SlowOp> newest_first;
  const uint64_t kept = std::min<uint64_t>(total_, kMax);
  newest_first.reserve(kept);
  for (uint64_t i = 0; i < kept; ++i) newest_first.push_back(ops_[(total_ - 1 - i) % kMax]);
  return newest_first;
}

}  // namespace tcmurbd
