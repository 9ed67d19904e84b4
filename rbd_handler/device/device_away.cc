// SPDX-License-Identifier: Apache-2.0
// The Device's half that keeps changes from beginning when they must not: the gateway was away and
// the kernel or a host may have given them up, the ring was reset, the image can't be written here.
#include <algorithm>
#include <cerrno>
#include <utility>

#include "common/check.h"
#include "rbd_handler/device/device.h"

namespace tcmurbd {

using std::chrono::seconds;
using task::LadderEvent;
using task::Task;
using task::TaskState;

namespace {

constexpr scsi::Result kTaskAborted{scsi::ScsiStatus::kTaskAborted, {}};

bool waits(TaskState state) {
  return state == TaskState::kAwaitingLock || state == TaskState::kBacklog ||
         state == TaskState::kAwaitingRange;
}

}  // namespace

// The answer for a task that must not begin any more.
std::optional<scsi::Result> Device::refusal(TaskId id) {
  const Task& task = tasks_[id];
  if (task.abandoned) return kTaskAborted;
  if (!tasks_[id].changes()) return std::nullopt;
  if (!primary_) return scsi::result_from_errno(kNotPrimary, task.plan.ops.front().kind);
  if (!safe_) return scsi::Result::busy();
  const bool handed_over = task.queued < owned_since_ && now_ - task.queued > kHandOverAge;
  if (now_ >= away_until_ && !handed_over && !past_deadline(task)) return std::nullopt;
  ++counters_.stale;
  return scsi::Result::busy();
}

void Device::refuse_waiting_changes(const scsi::Result& result) {
  tasks_.for_each([&](TaskId id) {
    if (waits(tasks_[id].state()) && tasks_[id].changes())
      climb(id, LadderEvent::kDeadline, result);
  });
}

void Device::on_away(AwayCause cause, Duration gap, TimePoint now) {
  begin_event(now);
  note_away(cause, gap);
  refuse_waiting_changes(scsi::Result::busy());
  tasks_.for_each([this](TaskId id) {
    if (tasks_[id].state() == TaskState::kCopying) cancel_copy(id, scsi::Result::busy());
  });
  gate_.on_away();
  settle_gate();
}

void Device::note_away(AwayCause cause, Duration gap) {
  // The reactor, the control thread and the cluster all notice one and the same standstill.
  const bool known = away_until_ - now_ > kQuarantine - seconds(1);
  away_until_ = now_ + kQuarantine;
  if (known) return;
  ++counters_.away;
  uint32_t waiting = 0;
  tasks_.for_each([&](TaskId id) { waiting += waits(tasks_[id].state()) && tasks_[id].changes(); });
  counters_.stale += waiting;
  if (reports_.size() == kReportsMax) return;
  reports_.push_back({.kind = Report::Kind::kAway, .away = cause, .gap = gap, .refused = waiting});
}

// The lock or the instance was taken from us. Our own fence does that too, and says nothing of
// having been away.
void Device::note_lost() {
  ++counters_.lock_lost;
  const lock::State state = gate_.state();
  if (state == lock::State::kFencing || state == lock::State::kReopening ||
      state == lock::State::kStuck)
    return;
  note_away(AwayCause::kLockLost, {});
}

// An entry is at most `away_limit_` older than it looks, else on_away() is called. A change begins,
// at the latest, so long before the kernel's limit that neither this nor a late tick matters.
void Device::on_kernel_limit(Duration cmd_time_out) {
  if (cmd_time_out == Duration{}) {
    away_limit_ = kAwayLimit;
    begin_limit_ = {};
    deadline_ = settings_.deadline;
    return;
  }
  away_limit_ = std::min<Duration>(kAwayLimit, cmd_time_out / 3);
  begin_limit_ = cmd_time_out - away_limit_ - std::min<Duration>(seconds(1), cmd_time_out / 6);
  deadline_ =
      settings_.deadline == Duration{} ? begin_limit_ : std::min(settings_.deadline, begin_limit_);
}

void Device::on_rate_limits(const task::RateLimits& limits, TimePoint now) {
  begin_event(now);
  throttle_.set(limits, now);
  start_backlog();
  settle_gate();
}

void Device::on_primary(bool primary, TimePoint now) {
  begin_event(now);
  set_primary(primary);
  settle_gate();
}

void Device::set_primary(bool primary) {
  if (std::exchange(primary_, primary) == primary) return;
  report_lun(primary ? Report::Kind::kPromoted : Report::Kind::kDemoted);
  if (!primary) refuse_waiting_changes(scsi::result_from_errno(kNotPrimary, OpKind::kWrite));
}

void Device::on_safe(bool safe, TimePoint now) {
  begin_event(now);
  if (std::exchange(safe_, safe) == safe) return;
  if (!safe) refuse_waiting_changes(scsi::Result::busy());
  settle_gate();
}

// Of an op of a change.
void Device::note_space(OpKind kind, int32_t result) {
  const bool refused = result == -ENOSPC || result == -EDQUOT;
  const bool found_some = result >= 0 && kind != OpKind::kWriteZeroes;
  if (!(full_ ? found_some : refused)) return;
  full_ = refused;
  report_lun(refused ? Report::Kind::kPoolFull : Report::Kind::kPoolHasRoom);
}

void Device::report_lun(Report::Kind kind) {
  if (reports_.size() < kReportsMax) reports_.push_back({.kind = kind});
}

// Of a ring that somebody else has reset nothing may begin: its memory is other commands' by now.
void Device::begin_event(TimePoint now) {
  now_ = now;
  if (!broken_.empty()) return;
  if (auto intact = ring_.look(); !intact) break_ring(std::move(intact.error()));
}

// Whoever reset the ring, or is going to: the kernel answers what was open. Nothing of it may begin
// now, and a change that runs has to be ordered before whatever comes next.
void Device::break_ring(std::string reason) {
  broken_ = std::move(reason);
  ++counters_.ring_resets;
  const auto open = [](const Task& task) {
    return task.copy == 0 && task.state() != TaskState::kDetached &&
           task.state() != TaskState::kOrphaned;
  };
  tasks_.for_each([&](TaskId id) {
    if (!open(tasks_[id])) return;
    tasks_[id].abandoned = true;
    tasks_.forget_id(id);
  });
  tasks_.for_each([&](TaskId id) {
    if (open(tasks_[id])) climb(id, LadderEvent::kAborted, kTaskAborted);
  });
}

bool Device::ring_unused() {
  bool unused = true;
  tasks_.for_each([&](TaskId id) {
    const Task& task = tasks_[id];
    unused &= task.ops_pending == 0 || !reads_into_ring(id);
  });
  return unused;
}

void Device::restart(ring::Ring ring) {
  CHECK(ring_unused());
  ring_ = std::move(ring);
  freed_buffers_.clear();  // The reset has freed them.
  broken_.clear();
}

}  // namespace tcmurbd
