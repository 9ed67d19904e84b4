// SPDX-License-Identifier: Apache-2.0
// A task's way to the image: the lock's gate (device_gate.cc), room among the ops in flight and the
// image's QoS limits, the order of ranges, and last whether it may still begin.
#include <algorithm>
#include <utility>

#include "common/check.h"
#include "rbd_handler/device/device.h"

namespace tcmurbd {

using task::Access;
using task::Task;
using task::TaskState;

namespace {

// What a kBlockStatus finds may be older than a change that comes after it; and it covers so many
// blocks that nothing may wait for it, least of all when it hangs.
Access access_of(OpKind kind) {
  if (kind == OpKind::kBlockStatus) return Access::kGlance;
  return changes_image(kind) ? Access::kWrite : Access::kRead;
}

}  // namespace

void Device::enter_queue(uint32_t index) {
  Task& task = tasks_[index];
  if (const auto refused = refusal(index)) {  // Not even the lock is asked for on its behalf.
    answer(index, *refused, {});
    return;
  }
  if (!gate_open(index) || waits_behind(index, parked_)) {
    park(index);
    return;
  }
  if (backlog_.empty() && has_room(index)) {
    order(index);
    return;
  }
  counters_.rate_waits += throttle_.limited();
  task.state = TaskState::kBacklog;
  backlog_.push_back(index);
  if (throttle_.limited()) start_backlog();
}

// Whether the one must not pass the other: they overlap and one of them changes the image, or the
// later one is a flush, which waits for every change before it.
bool Device::conflict(uint32_t earlier, uint32_t later) {
  const auto& before = tasks_[earlier].plan.ops;
  const auto& after = tasks_[later].plan.ops;
  if (after.empty()) return changes(earlier);
  if (!changes(earlier) && !changes(later)) return false;
  return std::ranges::any_of(after, [&](const auto& op) {
    return std::ranges::any_of(before,
                               [&](const auto& other) { return op.range.overlaps(other.range); });
  });
}

// Of those in `queue` that came before it.
bool Device::waits_behind(uint32_t index, const std::deque<uint32_t>& queue) {
  return std::ranges::any_of(queue, [&](uint32_t other) {
    return tasks_[other].sequence < tasks_[index].sequence && conflict(other, index);
  });
}

bool Device::has_room(uint32_t index) {
  const size_t ops = tasks_[index].plan.ops.size();
  if (ops == 0) return true;  // A flush.
  return ops_claimed_ + ops <= kImageOpsMax && throttle_.admits(changes(index), now_);
}

// Lets the task run now, or when the ops it must not pass have ended.
void Device::order(uint32_t index) {
  Task& task = tasks_[index];
  const auto& ops = task.plan.ops;
  boost::container::static_vector<ByteRange, scsi::kUnmapDescriptorsMax> ranges;
  uint64_t bytes = 0;
  for (const auto& op : ops) {
    ranges.push_back(op.range);
    bytes += op.range.length;
  }
  const Access access = ops.empty() ? Access::kFlush : access_of(ops.front().kind);

  if (!ops.empty()) throttle_.take(changes(index), bytes);
  task.admitted = now_;
  ops_claimed_ += ops.size();
  if (order_.enter(index, {ranges.data(), ranges.size()}, access)) {
    submit(index);
  } else {
    ++counters_.range_waits;
    task.state = TaskState::kAwaitingRange;
  }
}

// Its turn has come. This is the one place from which ops go to the image.
void Device::submit(uint32_t index) {
  if (tasks_[index].plan.ops.empty()) {
    // A flush: with rbd_cache=false an ended write is durable.
    answer(index, scsi::Result::good(), {});
    return;
  }
  if (const auto refused = refusal(index)) {  // It has waited for others meanwhile.
    ops_claimed_ -= tasks_[index].plan.ops.size();
    order_.leave(index, ready_);
    respond(index, *refused, 0);
    tasks_.release(index);
    return;
  }
  begin(index);
}

void Device::begin(uint32_t index) {
  Task& task = tasks_[index];
  task.state = TaskState::kInImage;
  task.submitted = now_;
  task.instance = instance_;
  task.ops_pending = static_cast<uint32_t>(task.plan.ops.size());
  ++live_;
  uint64_t bytes = 0;
  for (const auto& op : task.plan.ops) {
    if (op.kind != OpKind::kBlockStatus) bytes += op.range.length;
    image_->submit({op.kind, op.range, op_data(index, op), &task.mapped}, index);
  }
  const bool writes = changes(index);
  (writes ? counters_.writes : counters_.reads) += 1;
  (writes ? counters_.write_bytes : counters_.read_bytes) += bytes;
  if (task.plan.ops.front().kind == OpKind::kWriteZeroes) {
    ++counters_.zeroings;
    counters_.zeroed_bytes += bytes;
  }
}

// One that is refused may make more of them ready.
void Device::submit_ready() {
  for (size_t i = 0; i < ready_.size(); ++i) submit(ready_[i]);
  ready_.clear();
}

// First come, first served; but with QoS limits reads and changes wait for their own, and pass
// others that wait unless they conflict.
void Device::start_backlog() {
  if (!throttle_.limited()) {
    while (!backlog_.empty() && has_room(backlog_.front())) {
      const uint32_t index = backlog_.front();
      backlog_.pop_front();
      order(index);
    }
    return;
  }
  const std::deque<uint32_t> waiting = std::exchange(backlog_, {});
  std::array<bool, 2> held_up{};  // Reads, changes.
  for (const uint32_t index : waiting) {
    bool& its_kind = held_up[changes(index)];
    const bool flush = tasks_[index].plan.ops.empty();
    if ((flush || !its_kind) && !waits_behind(index, backlog_) && has_room(index)) {
      order(index);
    } else {
      backlog_.push_back(index);
      its_kind |= !flush;
    }
  }
}

}  // namespace tcmurbd
