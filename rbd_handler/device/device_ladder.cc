// SPDX-License-Identifier: Apache-2.0
// The Device's half that deals with commands which do not end in time: task managements, deadlines,
// outcomes that nobody knows, and the instance that is given up. What is to be done with a task
// stands in task/ladder.h; here it is done.
#include <algorithm>
#include <cerrno>
#include <utility>

#include "common/check.h"
#include "rbd_handler/device/device.h"
#include "rbd_handler/scsi/opcode_table.h"

namespace tcmurbd {

using task::LadderEvent;
using task::LadderStep;
using task::Task;
using task::TaskState;

namespace {

constexpr scsi::Result kTaskAborted{scsi::ScsiStatus::kTaskAborted, {}};

// target_core_base.h, enum tcm_tmreq_table; 128 is a reset by PREEMPT AND ABORT.
constexpr uint8_t kTmrLunReset = 5;
constexpr uint8_t kTmrLunResetPro = 128;

}  // namespace

// Its end will still write to the command's data area.
bool Device::reads_into_ring(TaskId id) {
  const Task& task = tasks_[id];
  return task.plan.ops.front().kind == OpKind::kRead && ring_.supports_keep_buffer() &&
         task.copy == 0;
}

void Device::on_tmr(const ring::TmrEntry& tmr) {
  ++counters_.task_managements;
  const bool reset = tmr.type == kTmrLunReset || tmr.type == kTmrLunResetPro;
  counters_.lun_resets += reset;
  for (const uint16_t cmd_id : tmr.cmd_ids) {
    // An id that is not here was completed before the kernel wrote this entry.
    const auto id = tasks_.find(cmd_id);
    if (!id) continue;
    ++counters_.aborts;
    report(Report::Kind::kAborted, *id, tmr.type);
    climb(*id, LadderEvent::kAborted, kTaskAborted);
  }
  if (!reset) return;
  copies_.forget_ended();
  // They are of commands that no id of ours names: those of other LUNs.
  tasks_.for_each([this](TaskId id) {
    if (tasks_[id].copy != 0) climb(id, LadderEvent::kAborted, kTaskAborted);
  });
  gate_.on_lun_reset(now_);
}

void Device::climb(TaskId id, LadderEvent event, const scsi::Result& result) {
  switch (task::ladder_step(tasks_[id].state(), event)) {
    case LadderStep::kNothing:
      return;
    case LadderStep::kDrop:
      return drop(id, result);
    case LadderStep::kDetach:
      return detach(id, result);
    case LadderStep::kCancel:
      return cancel_copy(id, result);
    case LadderStep::kOrphan:
      return orphan(id);
    case LadderStep::kAnswer:
      return end_image_ops(id);
    case LadderStep::kForget:
      return forget(id);
  }
}

void Device::drop(TaskId id, const scsi::Result& result) {
  const Task& task = tasks_[id];
  const bool parked = task.state() == TaskState::kAwaitingLock;
  switch (task.state()) {
    case TaskState::kAwaitingFacts:
      // Its place stays: the fetch under way is for so many of them.
      std::ranges::replace(awaiting_facts_, id, task::kNoTask);
      break;
    case TaskState::kAwaitingLock:
      std::erase(parked_, id);
      break;
    case TaskState::kBacklog:
      std::erase(backlog_, id);
      break;
    case TaskState::kAwaitingRange:
      order_.leave(id, ready_);
      break;
    default:
      UNREACHABLE();
  }
  respond(id, result, 0);
  tasks_.release(id);
  submit_ready();
  start_backlog();
  if (parked) run_parked();  // A read may have waited for it alone.
}

void Device::detach(TaskId id, const scsi::Result& result) {
  Task& task = tasks_[id];
  ++counters_.detaches;
  const bool writes = task.changes();
  image_->give_up(std::to_underlying(id));
  if (writes) {
    order_.hold(id, ready_);
  } else {
    // Whatever it reads now, nobody gets it: nothing has to wait for it.
    order_.leave(id, ready_);
    task.buffer_kept = reads_into_ring(id) && !task.abandoned;
  }
  respond(id, result, 0, task.buffer_kept);
  tasks_.move(id, TaskState::kDetached);
  task.answered = now_;
  submit_ready();
}

// An op ended, but may still be applied: RADOS gave up on it, or refused it after it was taken.
// Only a fence lets others over its range.
void Device::hold_unknown(TaskId id) {
  Task& task = tasks_[id];
  order_.hold(id, ready_);
  respond(id, scsi::Result::busy(), 0);
  tasks_.move(id, TaskState::kDetached);
  task.answered = now_;
  submit_ready();
}

// The fence orders a change before whatever comes next, or has it refused. But somebody may take
// the fence away, so its range stays held until it has ended.
void Device::orphan(TaskId id) {
  Task& task = tasks_[id];
  const bool writes = task.changes();
  if (task.state() == TaskState::kInImage) {
    image_->give_up(std::to_underlying(id));
    writes ? order_.hold(id, ready_) : order_.leave(id, ready_);
    task.buffer_kept = reads_into_ring(id) && !task.abandoned;
    respond(id, scsi::Result::busy(), 0, task.buffer_kept);
    task.answered = now_;
  }
  tasks_.move(id, TaskState::kOrphaned);
  if (task.ops_pending == 0) forget(id);
}

void Device::forget(TaskId id) {
  const Task& task = tasks_[id];
  const bool writes = task.changes();
  if (task.state() == TaskState::kDetached) {
    if (task.outcome_unknown) return;
  } else {
    // An OSD may still execute it, until it notices that the instance's connection is closed.
    if (task.timed_out && !task.instance_closed) return;
  }
  report(Report::Kind::kEnded, id);
  if (writes) order_.leave(id, ready_);
  if (task.buffer_kept) freed_buffers_.push_back(task.entry.cmd_id);
  tasks_.release(id);
  submit_ready();
  start_backlog();
}

void Device::note_result(const OpDone& done) {
  Task& task = tasks_[TaskId{done.token}];
  const int32_t result = done.result;
  const OpKind kind = task.plan.ops.front().kind;
  const bool writes = changes_image(kind);
  if (writes) note_space(kind, result);
  if (result >= 0) return;
  counters_.image_errors += result != -ECANCELED && (!compares(kind) || result != kMiscompare);
  scsi::Result outcome = scsi::result_from_errno(result, kind, done.mismatch_at);
  if (result == -ETIMEDOUT && writes) task.timed_out = true;
  if (task.state() != TaskState::kOrphaned) {
    if (result == -ESHUTDOWN) {
      note_lost();
      task.outcome_unknown = writes;
      gate_.on_lost();
    } else if (result == -ETIMEDOUT && writes) {
      task.outcome_unknown = true;
      gate_.must_fence();
    } else if (result == -EROFS && writes) {
      // Refused before it was sent: somebody has broken the lock and not blocklisted us.
      note_lost();
      outcome = scsi::Result::busy();
      gate_.on_lock_gone();
    } else if (result == kNotPrimary && writes) {
      set_primary(false);
    }
  }
  if (task.result == scsi::Result::good()) task.result = outcome;
  if (task.error == 0) task.error = result;
}

void Device::on_time(TimePoint now) {
  begin_event(now);
  look_at_clocks();
  if (throttle_.limited()) start_backlog();
  settle_gate();
}

void Device::look_at_clocks() {
  oldest_detached_ = {};
  tasks_.for_each([this](TaskId id) {
    Task& task = tasks_[id];
    if (task.state() == TaskState::kDetached) {
      const Duration age = now_ - task.answered;
      // Reads that hang harm nobody until they use up the instance.
      if (tasks_[id].changes() || !backlog_.empty())
        oldest_detached_ = std::max(oldest_detached_, age);
      if (age >= kHangToldAfter && !task.hang_told && task.ops_pending != 0) {
        task.hang_told = true;
        report(Report::Kind::kHangs, id);
      }
      return;
    }
    if (!past_deadline(task)) return;
    ++counters_.deadlines;
    report(Report::Kind::kDeadline, id);
    // A copy that takes too long would take as long again.
    const bool copies = task.copy_by != TimePoint{};
    climb(id, LadderEvent::kDeadline,
          copies ? scsi::Result::check(scsi::kCopyAborted) : scsi::Result::busy());
  });
}

bool Device::past_deadline(const Task& task) const {
  switch (task.state()) {
    case TaskState::kOrphaned:
    case TaskState::kCopyCancelled:
      return false;
    case TaskState::kCopying:
      if (task.submitted != TimePoint{}) return task.copy_by != TimePoint{} && now_ >= task.copy_by;
      [[fallthrough]];
    default:
      break;
  }
  if (begin_limit_ != Duration{} && now_ - task.queued >= begin_limit_) return true;
  if (deadline_ == Duration{}) return false;
  // To wait for one's own QoS limits is no fault.
  if (throttle_.limited() && task.state() == TaskState::kBacklog) return false;
  const bool counts_from_admission = throttle_.limited() && task.admitted != TimePoint{};
  return now_ - (counts_from_admission ? task.admitted : task.queued) >= deadline_;
}

void Device::report(Report::Kind kind, TaskId id, uint8_t tmr_type) {
  if (reports_.size() == kReportsMax) return;
  const Task& task = tasks_[id];
  const auto age = [this](TimePoint when) {
    return when == TimePoint{} ? Duration{-1} : now_ - when;
  };
  reports_.push_back({.kind = kind,
                      .tmr_type = tmr_type,
                      .cmd_id = task.entry.cmd_id,
                      .command = task.copy != 0 ? "piece of EXTENDED COPY"
                                                : scsi::command_name(task.entry.cdb_bytes()),
                      .state = task.state(),
                      .range = task.plan.ops.empty() ? ByteRange{} : task.plan.ops.front().range,
                      .result = task.error,
                      .queued = age(task.queued),
                      .submitted = age(task.submitted),
                      .answered = age(task.answered)});
}

void Device::take_freed_buffers(std::vector<uint16_t>& ids) {
  ids.insert(ids.end(), freed_buffers_.begin(), freed_buffers_.end());
  freed_buffers_.clear();
}

void Device::take_reports(std::vector<Report>& reports) {
  reports.insert(reports.end(), reports_.begin(), reports_.end());
  reports_.clear();
}

}  // namespace tcmurbd
