// SPDX-License-Identifier: Apache-2.0
// A task's way to the image: the lock's gate (op_queue_gate.cc), room among the ops in flight and
// the image's QoS limits, the order of ranges, and last whether it may still begin.
#include "rbd_handler/device/op_queue.h"

#include <algorithm>
#include <utility>

#include "common/check.h"
#include "common/probes.h"

namespace tcmurbd {

using task::Access;
using task::LadderEvent;
using task::Task;
using task::TaskState;

namespace {

// What a kBlockStatus finds may be older than a change that comes after it; and it covers so many
// blocks that nothing may wait for it, least of all when it hangs.
Access access_of(OpKind kind) {
  if (kind == OpKind::kBlockStatus) return Access::kNonBlockingRead;
  return changes_image(kind) ? Access::kWrite : Access::kRead;
}

}  // namespace

OpQueue::OpQueue(task::TaskTable& tasks, QueueOwner& owner, Outbox& outbox,
                 DeviceCounters& counters, DeviceLatency& latency, SlowLog& slow,
                 FlightRecorder& recorder, Image& image, const DeviceSettings& settings)
    : tasks_(tasks),
      owner_(owner),
      outbox_(outbox),
      counters_(counters),
      latency_(latency),
      slow_(slow),
      recorder_(recorder),
      image_(&image),
      wanted_deadline_(settings.deadline),
      reads_need_lock_(settings.reads_need_lock),
      gate_(settings.gate),
      primary_(settings.primary),
      safe_(settings.safe) {
  throttle_.set(settings.limits, now_);
  on_kernel_limit(settings.kernel_limit);
}

void OpQueue::move(TaskId id, TaskState to) {
  tasks_.move(id, to);
  const Task& task = tasks_[id];
  record(task, FlightKind::kState, std::to_underlying(to));
  TCMU_RBD_PROBE(stage, recorder_.lun(), task.sequence, std::to_underlying(task.operation),
                 std::to_underlying(to), probe_time(now_));
}

void OpQueue::record(const Task& task, FlightKind kind, uint8_t detail, uint64_t a, uint64_t b) {
  recorder_.note({.time = now_,
                  .command = static_cast<uint32_t>(task.sequence),
                  .cmd_id = task.entry.cmd_id,
                  .kind = kind,
                  .detail = detail,
                  .a = a,
                  .b = b});
}

void OpQueue::enter(TaskId id) {
  const auto& ops = tasks_[id].plan.ops;
  const ByteRange range = range_of(tasks_[id]);
  record(tasks_[id], FlightKind::kPlanned, static_cast<uint8_t>(std::min<size_t>(ops.size(), 255)),
         range.offset, range.length);
  if (const auto refused = refusal(id)) {  // Not even the lock is asked for on its behalf.
    finish(id, *refused);
    return;
  }
  if (!gate_open(id) || waits_behind(id, parked_)) {
    park(id);
    return;
  }
  if (backlog_.empty() && has_room(id)) {
    order(id);
    return;
  }
  ++(throttle_.limited() ? counters_.rate_waits : counters_.room_waits);
  move(id, TaskState::kBacklog);
  backlog_.push_back(id);
  if (throttle_.limited()) start_backlog();
}

void OpQueue::finish(TaskId id, const scsi::Result& result) {
  owner_.respond_early(id, result, false);
  release(id);
}

void OpQueue::release(TaskId id) {
  slow_.note(tasks_[id], now_);
  tasks_.release(id);
}

// They overlap and one of them changes the image, or the later one is a flush, which waits for
// every change before it.
bool OpQueue::conflict(TaskId earlier, TaskId later) {
  const auto& before = tasks_[earlier].plan.ops;
  const auto& after = tasks_[later].plan.ops;
  if (after.empty()) return tasks_[earlier].changes();
  if (!tasks_[earlier].changes() && !tasks_[later].changes()) return false;
  return std::ranges::any_of(after, [&](const auto& op) {
    return std::ranges::any_of(before,
                               [&](const auto& other) { return op.range.overlaps(other.range); });
  });
}

bool OpQueue::waits_behind(TaskId id, const std::deque<TaskId>& queue) {
  return std::ranges::any_of(queue, [&](TaskId other) {
    return tasks_[other].sequence < tasks_[id].sequence && conflict(other, id);
  });
}

bool OpQueue::has_room(TaskId id) {
  const size_t ops = tasks_[id].plan.ops.size();
  if (ops == 0) return true;  // A flush.
  return tasks_.ops_claimed() + ops <= kImageOpsMax && throttle_.admits(tasks_[id].changes(), now_);
}

void OpQueue::order(TaskId id) {
  Task& task = tasks_[id];
  const auto& ops = task.plan.ops;
  boost::container::static_vector<ByteRange, scsi::kUnmapDescriptorsMax> ranges;
  uint64_t bytes = 0;
  for (const auto& op : ops) {
    ranges.push_back(op.range);
    bytes += op.range.length;
  }
  const Access access = ops.empty() ? Access::kFlush : access_of(ops.front().kind);

  if (!ops.empty()) throttle_.take(task.changes(), bytes);
  task.admitted = now_;
  if (order_.enter(id, {ranges.data(), ranges.size()}, access)) {
    submit(id);
  } else {
    ++counters_.range_waits;
    move(id, TaskState::kAwaitingRange);
  }
}

// The one place from which ops go to the image.
void OpQueue::submit(TaskId id) {
  if (tasks_[id].plan.ops.empty()) {
    // A flush: with rbd_cache=false an ended write is durable.
    owner_.respond_ended(id);
    release(id);
    return;
  }
  if (const auto refused = refusal(id)) {  // It has waited for others meanwhile.
    order_.leave(id, ready_);
    finish(id, *refused);
    return;
  }
  begin(id);
}

void OpQueue::begin(TaskId id) {
  Task& task = tasks_[id];
  task.ops_pending = static_cast<uint32_t>(task.plan.ops.size());
  move(id, TaskState::kInImage);
  task.submitted = now_;
  task.instance = instance_;
  const ByteRange& first = task.plan.ops.front().range;
  TCMU_RBD_PROBE(submitted, recorder_.lun(), task.sequence, std::to_underlying(task.operation),
                 first.offset, first.length, (now_ - task.queued).count());
  uint64_t bytes = 0;
  for (const auto& op : task.plan.ops) {
    if (op.kind != OpKind::kBlockStatus) bytes += op.range.length;
    image_->submit({op.kind, op.range, owner_.op_data(id, op), &task.mapped},
                   std::to_underlying(id));
  }
  const bool writes = task.changes();
  (writes ? counters_.writes : counters_.reads) += 1;
  (writes ? counters_.write_bytes : counters_.read_bytes) += bytes;
  if (task.plan.ops.front().kind == OpKind::kWriteZeroes) {
    ++counters_.zeroings;
    counters_.zeroed_bytes += bytes;
  }
}

void OpQueue::submit_ready() {
  // One that is refused may make more of them ready.
  for (size_t i = 0; i < ready_.size(); ++i) submit(ready_[i]);
  ready_.clear();
}

// First come, first served; but with QoS limits reads and changes wait for their own, and pass
// others that wait unless they conflict.
void OpQueue::start_backlog() {
  if (!throttle_.limited()) {
    while (!backlog_.empty() && has_room(backlog_.front())) {
      const TaskId id = backlog_.front();
      backlog_.pop_front();
      order(id);
    }
    return;
  }
  const std::deque<TaskId> waiting = std::exchange(backlog_, {});
  std::array<bool, 2> held_up{};  // Reads, changes.
  for (const TaskId id : waiting) {
    bool& its_kind = held_up[tasks_[id].changes()];
    const bool flush = tasks_[id].plan.ops.empty();
    if ((flush || !its_kind) && !waits_behind(id, backlog_) && has_room(id)) {
      order(id);
    } else {
      backlog_.push_back(id);
      its_kind |= !flush;
    }
  }
}

void OpQueue::on_done(const OpDone& done) {
  const TaskId id{done.token};
  const Task& task = tasks_[id];
  CHECK(task.ops_pending > 0);
  note_result(done);
  tasks_.end_op(id);
  if (task.ops_pending != 0) {
    // The instance may have to be given up for this result: then nothing new goes to it.
    if (gate_.lets_through(false)) start_backlog();
    return;
  }
  const Duration took = now_ - task.submitted;
  latency_.image[std::to_underlying(task.operation)].add(took);
  record(task, FlightKind::kEnded, 0, 0, static_cast<uint64_t>(int64_t{task.error}));
  TCMU_RBD_PROBE(ended, recorder_.lun(), task.sequence, std::to_underlying(task.operation),
                 task.error, took.count());
  climb(id, LadderEvent::kEnded, task.result);
}

void OpQueue::end_ops(TaskId id) {
  if (tasks_[id].outcome_unknown) {
    hold_unknown(id);
    return;
  }
  order_.leave(id, ready_);
  owner_.respond_ended(id);
  release(id);
  submit_ready();
  start_backlog();
}

void OpQueue::on_time() {
  look_at_clocks();
  if (throttle_.limited()) start_backlog();
}

void OpQueue::on_rate_limits(const task::RateLimits& limits) {
  throttle_.set(limits, now_);
  start_backlog();
}

}  // namespace tcmurbd
