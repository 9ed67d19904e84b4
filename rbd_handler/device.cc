// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/device.h"

#include <algorithm>
#include <utility>

#include "common/check.h"

namespace tcmurbd {

using task::Access;
using task::Task;
using task::TaskState;

namespace {

// Cuts the iovecs to their first `bytes` bytes: a fabric may expect more than the CDB transfers.
void trim(std::vector<iovec>& iov, uint64_t bytes) {
  for (size_t i = 0; i < iov.size(); ++i) {
    if (bytes > iov[i].iov_len) {
      bytes -= iov[i].iov_len;
      continue;
    }
    iov[i].iov_len = bytes;
    iov.resize(bytes == 0 ? i : i + 1);
    return;
  }
}

}  // namespace

Device::Device(ring::Ring ring, Image& image, const scsi::DiskFacts& disk)
    : ring_(std::move(ring)), image_(image), disk_(disk) {}

bool Device::on_ring(TimePoint now) {
  if (!broken_.empty()) return false;
  for (uint32_t taken = 0; taken < kEntriesPerWake; ++taken) {
    const uint32_t index = tasks_.acquire();
    Task& task = tasks_[index];
    const ring::Next next = ring_.next(task.entry, tmr_);
    const bool is_command = next == ring::Next::kCommand || next == ring::Next::kBadCommand;
    if (!is_command || !tasks_.admit(index)) {
      tasks_.release(index);
      if (next == ring::Next::kTmr) {
        ++counters_.task_managements;
        continue;
      }
      if (next == ring::Next::kNone) return false;
      broken_ =
          is_command ? "a command id came again before it was completed" : ring_.broken_reason();
      return false;
    }
    ++counters_.commands;
    task.queued = now;
    if (next == ring::Next::kBadCommand) {
      ++counters_.bad_entries;
      answer(index, scsi::Result::check(scsi::kInternalTargetFailure), {});
    } else {
      start(index);
    }
  }
  return ring_.has_entries();
}

void Device::start(uint32_t index) {
  Task& task = tasks_[index];
  const auto command = scsi::parse(task.entry.cdb_bytes());
  if (!command) {
    answer(index, scsi::Result::check(command.error()), {});
    return;
  }
  task.command = *command;
  if (answer_unit_attention(index)) return;
  if (scsi::needs_target_facts(task.command)) {
    task.state = TaskState::kAwaitingFacts;
    awaiting_facts_.push_back(index);
    return;
  }
  plan_and_run(index);
}

// True: the command was answered. REQUEST SENSE takes the condition as its data instead, see
// plan_and_run().
bool Device::answer_unit_attention(uint32_t index) {
  const scsi::Command& command = tasks_[index].command;
  if (!unit_attention_ || !scsi::takes_unit_attention(command) || scsi::is_request_sense(command))
    return false;
  answer(index, scsi::Result::check(*unit_attention_), {});
  unit_attention_.reset();
  return true;
}

void Device::plan_and_run(uint32_t index) {
  Task& task = tasks_[index];
  data_in_.clear();
  scsi::Request request{task.entry.data_length, task.entry.iov};
  if (scsi::is_request_sense(task.command))
    request.pending_sense = std::exchange(unit_attention_, std::nullopt);
  scsi::Plan plan = scsi::plan(task.command, disk_, target_, request, data_in_);
  if (const auto* done = std::get_if<scsi::Answer>(&plan)) {
    answer(index, done->result, data_in_);
  } else if (std::holds_alternative<scsi::Flush>(plan)) {
    order(index);
  } else {
    task.plan = std::move(std::get<scsi::ImageOps>(plan));
    CHECK(!task.plan.ops.empty() && task.plan.ops.size() <= kImageOpsMax);
    start_image_ops(index);
  }
}

void Device::start_image_ops(uint32_t index) {
  Task& task = tasks_[index];
  const auto& op = task.plan.ops.front();
  if (op.kind == OpKind::kRead) zero_iov(task.entry.iov, op.range.length);
  if (op.kind == OpKind::kRead || op.kind == OpKind::kWrite) trim(task.entry.iov, op.range.length);
  if (op.kind == OpKind::kWriteSame) trim(task.entry.iov, disk_.block_size);
  if (!backlog_.empty() || ops_claimed_ + task.plan.ops.size() > kImageOpsMax) {
    task.state = TaskState::kBacklog;
    backlog_.push_back(index);
    return;
  }
  order(index);
}

// Lets the task run now, or when the ops it must not pass have ended.
void Device::order(uint32_t index) {
  Task& task = tasks_[index];
  const auto& ops = task.plan.ops;
  boost::container::static_vector<ByteRange, scsi::kUnmapDescriptorsMax> ranges;
  for (const auto& op : ops) ranges.push_back(op.range);
  Access access = Access::kFlush;
  if (!ops.empty()) access = changes_image(ops.front().kind) ? Access::kWrite : Access::kRead;

  ops_claimed_ += ops.size();
  if (order_.enter(index, {ranges.data(), ranges.size()}, access)) {
    submit(index);
  } else {
    ++counters_.range_waits;
    task.state = TaskState::kAwaitingRange;
  }
}

void Device::submit(uint32_t index) {
  Task& task = tasks_[index];
  task.state = TaskState::kInImage;
  if (task.plan.ops
          .empty()) {  // A flush whose turn came: with rbd_cache=false an ended write is durable.
    answer(index, scsi::Result::good(), {});
    return;
  }
  uint64_t bytes = 0;
  task.ops_pending = static_cast<uint32_t>(task.plan.ops.size());
  for (const auto& op : task.plan.ops) {
    bytes += op.range.length;
    const IovSpan data = op.kind == OpKind::kWriteZeroes ? IovSpan{} : IovSpan{task.entry.iov};
    image_.submit({op.kind, op.range, data}, index);
  }
  const bool writes = changes_image(task.plan.ops.front().kind);
  (writes ? counters_.writes : counters_.reads) += 1;
  (writes ? counters_.write_bytes : counters_.read_bytes) += bytes;
}

void Device::on_done(const OpDone& done, TimePoint) {
  Task& task = tasks_[done.token];
  CHECK(task.state == TaskState::kInImage && task.ops_pending > 0);
  if (done.result < 0) {
    ++counters_.image_errors;
    if (task.result == scsi::Result::good()) {
      task.result = scsi::result_from_errno(done.result, task.plan.ops.front().kind);
    }
  }
  if (--task.ops_pending == 0) end_image_ops(done.token);
}

void Device::end_image_ops(uint32_t index) {
  Task& task = tasks_[index];
  ops_claimed_ -= task.plan.ops.size();
  ready_.clear();
  order_.leave(index, ready_);
  const auto& op = task.plan.ops.front();
  const bool short_read = op.kind == OpKind::kRead && op.range.length < task.entry.data_length;
  complete(index, task.result, short_read ? static_cast<uint32_t>(op.range.length) : 0);
  for (const uint32_t next : ready_) submit(next);
  start_backlog();
}

void Device::start_backlog() {
  while (!backlog_.empty()) {
    const uint32_t index = backlog_.front();
    if (ops_claimed_ + tasks_[index].plan.ops.size() > kImageOpsMax) return;
    backlog_.pop_front();
    order(index);
  }
}

bool Device::wants_target_facts() {
  if (facts_asked_for_ != 0 || awaiting_facts_.empty()) return false;
  facts_asked_for_ = awaiting_facts_.size();
  return true;
}

void Device::on_target_facts(const scsi::TargetFacts& facts, TimePoint) {
  target_ = facts;
  // Commands that came after the fetch began wait for the next one: what they must tell, say a
  // serial that was written just before them, may not be in these facts.
  const size_t served = std::exchange(facts_asked_for_, 0);
  const std::vector<uint32_t> parked = std::exchange(awaiting_facts_, {});
  CHECK(served <= parked.size());
  awaiting_facts_.assign(parked.begin() + static_cast<ptrdiff_t>(served), parked.end());
  for (size_t i = 0; i < served; ++i) {
    tasks_[parked[i]].state = TaskState::kParsed;
    plan_and_run(parked[i]);
  }
}

void Device::on_resized(uint64_t bytes) {
  disk_.blocks = bytes / disk_.block_size;
  unit_attention_ = scsi::kCapacityChanged;
}

void Device::restart(ring::Ring ring) {
  CHECK(idle());
  ring_ = std::move(ring);
  broken_.clear();
}

void Device::answer(uint32_t index, const scsi::Result& result, std::span<const uint8_t> data_in) {
  const IovSpan iov = tasks_[index].entry.iov;
  if (result.status != scsi::ScsiStatus::kGood || iov.empty()) {
    complete(index, result, 0);
    return;
  }
  // The kernel returns the whole expected length with GOOD, and read_len 0 means just that: what
  // the answer does not fill is zeroed, else bytes of an earlier command would leave with it.
  const size_t copied = copy_to_iov(iov, 0, data_in);
  const bool tell_length = copied != 0 && ring_.supports_read_length();
  if (!tell_length) zero_iov(iov, copied);
  complete(index, result, tell_length ? static_cast<uint32_t>(copied) : 0);
}

void Device::complete(uint32_t index, const scsi::Result& result, uint32_t read_length) {
  const Task& task = tasks_[index];
  ring::Response response{.cmd_id = task.entry.cmd_id,
                          .scsi_status = static_cast<uint8_t>(result.status)};
  if (ring_.supports_read_length()) response.read_length = read_length;
  std::array<uint8_t, scsi::kSenseBytes> sense;
  if (result.status == scsi::ScsiStatus::kCheckCondition) {
    ++counters_.check_conditions;
    sense = scsi::encode_fixed(result.sense);
    response.sense = sense;
  }
  counters_.busy += result.status == scsi::ScsiStatus::kBusy;
  ring_.complete(response);
  tasks_.forget_id(index);
  tasks_.release(index);
}

}  // namespace tcmurbd
