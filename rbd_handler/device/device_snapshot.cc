// SPDX-License-Identifier: Apache-2.0
// The Device's and its queue's answers to an operator who asks what they do.
#include "rbd_handler/device/device_snapshot.h"

#include <algorithm>

#include "rbd_handler/device/device.h"
#include "rbd_handler/device/report_line.h"

namespace tcmurbd {

using task::Task;
using task::TaskState;

namespace {

bool is_answered(TaskState state) {
  return state == TaskState::kDetached || state == TaskState::kOrphaned;
}

}  // namespace

OpSnapshot OpQueue::snapshot_of(const Task& task, TimePoint now) const {
  const auto age = [now](TimePoint when) {
    return when == TimePoint{} ? Duration{-1} : now - when;
  };
  const bool waits_for_rate = task.state() == TaskState::kBacklog && throttle_.limited();
  return {.sequence = task.sequence,
          .cmd_id = task.entry.cmd_id,
          .command = command_of(task),
          .state = task.state(),
          .stage = waits_for_rate ? "waits-for-rate" : stage_name(task.state()),
          .changes = task.changes(),
          .range = range_of(task),
          .ops = static_cast<uint32_t>(task.plan.ops.size()),
          .instance = task.submitted == TimePoint{} ? 0 : task.instance,
          .ended_by = task.ended_by,
          .outcome_unknown = task.outcome_unknown,
          .queued = age(task.queued),
          .admitted = age(task.admitted),
          .submitted = age(task.submitted),
          .answered = age(task.answered),
          .deadline_in = time_left(task, now)};
}

void OpQueue::fill_in(DeviceSnapshot& snapshot, TimePoint now) const {
  const lock::Load load = gates_load();
  snapshot.gate = gate_.view(now, load);
  snapshot.waiting_changes = load.waiting_changes;
  snapshot.detached_changes = load.detached_changes;
  snapshot.instance = instance_;
  snapshot.fences = counters_.fences;
  snapshot.primary = primary_;
  snapshot.safe = safe_;
  snapshot.full = full_;
  snapshot.away_left = std::max(away_until_ - now, Duration{});
}

DeviceSnapshot Device::snapshot(TimePoint now, size_t ops_max) const {
  std::vector<const Task*> tasks;
  tasks_.for_each([&](TaskId id) { tasks.push_back(&tasks_[id]); });
  std::ranges::sort(tasks, {}, [](const Task* task) { return task->sequence; });
  DeviceSnapshot snapshot{.more = tasks.size() - std::min(tasks.size(), ops_max),
                          .block_size = disk_.block_size,
                          .broken = broken_};
  tasks.resize(tasks.size() - snapshot.more);
  for (const Task* task : tasks) snapshot.ops.push_back(queue_.snapshot_of(*task, now));
  queue_.fill_in(snapshot, now);
  return snapshot;
}

WritesState Device::writes(TimePoint now) const {
  return disk_.read_only ? WritesState::kReadOnly : queue_.writes(now);
}

DeviceLoad Device::load(TimePoint now) const {
  DeviceLoad load{.full = queue_.full(), .primary = queue_.primary(), .writes = writes(now)};
  tasks_.for_each([&](TaskId id) {
    const Task& task = tasks_[id];
    load.in_flight += !is_answered(task.state());
    load.hung += hangs(task, now);
    load.oldest = std::max(load.oldest, now - task.queued);
  });
  return load;
}

FlightRecord Device::flight(TimePoint now) const {
  return {.events = recorder_.list(), .total = recorder_.total(), .now = now};
}

SlowReport Device::slow(TimePoint now) const {
  return {
      .ops = slow_.list(), .total = slow_.total(), .slow_after = slow_.slow_after(), .now = now};
}

}  // namespace tcmurbd
