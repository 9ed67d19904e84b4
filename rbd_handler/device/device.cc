// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/device/device.h"

#include <algorithm>
#include <utility>

#include "common/check.h"

namespace tcmurbd {

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

Device::Device(ring::Ring ring, Image& image, const scsi::DiskFacts& disk,
               const DeviceSettings& settings)
    : ring_(std::move(ring)),
      image_(&image),
      disk_(disk),
      settings_(settings),
      gate_(settings.gate),
      primary_(settings.primary),
      safe_(settings.safe) {
  reports_.reserve(kReportsMax);
  throttle_.set(settings.limits, now_);
  on_kernel_limit(settings.kernel_limit);
}

bool Device::on_ring(TimePoint now) {
  if (!broken_.empty()) return false;
  now_ = now;
  const bool more = take_entries();
  settle_gate();
  return more;
}

bool Device::take_entries() {
  for (uint32_t taken = 0; taken < kEntriesPerWake; ++taken) {
    const TaskId id = tasks_.acquire();
    Task& task = tasks_[id];
    const ring::Next next = ring_.next(task.entry, tmr_);
    const bool is_command = next == ring::Next::kCommand || next == ring::Next::kBadCommand;
    if (!is_command || !tasks_.admit(id)) {
      tasks_.release(id);
      if (next == ring::Next::kTmr) {
        on_tmr(tmr_);
        continue;
      }
      if (next == ring::Next::kNone) return false;
      break_ring(is_command ? "a command id came again before it was completed"
                            : ring_.broken_reason());
      return false;
    }
    ++counters_.commands;
    task.queued = now_;
    task.sequence = next_sequence_++;
    if (next == ring::Next::kBadCommand) {
      ++counters_.bad_entries;
      answer(id, scsi::Result::check(scsi::kInternalTargetFailure), {});
    } else {
      start(id);
    }
  }
  return ring_.has_entries();
}

void Device::start(TaskId id) {
  Task& task = tasks_[id];
  const auto command = scsi::parse(task.entry.cdb_bytes());
  if (!command) {
    answer(id, scsi::Result::check(command.error()), {});
    return;
  }
  task.command = *command;
  if (answer_unit_attention(id)) return;
  if (scsi::needs_target_facts(task.command)) {
    tasks_.move(id, TaskState::kAwaitingFacts);
    awaiting_facts_.push_back(id);
    return;
  }
  plan_and_run(id);
}

// True: the command was answered. REQUEST SENSE takes the condition as its data instead, see
// plan_and_run().
bool Device::answer_unit_attention(TaskId id) {
  const scsi::Command& command = tasks_[id].command;
  if (!unit_attention_ || !scsi::takes_unit_attention(command) || scsi::is_request_sense(command))
    return false;
  answer(id, scsi::Result::check(*unit_attention_), {});
  unit_attention_.reset();
  return true;
}

void Device::plan_and_run(TaskId id) {
  Task& task = tasks_[id];
  data_in_.clear();
  scsi::Request request{
      .data_length = task.entry.data_length, .data = task.entry.iov, .copies = &copies_};
  if (scsi::is_request_sense(task.command))
    request.pending_sense = std::exchange(unit_attention_, std::nullopt);
  if (scsi::needs_access_counters(task.command)) request.counters = access_counters();
  scsi::Plan plan = scsi::plan(task.command, disk_, target_, request, data_in_);
  if (const auto* done = std::get_if<scsi::Answer>(&plan)) {
    answer(id, done->result, data_in_);
  } else if (std::holds_alternative<scsi::Flush>(plan)) {
    enter_queue(id);
  } else if (auto* copy = std::get_if<scsi::CopyRequest>(&plan)) {
    start_copy(id, std::move(*copy));
  } else {
    task.plan = std::move(std::get<scsi::ImageOps>(plan));
    CHECK(!task.plan.ops.empty() && task.plan.ops.size() <= kImageOpsMax);
    start_image_ops(id);
  }
}

scsi::AccessCounters Device::access_counters() const {
  return {.reads = counters_.reads,
          .writes = counters_.writes - counters_.zeroings,
          .read_bytes = counters_.read_bytes,
          .write_bytes = counters_.write_bytes - counters_.zeroed_bytes,
          .read_errors = counters_.read_errors,
          .write_errors = counters_.write_errors};
}

void Device::start_image_ops(TaskId id) {
  Task& task = tasks_[id];
  const auto& op = task.plan.ops.front();
  if (tasks_[id].changes() && !primary_) {
    answer(id, scsi::result_from_errno(kNotPrimary, op.kind), {});
    return;
  }
  if (op.kind == OpKind::kRead) zero_iov(task.entry.iov, op.range.length);
  if (op.kind == OpKind::kRead || op.kind == OpKind::kWrite) trim(task.entry.iov, op.range.length);
  if (op.kind == OpKind::kWriteSame) trim(task.entry.iov, disk_.block_size);
  enter_queue(id);
}

IovSpan Device::op_data(TaskId id, const scsi::ImageOps::Op& op) {
  Task& task = tasks_[id];
  if (op.kind == OpKind::kWriteZeroes || op.kind == OpKind::kBlockStatus) return {};
  if (op.kind != OpKind::kRead || ring_.supports_keep_buffer() || task.copy != 0)
    return task.entry.iov;
  // This kernel takes the data area back with the answer, and an abandoned read would land in
  // another command's memory.
  task.own_buffer.resize(op.range.length);
  task.own_iov = {task.own_buffer.data(), task.own_buffer.size()};
  return {&task.own_iov, 1};
}

void Device::on_done(const OpDone& done, TimePoint now) {
  begin_event(now);
  Task& task = tasks_[TaskId{done.token}];
  CHECK(task.ops_pending > 0);
  note_result(done);
  if (--task.ops_pending == 0) climb(TaskId{done.token}, task::LadderEvent::kEnded, task.result);
  settle_gate();
}

void Device::end_image_ops(TaskId id) {
  Task& task = tasks_[id];
  const auto& op = task.plan.ops.front();
  if (task.outcome_unknown) {
    hold_unknown(id);
    return;
  }
  order_.leave(id, ready_);
  if (op.kind == OpKind::kRead && !ring_.supports_keep_buffer() && task.copy == 0)
    copy_to_iov(task.entry.iov, 0, task.own_buffer);
  if (op.kind == OpKind::kBlockStatus) {
    data_in_.clear();
    if (task.result == scsi::Result::good())
      scsi::lba_status(task.command, disk_, {task.entry.data_length}, op.range, task.mapped,
                       data_in_);
    answer(id, task.result, data_in_);
  } else {
    respond(id, task.result, length_to_tell(id));
    tasks_.release(id);
  }
  submit_ready();
  start_backlog();
}

// How much of the data area a GOOD image op gives the initiator: 0 = all of it. The ring does not
// tell which way data goes. A write whose initiator said that it reads would get its data area
// back, with what earlier commands left there: it gets one byte, a zero, since less can't be told.
// For a real write the kernel looks at neither (tcmu_handle_completion).
uint32_t Device::length_to_tell(TaskId id) {
  const Task& task = tasks_[id];
  const auto& op = task.plan.ops.front();
  if (op.kind == OpKind::kRead) {
    const bool is_short = op.range.length < task.entry.data_length;
    return is_short ? static_cast<uint32_t>(op.range.length) : 0;
  }
  if (task.copy != 0 || task.entry.iov.empty()) return 0;
  if (!ring_.supports_read_length()) {
    zero_iov(task.entry.iov, 0);
    return 0;
  }
  static constexpr std::array<uint8_t, 1> kZero{};
  copy_to_iov(task.entry.iov, 0, kZero);
  return 1;
}

bool Device::wants_target_facts() {
  if (facts_asked_for_ != 0 || awaiting_facts_.empty()) return false;
  facts_asked_for_ = awaiting_facts_.size();
  return true;
}

void Device::on_target_facts(const scsi::TargetFacts& facts, TimePoint now) {
  begin_event(now);
  target_ = facts;
  // Commands that came after the fetch began wait for the next one: what they must tell, say a
  // serial that was written just before them, may not be in these facts.
  const size_t served = std::exchange(facts_asked_for_, 0);
  const std::vector<TaskId> parked = std::exchange(awaiting_facts_, {});
  CHECK(served <= parked.size());
  awaiting_facts_.assign(parked.begin() + static_cast<ptrdiff_t>(served), parked.end());
  for (size_t i = 0; i < served; ++i) {
    if (parked[i] == task::kNoTask) continue;
    tasks_.move(parked[i], TaskState::kParsed);
    plan_and_run(parked[i]);
  }
}

void Device::on_resized(uint64_t bytes) {
  disk_.blocks = bytes / disk_.block_size;
  unit_attention_ = scsi::kCapacityChanged;
}

void Device::answer(TaskId id, const scsi::Result& result, std::span<const uint8_t> data_in) {
  const IovSpan iov = tasks_[id].entry.iov;
  uint32_t read_length = 0;
  const bool told = !tasks_[id].abandoned;  // Else its memory may be another command's by now.
  if (result.status == scsi::ScsiStatus::kGood && !iov.empty() && told) {
    // The kernel returns the whole expected length with GOOD, and read_len 0 means just that: what
    // the answer does not fill is zeroed, else bytes of an earlier command would leave with it.
    const size_t copied = copy_to_iov(iov, 0, data_in);
    const bool tell_length = copied != 0 && ring_.supports_read_length();
    if (!tell_length) zero_iov(iov, copied);
    if (tell_length) read_length = static_cast<uint32_t>(copied);
  }
  respond(id, result, read_length);
  tasks_.release(id);
}

// Tells the kernel. The task stays: its ops may not have ended.
void Device::respond(TaskId id, const scsi::Result& result, uint32_t read_length,
                     bool keep_buffer) {
  const Task& task = tasks_[id];
  if (task.copy != 0) {
    copy_ops_done_.push_back({task.copy, task.copy_token, result});
    return;
  }
  if (task.abandoned) return;
  ring::Response response{.cmd_id = task.entry.cmd_id,
                          .scsi_status = static_cast<uint8_t>(result.status),
                          .keep_buffer = keep_buffer};
  // With another status READ_LEN would have the kernel send that much of the data area beside the
  // sense, and nobody has filled it (tcmu_handle_completion, SCF_TREAT_READ_AS_NORMAL).
  if (ring_.supports_read_length() && result.status == scsi::ScsiStatus::kGood)
    response.read_length = read_length;
  scsi::WholeSense sense;
  if (result.status == scsi::ScsiStatus::kCheckCondition) {
    ++counters_.check_conditions;
    if (result.sense.key == scsi::kMediumError)
      ++(tasks_[id].changes() ? counters_.write_errors : counters_.read_errors);
    sense = scsi::encode_whole(result.sense);
    response.sense = sense.span();
  }
  counters_.busy += result.status == scsi::ScsiStatus::kBusy;
  ring_.complete(response);
  tasks_.forget_id(id);
}

}  // namespace tcmurbd
