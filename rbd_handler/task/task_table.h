// SPDX-License-Identifier: Apache-2.0
// A task is our record of one command that the kernel queued, from the ring until both its SCSI
// side is answered and its image ops have really ended. Tasks live in slots that are reused, so
// that a task outlives its cmd_id (the kernel hands the id out again as soon as it is completed)
// and the steady state allocates nothing.
//
// Reactor thread.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "rbd_handler/ring/ring.h"
#include "rbd_handler/scsi/plan.h"

namespace tcmurbd::task {

enum class TaskState : uint8_t {
  kFree,
  kParsed,         // Just admitted; moves on within the same event.
  kAwaitingFacts,  // Its answer tells what configfs says: parked until fresh TargetFacts are here.
  kBacklog,        // Waits for room among the image ops in flight.
  kAwaitingRange,  // Waits for earlier ops that overlap, or, a flush, for the writes before it.
  kInImage,        // All its ops are with librbd.
};

struct Task {
  ring::CommandEntry entry;
  scsi::Command command{};
  scsi::ImageOps plan;
  scsi::Result result;       // The first error of its ops so far, else GOOD.
  TimePoint queued{};        // When it was taken off the ring.
  uint32_t ops_pending = 0;  // Of plan.ops, those whose OpDone is still to come.
  TaskState state = TaskState::kFree;
};

class TaskTable {
 public:
  // A slot for the next ring entry; not admitted yet.
  uint32_t acquire();
  // Makes the slot known under its entry's cmd_id. False: that id is taken, the kernel and we
  // disagree.
  bool admit(uint32_t index);
  // The command was completed on the ring: its id may come again.
  void forget_id(uint32_t index);
  // REQUIRES: its id is forgotten or was never admitted.
  void release(uint32_t index);

  Task& operator[](uint32_t index);
  std::optional<uint32_t> find(uint16_t cmd_id) const;
  // Slots in use.
  size_t size() const { return tasks_.size() - free_.size(); }

 private:
  static constexpr uint32_t kNone = UINT32_MAX;
  std::deque<Task>
      tasks_;  // A deque: librbd holds pointers into a task's iovec array while it grows.
  std::vector<uint32_t> free_;
  std::vector<uint32_t> by_id_ = std::vector<uint32_t>(65536, kNone);
};

}  // namespace tcmurbd::task
