// SPDX-License-Identifier: Apache-2.0
// A task is the record of one command from the ring, until it is answered and all its image ops
// have ended. Tasks live in reused slots, so that a task may outlive its cmd_id (the kernel reuses
// the id as soon as the command is completed) and the steady state allocates nothing.
//
// Reactor thread.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "rbd_handler/image.h"
#include "rbd_handler/ring/ring.h"
#include "rbd_handler/scsi/operation.h"
#include "rbd_handler/scsi/plan.h"
#include "rbd_handler/task/ladder.h"
#include "rbd_handler/task/task_id.h"
#include "rbd_handler/task/task_moves.h"

namespace tcmurbd::task {

// How many tasks, and of them those that change the image; and how many image ops they have.
struct TaskCount {
  uint32_t tasks = 0;
  uint32_t changes = 0;
  uint32_t ops = 0;

  uint32_t reads() const { return tasks - changes; }  // And flushes.
  TaskCount& operator+=(const TaskCount& other);
  TaskCount& operator-=(const TaskCount& other);
};

struct Task {
  TaskState state() const { return state_; }
  // Whether its ops change the image.
  bool changes() const { return !plan.ops.empty() && changes_image(plan.ops.front().kind); }

  ring::CommandEntry entry;
  scsi::Command command{};
  scsi::Operation operation = scsi::Operation::kOther;
  scsi::ImageOps plan;
  int32_t error = 0;             // The first negative errno of its ops, for the log.
  scsi::Result result;           // The first error of its ops so far, else GOOD.
  uint64_t sequence = 0;         // Its number among all commands of the LUN.
  TimePoint queued{};            // When it was taken off the ring,
  TimePoint admitted{};          // admitted by the QoS limits,
  TimePoint submitted{};         // submitted to librbd,
  TimePoint answered{};          // and, if detached, answered before its op ended.
  uint32_t ops_pending = 0;      // The ops of plan.ops without an OpDone yet.
  bool outcome_unknown = false;  // An op ended with an error after which it may still be applied.
  bool timed_out = false;        // librados timed out one of its ops that changes the image.
  uint32_t instance = 0;  // The number of the client instance of its ops, as counted by the Device.
  bool instance_closed = false;  // That instance's connections are closed.
  bool abandoned = false;        // Its ring was reset: the kernel has answered it.
  bool buffer_kept = false;      // Answered with KEEP_BUF: its id and memory are not freed yet.
  bool hang_told = false;
  // What answered it before its ops had ended; for people, as is the next.
  std::optional<LadderEvent> ended_by{};
  uint8_t scsi_status = 0;  // Its answer.
  // The read buffer if the kernel has no KEEP_BUF; else unused.
  std::vector<uint8_t> own_buffer;
  iovec own_iov{};
  std::vector<ByteRange> mapped{};  // The result of its kBlockStatus.
  // The copy to which this read or write belongs: the kernel does not know it, and its end is
  // reported by a CopyOpDone. 0: a command.
  uint64_t copy = 0;
  uint32_t copy_token = 0;
  std::shared_ptr<void> copy_memory;  // The memory that entry.iov points to then.
  TimePoint copy_issued{};            // When the copy's command came.
  // For a command in kCopying: when it must be answered, and how much it has written.
  TimePoint copy_by{};
  uint64_t copied_bytes = 0;

 private:
  friend class TaskTable;
  TaskState state_ = TaskState::kFree;
  TaskCount counted_{.tasks = 1};  // What it counts for in its state.
};

class TaskTable {
 public:
  // A slot for the next ring entry; not admitted yet.
  TaskId acquire();
  // Registers the slot under its entry's cmd_id. False: the id is in use, which the kernel must not
  // do.
  bool admit(TaskId id);
  // The command was completed on the ring: the kernel may reuse its id.
  void forget_id(TaskId id);
  // REQUIRES: its id is forgotten, or it was never admitted.
  void release(TaskId id);

  // The only way to change a task's state; all counts follow. Its plan is constant from the move
  // out of kParsed on.
  // REQUIRES: may_move().
  void move(TaskId id, TaskState to);

  // An op of it has ended. REQUIRES: it has one without an end.
  void end_op(TaskId id);

  // Tasks in `state`.
  const TaskCount& count(TaskState state) const { return counts_[std::to_underlying(state)]; }
  // Ops that are in the image or will be once their range is free, except those that were given up.
  uint32_t ops_claimed() const;

  Task& operator[](TaskId id);
  const Task& operator[](TaskId id) const;
  std::optional<TaskId> find(uint16_t cmd_id) const;
  // Calls fn(id) for each slot in use, in no particular order. fn may change tasks and release its
  // own one, but must not acquire one.
  template <typename Fn>
  void for_each(Fn fn) {
    for (uint32_t slot = 0; slot < tasks_.size(); ++slot) {
      if (tasks_[slot].state() != TaskState::kFree) fn(TaskId{slot});
    }
  }
  template <typename Fn>
  void for_each(Fn fn) const {
    for (uint32_t slot = 0; slot < tasks_.size(); ++slot) {
      if (tasks_[slot].state() != TaskState::kFree) fn(TaskId{slot});
    }
  }
  // Slots in use.
  size_t size() const { return tasks_.size() - free_.size(); }

 private:
  std::deque<Task> tasks_;  // A deque, since librbd keeps pointers into a task's iovec array while
                            // the table grows.
  std::array<TaskCount, kTaskStates> counts_;
  std::vector<TaskId> free_;
  std::vector<TaskId> by_cmd_id_ = std::vector<TaskId>(65536, kNoTask);
};

}  // namespace tcmurbd::task
