// SPDX-License-Identifier: Apache-2.0
// The Device's part in copies: an EXTENDED COPY that came to this LUN waits here for its end, and
// what copies read and write on this LUN goes through the same gate, order, deadline and ladder as
// a command, but for the kernel, which knows nothing of it.
#include <algorithm>
#include <utility>

#include "common/check.h"
#include "rbd_handler/device/device.h"
#include "rbd_handler/scsi/limits.h"

namespace tcmurbd {

using task::LadderEvent;
using task::Task;
using task::TaskState;

void Device::start_copy(TaskId id, scsi::CopyRequest request) {
  if (leaving_ || queue_.refuses_changes()) {
    answer(id, scsi::Result::busy(), {});
    return;
  }
  ++counters_.copies;
  tasks_.move(id, TaskState::kCopying);
  copies_.begin(std::to_underlying(id), request);
  outbox_.add(CopyStart{id, std::move(request)});
}

TimePoint Device::on_copy_begun(TaskId id, Duration bound, TimePoint now) {
  Task& task = tasks_[id];
  task.submitted = now;
  task.copy_by = task.queued + bound;
  return task.queued;
}

void Device::on_copy_progress(TaskId task, uint16_t segments, uint64_t bytes) {
  copies_.progress(std::to_underlying(task), segments, bytes);
  counters_.copied_bytes += bytes - std::exchange(tasks_[task].copied_bytes, bytes);
}

void Device::cancel_copy(TaskId id, const scsi::Result& result) {
  Task& task = tasks_[id];
  tasks_.move(id, TaskState::kCopyCancelled);
  task.result = result;
  outbox_.add(CopyCancel{id});
}

void Device::on_copy_ended(TaskId task, const scsi::Result& result, TimePoint now) {
  begin_event(now);
  const TaskState state = tasks_[task].state();
  CHECK(state == TaskState::kCopying || state == TaskState::kCopyCancelled);
  // A cancel that has not been taken has nothing to end any more.
  outbox_.forget_cancel(task);
  // Only `result` says whether a copy that was cut off can be sent again.
  const scsi::Result& wanted = tasks_[task].result;
  const bool cancelled = state == TaskState::kCopyCancelled && wanted != scsi::Result::busy();
  const scsi::Result outcome = cancelled ? wanted : result;
  const bool begun = tasks_[task].submitted != TimePoint{};
  begun ? copies_.end(std::to_underlying(task), outcome) : copies_.drop(std::to_underlying(task));
  answer(task, outcome, {});
}

void Device::on_copy_joins(uint64_t copy, std::vector<ByteRange> writes) {
  copy_destinations_.push_back({.copy = copy, .writes = std::move(writes)});
}

void Device::supersede_copies(const Task& task) {
  if (copy_destinations_.empty() || !task.changes()) return;
  for (CopyDestination& destination : copy_destinations_) {
    if (task.copy != 0 && task.copy <= destination.copy) continue;
    destination.superseded |= std::ranges::any_of(task.plan.ops, [&](const auto& op) {
      return std::ranges::any_of(destination.writes,
                                 [&](const ByteRange& range) { return range.overlaps(op.range); });
    });
  }
}

bool Device::superseded(uint64_t copy) const {
  return std::ranges::any_of(copy_destinations_, [copy](const CopyDestination& destination) {
    return destination.copy == copy && destination.superseded;
  });
}

void Device::on_copy_op(uint64_t copy, const copy::Op& op, TimePoint now) {
  begin_event(now);
  CHECK(copy != 0 && op.range.length != 0);
  const auto refuse = [&](const scsi::Sense& sense) {
    outbox_.add(CopyOpDone{copy, op.token, scsi::Result::check(sense)});
  };
  // The disk may have changed since the copy was planned.
  if (leaving_) return refuse(scsi::kCopyTargetNotReachable);
  if (op.range.end() > disk_.blocks * disk_.block_size) return refuse(scsi::kLbaOutOfRange);
  if ((disk_.read_only || !queue_.primary()) && changes_image(op.kind))
    return refuse(scsi::kWriteProtected);
  if (changes_image(op.kind) && superseded(copy)) return refuse(scsi::kCopyAborted);

  const TaskId id = tasks_.acquire();
  Task& task = tasks_[id];
  task.entry.cmd_id = 0;
  task.entry.cdb_length = 0;
  task.entry.data_length = op.data.size();
  task.entry.iov.clear();
  if (!op.data.empty()) task.entry.iov.push_back({op.data.data(), op.data.size()});
  task.operation = changes_image(op.kind) ? scsi::Operation::kWrite : scsi::Operation::kRead;
  task.copy = copy;
  task.copy_token = op.token;
  task.copy_memory = op.memory;
  task.queued = now;
  task.copy_issued = op.issued;
  task.sequence = next_sequence_++;
  task.plan.ops.push_back({op.kind, op.range});
  recorder_.note(taken_event(now, task.sequence, 0, {}));
  supersede_copies(task);
  queue_.enter(id);
  queue_.settle();
}

void Device::on_copy_cancelled(uint64_t copy, TimePoint now) {
  std::erase_if(copy_destinations_,
                [copy](const CopyDestination& destination) { return destination.copy == copy; });
  event(now, [&] {
    tasks_.for_each([&](TaskId id) {
      if (tasks_[id].copy == copy) queue_.climb(id, LadderEvent::kAborted, kTaskAborted);
    });
  });
}

void Device::on_leaving(TimePoint now) {
  begin_event(now);
  leaving_ = true;
  cancel_copies();
}

void Device::cancel_copies() {
  tasks_.for_each([this](TaskId id) {
    if (tasks_[id].state() == TaskState::kCopying) cancel_copy(id, scsi::Result::busy());
  });
}

}  // namespace tcmurbd
