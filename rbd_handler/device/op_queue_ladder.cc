// SPDX-License-Identifier: Apache-2.0
// Commands that do not end in time: aborted, past their deadline, of unknown outcome,
// or with an instance that is given up. What is to be done with a task stands in task/ladder.h;
// here it is done.
#include <algorithm>
#include <cerrno>
#include <utility>

#include "common/check.h"
#include "rbd_handler/device/op_queue.h"

namespace tcmurbd {

using task::LadderEvent;
using task::LadderStep;
using task::Task;
using task::TaskState;

void OpQueue::climb(TaskId id, LadderEvent event, const scsi::Result& result) {
  switch (task::ladder_step(tasks_[id].state(), event)) {
    case LadderStep::kNothing:
      return;
    case LadderStep::kDrop:
      tasks_[id].ended_by = event;
      return drop(id, result);
    case LadderStep::kDetach:
      tasks_[id].ended_by = event;
      return detach(id, result);
    case LadderStep::kCancel:
      return owner_.cancel_copy(id, result);
    case LadderStep::kOrphan:
      return orphan(id);
    case LadderStep::kAnswer:
      return end_ops(id);
    case LadderStep::kForget:
      return forget(id);
  }
}

void OpQueue::drop(TaskId id, const scsi::Result& result) {
  const Task& task = tasks_[id];
  const bool parked = task.state() == TaskState::kAwaitingLock;
  switch (task.state()) {
    case TaskState::kAwaitingFacts:
      owner_.leave_facts(id);
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
  finish(id, result);
  submit_ready();
  start_backlog();
  if (parked) run_parked();  // A read may have waited for it alone.
}

void OpQueue::detach(TaskId id, const scsi::Result& result) {
  Task& task = tasks_[id];
  ++counters_.detaches;
  const bool writes = task.changes();
  image_->give_up(std::to_underlying(id));
  if (writes) {
    order_.hold(id, ready_);
  } else {
    // Its data goes nowhere: nothing has to wait for it.
    order_.leave(id, ready_);
    task.buffer_kept = owner_.reads_into_ring(id) && !task.abandoned;
  }
  become_detached(id, result);
}

// An op ended, but may still be applied: RADOS gave up on it, or refused it after it was taken.
// Only a fence lets others over its range.
void OpQueue::hold_unknown(TaskId id) {
  order_.hold(id, ready_);
  become_detached(id, scsi::Result::busy());
}

void OpQueue::become_detached(TaskId id, const scsi::Result& result) {
  Task& task = tasks_[id];
  owner_.respond_early(id, result, task.buffer_kept);
  move(id, TaskState::kDetached);
  task.answered = now_;
  submit_ready();
}

// The fence orders a change before whatever comes next, or has it refused. But another program may
// take the fence away, so its range stays held until it has ended.
void OpQueue::orphan(TaskId id) {
  Task& task = tasks_[id];
  const bool writes = task.changes();
  if (task.state() == TaskState::kInImage) {
    task.ended_by = LadderEvent::kGivenUp;
    image_->give_up(std::to_underlying(id));
    writes ? order_.hold(id, ready_) : order_.leave(id, ready_);
    task.buffer_kept = owner_.reads_into_ring(id) && !task.abandoned;
    owner_.respond_early(id, scsi::Result::busy(), task.buffer_kept);
    task.answered = now_;
  }
  move(id, TaskState::kOrphaned);
  if (task.ops_pending == 0) forget(id);
}

void OpQueue::forget(TaskId id) {
  const Task& task = tasks_[id];
  const bool writes = task.changes();
  if (task.state() == TaskState::kDetached) {
    if (task.outcome_unknown) return;
  } else {
    // An OSD may still execute it, until it notices that the instance's connection is closed.
    if (task.timed_out && !task.instance_closed) return;
  }
  outbox_.tell_of(task, Report::Kind::kEnded, now_);
  if (writes) order_.leave(id, ready_);
  if (task.buffer_kept) outbox_.add(FreeKeptBuffer{task.entry.cmd_id});
  release(id);
  submit_ready();
  start_backlog();
}

void OpQueue::note_result(const OpDone& done) {
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
      note_lost(AwayCause::kBlocklisted);
      task.outcome_unknown = writes;
      gate_.on_lost();
    } else if (result == -ETIMEDOUT && writes) {
      task.outcome_unknown = true;
      gate_.must_fence();
    } else if (result == -EROFS && writes) {
      // Refused before it was sent: the lock was broken without blocklisting this instance.
      note_lost(AwayCause::kLockLost);
      outcome = scsi::Result::busy();
      gate_.on_lock_gone();
    } else if (result == kNotPrimary && writes) {
      on_primary(false);
    }
  }
  if (task.result == scsi::Result::good()) task.result = outcome;
  if (task.error == 0) task.error = result;
}

void OpQueue::look_at_clocks() {
  oldest_detached_ = {};
  tasks_.for_each([this](TaskId id) {
    Task& task = tasks_[id];
    if (task.state() == TaskState::kDetached) {
      const Duration age = now_ - task.answered;
      // Hung reads do no harm until they use up the instance.
      if (task.changes() || !backlog_.empty()) oldest_detached_ = std::max(oldest_detached_, age);
      if (age >= kHangToldAfter && !task.hang_told && task.ops_pending != 0) {
        task.hang_told = true;
        outbox_.tell_of(task, Report::Kind::kHangs, now_);
      }
      return;
    }
    if (!past_deadline(task)) return;
    ++counters_.deadlines;
    record(task, FlightKind::kDeadline);
    outbox_.tell_of(task, Report::Kind::kDeadline, now_);
    // A copy that takes too long would take as long again.
    const bool copies = task.copy_by != TimePoint{};
    climb(id, LadderEvent::kDeadline,
          copies ? scsi::Result::check(scsi::kCopyAborted) : scsi::Result::busy());
  });
}

}  // namespace tcmurbd
