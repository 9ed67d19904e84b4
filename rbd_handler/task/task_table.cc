// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/task/task_table.h"

#include <utility>

#include "common/check.h"

namespace tcmurbd::task {

TaskCount& TaskCount::operator+=(const TaskCount& other) {
  tasks += other.tasks;
  changes += other.changes;
  ops += other.ops;
  return *this;
}

TaskCount& TaskCount::operator-=(const TaskCount& other) {
  CHECK(tasks >= other.tasks && changes >= other.changes && ops >= other.ops);
  tasks -= other.tasks;
  changes -= other.changes;
  ops -= other.ops;
  return *this;
}

TaskId TaskTable::acquire() {
  if (free_.empty()) {
    const Task& fresh = tasks_.emplace_back();
    counts_[std::to_underlying(fresh.state_)] += fresh.counted_;
    free_.push_back(TaskId{static_cast<uint32_t>(tasks_.size() - 1)});
  }
  const TaskId id = free_.back();
  free_.pop_back();
  move(id, TaskState::kParsed);
  return id;
}

bool TaskTable::admit(TaskId id) {
  TaskId& place = by_cmd_id_[(*this)[id].entry.cmd_id];
  if (place != kNoTask) return false;
  place = id;
  return true;
}

void TaskTable::forget_id(TaskId id) {
  TaskId& place = by_cmd_id_[(*this)[id].entry.cmd_id];
  CHECK(place == id);
  place = kNoTask;
}

void TaskTable::release(TaskId id) {
  Task& task = (*this)[id];
  CHECK(task.ops_pending == 0);
  task.plan.ops.clear();
  task.result = {};
  task.error = 0;
  task.admitted = task.submitted = task.answered = {};
  task.outcome_unknown = task.buffer_kept = task.hang_told = false;
  task.timed_out = task.instance_closed = task.abandoned = false;
  task.ended_by.reset();
  task.scsi_status = 0;
  task.copy = 0;
  task.copy_memory.reset();
  task.copy_issued = {};
  task.copy_by = {};
  task.copied_bytes = 0;
  move(id, TaskState::kFree);
  free_.push_back(id);
}

void TaskTable::move(TaskId id, TaskState to) {
  Task& task = (*this)[id];
  CHECK(may_move(task.state_, to));
  counts_[std::to_underlying(task.state_)] -= task.counted_;
  task.state_ = to;
  const bool submitted = to == TaskState::kInImage || to == TaskState::kDetached;
  task.counted_ = {
      .tasks = 1,
      .changes = task.changes(),
      .ops = submitted ? task.ops_pending : static_cast<uint32_t>(task.plan.ops.size())};
  counts_[std::to_underlying(to)] += task.counted_;
}

void TaskTable::end_op(TaskId id) {
  Task& task = (*this)[id];
  CHECK(task.ops_pending > 0);
  --task.ops_pending;
  if (task.state_ != TaskState::kInImage && task.state_ != TaskState::kDetached) return;
  --task.counted_.ops;
  --counts_[std::to_underlying(task.state_)].ops;
}

uint32_t TaskTable::ops_claimed() const {
  return count(TaskState::kAwaitingRange).ops + count(TaskState::kInImage).ops +
         count(TaskState::kDetached).ops;
}

Task& TaskTable::operator[](TaskId id) {
  const auto slot = std::to_underlying(id);
  CHECK(slot < tasks_.size());
  return tasks_[slot];
}

const Task& TaskTable::operator[](TaskId id) const {
  const auto slot = std::to_underlying(id);
  CHECK(slot < tasks_.size());
  return tasks_[slot];
}

std::optional<TaskId> TaskTable::find(uint16_t cmd_id) const {
  const TaskId id = by_cmd_id_[cmd_id];
  return id == kNoTask ? std::nullopt : std::optional(id);
}

}  // namespace tcmurbd::task
