// SPDX-License-Identifier: Apache-2.0
// At the lock's gate (lock/gate.h): who waits there, what happens when it opens and closes, and
// what the lock's actions came to.
#include <algorithm>
#include <utility>

#include "common/check.h"
#include "common/probes.h"
#include "rbd_handler/device/op_queue.h"

namespace tcmurbd {

using task::LadderEvent;
using task::Task;
using task::TaskState;

bool OpQueue::gate_open(TaskId id) {
  if (tasks_[id].plan.ops.empty()) return true;  // A flush asks nothing of the image.
  return gate_.lets_through(tasks_[id].changes() || reads_need_lock_);
}

void OpQueue::park(TaskId id) {
  if (gate_.refuses()) {
    finish(id, scsi::Result::busy());
    return;
  }
  ++counters_.lock_waits;
  move(id, TaskState::kAwaitingLock);
  parked_.push_back(id);
}

lock::Load OpQueue::gates_load() const {
  // The age counts only while there is something that a fence would help.
  const task::TaskCount& detached = tasks_.count(TaskState::kDetached);
  const bool starved = detached.reads() != 0 && !backlog_.empty();
  const bool counts = detached.changes != 0 || starved;
  return {.waiting_changes = static_cast<uint32_t>(parked_.size()),
          .in_librbd = tasks_.count(TaskState::kInImage).tasks + detached.tasks,
          .detached_changes = detached.changes,
          .oldest_detached = counts ? oldest_detached_ : Duration{}};
}

void OpQueue::settle() {
  for (;;) {
    gate_.advance(now_, gates_load());
    bool closed = false;
    bool opened = false;
    for (const bool for_changes : {false, true}) {
      const bool open = gate_.lets_through(for_changes);
      const bool was_open = std::exchange(gate_was_open_[for_changes], open);
      closed |= was_open && !open;
      opened |= open && !was_open;
    }
    if (closed) pull_back();
    if (gate_.take_given_up()) give_up_instance();
    if (gate_.refuses()) refuse_parked();
    if (opened) run_parked();
    if (!closed && !opened) break;
  }
  if (lock_recorded_ != gate_.state()) {
    TCMU_RBD_PROBE(lock, recorder_.lun(), std::to_underlying(lock_recorded_),
                   std::to_underlying(gate_.state()), probe_time(now_));
    lock_recorded_ = gate_.state();
    recorder_.note(
        {.time = now_, .kind = FlightKind::kLock, .detail = std::to_underlying(lock_recorded_)});
  }
  take_gates_effects();
}

void OpQueue::take_gates_effects() {
  if (const lock::Action action = gate_.take_action(); action != lock::Action::kNone)
    outbox_.add(StartLockAction{action});
  gate_.take_replies(replies_);
  for (const lock::PeerReply& reply : replies_) outbox_.add(reply);
  replies_.clear();
}

// What is not with librbd yet waits at the gate again, in the order in which it came, and behind it
// what must not pass it: a read over a write that is parked, a flush. Only reads are pulled back
// behind changes that came later. They go first all the same: a gate that has closed for reads
// while changes were parked opens for reads alone before it opens for changes.
void OpQueue::pull_back() {
  std::vector<TaskId> waiting(backlog_.begin(), backlog_.end());
  tasks_.for_each([&](TaskId id) {
    if (tasks_[id].state() == TaskState::kAwaitingRange) waiting.push_back(id);
  });
  const auto age = [this](TaskId id) { return tasks_[id].sequence; };
  std::ranges::sort(waiting, {}, age);
  for (const TaskId id : waiting) {
    if (gate_open(id) && !waits_behind(id, parked_)) continue;
    if (tasks_[id].state() == TaskState::kAwaitingRange) order_.leave(id, ready_);
    move(id, TaskState::kAwaitingLock);
    parked_.push_back(id);
  }
  std::erase_if(backlog_, [this](TaskId id) { return tasks_[id].state() != TaskState::kBacklog; });
  // Among those that may run now are some that were pulled back after them.
  std::erase_if(ready_,
                [this](TaskId id) { return tasks_[id].state() != TaskState::kAwaitingRange; });
  submit_ready();
  start_backlog();
}

void OpQueue::run_parked() {
  const std::deque<TaskId> parked = std::exchange(parked_, {});
  for (const TaskId id : parked) {
    move(id, TaskState::kParsed);
    enter(id);
  }
}

void OpQueue::refuse_parked() {
  const std::deque<TaskId> parked = std::exchange(parked_, {});
  for (const TaskId id : parked) finish(id, scsi::Result::busy());
}

void OpQueue::give_up_instance() {
  ++counters_.fences;
  ++counters_.fences_by_cause[std::to_underlying(gate_.fence_cause())];
  TCMU_RBD_PROBE(fence, recorder_.lun(), std::to_underlying(gate_.fence_cause()), probe_time(now_));
  oldest_detached_ = {};
  tasks_.for_each([this](TaskId id) {
    if (tasks_[id].state() != TaskState::kParsed)
      climb(id, LadderEvent::kGivenUp, scsi::Result::busy());
  });
  CHECK(tasks_.ops_claimed() == 0);
  submit_ready();  // Flushes: no write before them is live any more.
}

void OpQueue::on_instance_closed(uint32_t instance) {
  tasks_.for_each([&](TaskId id) {
    Task& task = tasks_[id];
    if (task.state() != TaskState::kOrphaned || task.instance != instance) return;
    task.instance_closed = true;
    if (task.ops_pending == 0) climb(id, LadderEvent::kEnded, task.result);
  });
}

void OpQueue::on_lock_event(lock::Outcome outcome) {
  using enum lock::Outcome;
  switch (outcome) {
    case kAcquired:
    case kAcquiredFree:
      ++counters_.lock_acquired;
      owned_since_ = now_;
      break;
    case kAcquireLost:
      note_lost(AwayCause::kBlocklisted);
      break;
    case kAcquireDemoted:
      on_primary(false);
      break;
    case kReleased:
      counters_.lock_released += gate_.state() == lock::State::kReleasing;
      break;
    case kFenceFailed:
      ++counters_.fence_failures;
      break;
    case kAcquireFailed:
    case kReleaseFailed:
    case kFenced:
    case kReopenFailed:
      break;
    case kReopened:
      UNREACHABLE();  // That comes with the fresh image.
  }
  gate_.on_outcome(outcome, now_);
}

void OpQueue::on_reopened(Image& fresh) {
  CHECK(tasks_.ops_claimed() == 0);
  image_ = &fresh;
  ++instance_;
  gate_.on_outcome(lock::Outcome::kReopened, now_);
}

}  // namespace tcmurbd
