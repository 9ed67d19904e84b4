// SPDX-License-Identifier: Apache-2.0
// Changes that must not begin: the gateway was away and the kernel or a host may have given them
// up, the ring was reset, the image can't be written here.
#include <algorithm>
#include <cerrno>
#include <utility>

#include "rbd_handler/device/op_queue.h"

namespace tcmurbd {

using std::chrono::seconds;
using task::LadderEvent;
using task::Task;
using task::TaskState;

namespace {

bool waits(TaskState state) {
  return state == TaskState::kAwaitingLock || state == TaskState::kBacklog ||
         state == TaskState::kAwaitingRange;
}

}  // namespace

std::optional<scsi::Result> OpQueue::refusal(TaskId id) {
  const Task& task = tasks_[id];
  if (task.abandoned) return kTaskAborted;
  if (!task.changes()) return std::nullopt;
  if (!primary_) return scsi::result_from_errno(kNotPrimary, task.plan.ops.front().kind);
  if (!safe_) return scsi::Result::busy();
  if (now_ >= away_until_ && !handed_over(task) && !past_deadline(task)) return std::nullopt;
  ++counters_.stale;
  return scsi::Result::busy();
}

// A copy writes for as long as it likes once it has begun; but not after the lock was elsewhere.
bool OpQueue::handed_over(const Task& task) const {
  if (task.copy != 0) return owned_since_ - task.copy_issued > kHandOverAge;
  return task.queued < owned_since_ && now_ - task.queued > kHandOverAge;
}

std::optional<Duration> OpQueue::time_left(const Task& task, TimePoint now) const {
  switch (task.state()) {
    case TaskState::kDetached:
    case TaskState::kOrphaned:
    case TaskState::kCopyCancelled:
      return std::nullopt;
    case TaskState::kCopying:
      if (task.submitted != TimePoint{}) return task.copy_by - now;
      [[fallthrough]];
    default:
      break;
  }
  std::optional<Duration> left;
  if (begin_limit_ != Duration{}) left = task.queued + begin_limit_ - now;
  if (deadline_ == Duration{}) return left;
  // To wait for one's own QoS limits is no fault.
  if (throttle_.limited() && task.state() == TaskState::kBacklog) return left;
  const bool counts_from_admission = throttle_.limited() && task.admitted != TimePoint{};
  const Duration own = (counts_from_admission ? task.admitted : task.queued) + deadline_ - now;
  return left ? std::min(*left, own) : own;
}

bool OpQueue::past_deadline(const Task& task) const {
  const auto left = time_left(task, now_);
  return left && *left <= Duration{};
}

void OpQueue::refuse_waiting_changes(const scsi::Result& result) {
  tasks_.for_each([&](TaskId id) {
    if (waits(tasks_[id].state()) && tasks_[id].changes())
      climb(id, LadderEvent::kDeadline, result);
  });
}

void OpQueue::on_away(AwayCause cause, Duration gap) {
  note_away(cause, gap);
  refuse_waiting_changes(scsi::Result::busy());
  gate_.on_away();
}

void OpQueue::note_away(AwayCause cause, Duration gap) {
  // The reactor, the control thread and the cluster all notice one and the same standstill.
  const bool known = away_until_ - now_ > kQuarantine - seconds(1);
  away_until_ = now_ + kQuarantine;
  if (known) return;
  ++counters_.away;
  recorder_.note({.time = now_,
                  .kind = FlightKind::kAway,
                  .detail = std::to_underlying(cause),
                  .a = static_cast<uint64_t>(gap.count())});
  uint32_t waiting = 0;
  tasks_.for_each([&](TaskId id) { waiting += waits(tasks_[id].state()) && tasks_[id].changes(); });
  counters_.stale += waiting;
  outbox_.tell({.kind = Report::Kind::kAway, .away = cause, .gap = gap, .refused = waiting});
}

void OpQueue::on_blocklisted() {
  note_lost(AwayCause::kBlocklisted);
  gate_.on_lost();
}

// Our own fence does that too, and says nothing of having been away.
void OpQueue::note_lost(AwayCause cause) {
  ++counters_.lock_lost;
  const lock::State state = gate_.state();
  if (state == lock::State::kFencing || state == lock::State::kReopening ||
      state == lock::State::kStuck)
    return;
  note_away(cause, {});
}

// An entry is at most `away_limit_` older than it looks, else on_away() is called. A change begins,
// at the latest, so long before the kernel's limit that neither this nor a late tick matters.
void OpQueue::on_kernel_limit(Duration cmd_time_out) {
  const bool none = cmd_time_out == Duration{};
  away_limit_ = none ? kAwayLimit : std::min<Duration>(kAwayLimit, cmd_time_out / 3);
  begin_limit_ =
      none ? Duration{}
           : cmd_time_out - away_limit_ - std::min<Duration>(seconds(1), cmd_time_out / 6);
  set_deadline(wanted_deadline_);
}

void OpQueue::set_deadline(Duration wanted) {
  wanted_deadline_ = wanted;
  const bool both = wanted != Duration{} && begin_limit_ != Duration{};
  deadline_ = both ? std::min(wanted, begin_limit_) : std::max(wanted, begin_limit_);
}

void OpQueue::on_primary(bool primary) {
  if (std::exchange(primary_, primary) == primary) return;
  outbox_.tell(primary ? Report::Kind::kPromoted : Report::Kind::kDemoted);
  if (!primary) refuse_waiting_changes(scsi::result_from_errno(kNotPrimary, OpKind::kWrite));
}

void OpQueue::on_safe(bool safe) {
  if (std::exchange(safe_, safe) == safe) return;
  if (!safe) refuse_waiting_changes(scsi::Result::busy());
}

WritesState OpQueue::writes(TimePoint now) const {
  if (!safe_) return WritesState::kUnsafe;
  if (!primary_) return WritesState::kDemoted;
  if (now < away_until_) return WritesState::kAway;
  if (gate_.lacks_lock(now)) return WritesState::kNoLock;
  return full_ ? WritesState::kFull : WritesState::kServed;
}

void OpQueue::note_space(OpKind kind, int32_t result) {
  const bool refused = result == -ENOSPC || result == -EDQUOT;
  const bool found_some = result >= 0 && kind != OpKind::kWriteZeroes;
  if (!(full_ ? found_some : refused)) return;
  full_ = refused;
  outbox_.tell(refused ? Report::Kind::kPoolFull : Report::Kind::kPoolHasRoom);
}

}  // namespace tcmurbd
