// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/task/task_table.h"

#include "common/check.h"

namespace tcmurbd::task {

uint32_t TaskTable::acquire() {
  if (free_.empty()) {
    tasks_.emplace_back();
    free_.push_back(static_cast<uint32_t>(tasks_.size() - 1));
  }
  const uint32_t index = free_.back();
  free_.pop_back();
  Task& task = tasks_[index];
  CHECK(task.state == TaskState::kFree);
  task.state = TaskState::kParsed;
  return index;
}

bool TaskTable::admit(uint32_t index) {
  uint32_t& place = by_id_[tasks_[index].entry.cmd_id];
  if (place != kNone) return false;
  place = index;
  return true;
}

void TaskTable::forget_id(uint32_t index) {
  uint32_t& place = by_id_[tasks_[index].entry.cmd_id];
  CHECK(place == index);
  place = kNone;
}

void TaskTable::release(uint32_t index) {
  Task& task = tasks_[index];
  CHECK(task.state != TaskState::kFree && task.ops_pending == 0);
  task.plan.ops.clear();
  task.result = {};
  task.error = 0;
  task.admitted = task.submitted = task.answered = {};
  task.outcome_unknown = task.buffer_kept = task.hang_told = false;
  task.timed_out = task.instance_closed = task.abandoned = false;
  task.copy = 0;
  task.copy_memory.reset();
  task.copy_by = {};
  task.copied_bytes = 0;
  task.state = TaskState::kFree;
  free_.push_back(index);
}

Task& TaskTable::operator[](uint32_t index) {
  CHECK(index < tasks_.size());
  return tasks_[index];
}

std::optional<uint32_t> TaskTable::find(uint16_t cmd_id) const {
  const uint32_t index = by_id_[cmd_id];
  return index == kNone ? std::nullopt : std::optional(index);
}

}  // namespace tcmurbd::task
