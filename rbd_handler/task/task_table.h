// SPDX-License-Identifier: Apache-2.0
// A task is our record of one command that the kernel queued, from the ring until both its SCSI
// side is answered and its image ops have really ended. Tasks live in slots that are reused, so
// that a task outlives its cmd_id (the kernel hands the id out again as soon as it is completed)
// and the steady state allocates nothing.
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
  scsi::ImageOps plan;
  int32_t error = 0;             // The first negative errno of its ops, for people.
  scsi::Result result;           // The first error of its ops so far, else GOOD.
  uint64_t sequence = 0;         // Its place among all commands of the LUN.
  TimePoint queued{};            // When it was taken off the ring,
  TimePoint admitted{};          // let pass by the QoS limits,
  TimePoint submitted{};         // given to librbd,
  TimePoint answered{};          // and, if detached, answered without its op.
  uint32_t ops_pending = 0;      // Of plan.ops, those whose OpDone is still to come.
  bool outcome_unknown = false;  // An op ended with an error after which it may still be applied.
  bool timed_out = false;        // RADOS gave up on an op of it that changes the image.
  uint32_t instance = 0;         // The client instance that has its ops, counted by the Device.
  bool instance_closed = false;  // That instance's connections are closed.
  bool abandoned = false;    // The ring that it came from was reset: the kernel has answered it.
  bool buffer_kept = false;  // Answered with KEEP_BUF: its id and memory wait to be freed.
  bool hang_told = false;
  // Where a read lands if the kernel can't keep a buffer beyond the answer; else not used.
  std::vector<uint8_t> own_buffer;
  iovec own_iov{};
  std::vector<ByteRange> mapped{};  // What its kBlockStatus finds.
  // A read or write of a copy: nothing of it is known to the kernel, and its end is told by a
  // CopyOpDone. 0: a command.
  uint64_t copy = 0;
  uint32_t copy_token = 0;
  std::shared_ptr<void> copy_memory;  // What entry.iov points to then.
  // Of a command in kCopying: when it has to be answered, and what it has written.
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
  // Makes the slot known under its entry's cmd_id. False: that id is taken, the kernel and we
  // disagree.
  bool admit(TaskId id);
  // The command was completed on the ring: its id may come again.
  void forget_id(TaskId id);
  // REQUIRES: its id is forgotten or was never admitted.
  void release(TaskId id);

  // The one way to another state, which all counts follow. Its plan stays as it is from the move
  // out of kParsed on.
  // REQUIRES: may_move().
  void move(TaskId id, TaskState to);

  // Those in `state`.
  const TaskCount& count(TaskState state) const { return counts_[std::to_underlying(state)]; }
  // Ops of tasks that have a claim on ranges of the image, but for those that were given up.
  uint32_t ops_claimed() const;

  Task& operator[](TaskId id);
  std::optional<TaskId> find(uint16_t cmd_id) const;
  // Calls fn(id) for each slot in use, in no order. fn may change tasks and release the one it
  // is called for, and acquires none.
  template <typename Fn>
  void for_each(Fn fn) {
    for (uint32_t slot = 0; slot < tasks_.size(); ++slot) {
      if (tasks_[slot].state() != TaskState::kFree) fn(TaskId{slot});
    }
  }
  // Slots in use.
  size_t size() const { return tasks_.size() - free_.size(); }

 private:
  std::deque<Task>
      tasks_;  // A deque: librbd holds pointers into a task's iovec array while it grows.
  std::array<TaskCount, kTaskStates> counts_;
  std::vector<TaskId> free_;
  std::vector<TaskId> by_cmd_id_ = std::vector<TaskId>(65536, kNoTask);
};

}  // namespace tcmurbd::task
