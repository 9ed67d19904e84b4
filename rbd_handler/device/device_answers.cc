// SPDX-License-Identifier: Apache-2.0
// What the Device answers: to the kernel, with what in the data area, and to the copies whose reads
// and writes are tasks here.
#include <algorithm>
#include <utility>

#include "common/probes.h"
#include "rbd_handler/device/device.h"

namespace tcmurbd {

using task::Task;

namespace {

AnswerKind kind_of_answer(scsi::ScsiStatus status) {
  switch (status) {
    case scsi::ScsiStatus::kGood:
      return AnswerKind::kGood;
    case scsi::ScsiStatus::kCheckCondition:
      return AnswerKind::kCheckCondition;
    case scsi::ScsiStatus::kBusy:
      return AnswerKind::kBusy;
    case scsi::ScsiStatus::kTaskAborted:
      return AnswerKind::kTaskAborted;
    default:
      return AnswerKind::kOther;
  }
}

SenseKind kind_of_sense(uint8_t key) {
  switch (key) {
    case 0x2:
      return SenseKind::kNotReady;
    case 0x3:
      return SenseKind::kMediumError;
    case 0x4:
      return SenseKind::kHardwareError;
    case 0x5:
      return SenseKind::kIllegalRequest;
    case 0x6:
      return SenseKind::kUnitAttention;
    case 0x7:
      return SenseKind::kDataProtect;
    case 0xa:
      return SenseKind::kCopyAborted;
    case 0xe:
      return SenseKind::kMiscompared;
    default:
      return SenseKind::kOther;
  }
}

}  // namespace

void Device::answer(TaskId id, const scsi::Result& result, std::span<const uint8_t> data_in) {
  respond_with(id, result, data_in);
  slow_.note(tasks_[id], now_);
  tasks_.release(id);
}

void Device::respond_with(TaskId id, const scsi::Result& result, std::span<const uint8_t> data_in) {
  const IovSpan iov = tasks_[id].entry.iov;
  uint32_t read_length = 0;
  const bool deliver = !tasks_[id].abandoned;  // Else its memory may belong to another command.
  if (result.status == scsi::ScsiStatus::kGood && !iov.empty() && deliver) {
    // The kernel returns the whole expected length with GOOD, and read_len 0 means just that: what
    // the answer does not fill is zeroed, else bytes of an earlier command would leave with it.
    const size_t copied = copy_to_iov(iov, 0, data_in);
    const bool tell_length = copied != 0 && ring_.supports_read_length();
    if (!tell_length) zero_iov(iov, copied);
    if (tell_length) read_length = static_cast<uint32_t>(copied);
  }
  respond(id, result, read_length);
}

void Device::respond(TaskId id, const scsi::Result& result, uint32_t read_length,
                     bool keep_buffer) {
  Task& task = tasks_[id];
  task.scsi_status = static_cast<uint8_t>(result.status);
  recorder_.note({.time = now_,
                  .command = static_cast<uint32_t>(task.sequence),
                  .cmd_id = task.entry.cmd_id,
                  .kind = FlightKind::kAnswered,
                  .detail = task.scsi_status,
                  .a = uint64_t{result.sense.key} << 16U | uint64_t{result.sense.asc} << 8U |
                       result.sense.ascq});
  const Duration took = now_ - task.queued;
  TCMU_RBD_PROBE(answered, recorder_.lun(), task.sequence, std::to_underlying(task.operation),
                 task.scsi_status, took.count(), probe_time(now_));
  if (task.copy != 0) {
    outbox_.add(CopyOpDone{task.copy, task.copy_token, result});
    return;
  }
  if (task.abandoned) return;
  ring::Response response{.cmd_id = task.entry.cmd_id,
                          .scsi_status = static_cast<uint8_t>(result.status),
                          .keep_buffer = keep_buffer};
  // With another status READ_LEN would have the kernel send that much of the data area beside the
  // sense, and it is not filled (tcmu_handle_completion, SCF_TREAT_READ_AS_NORMAL).
  if (ring_.supports_read_length() && result.status == scsi::ScsiStatus::kGood)
    response.read_length = read_length;
  scsi::WholeSense sense;
  if (result.status == scsi::ScsiStatus::kCheckCondition) {
    ++counters_.check_conditions;
    ++counters_.check_conditions_by_key[std::to_underlying(kind_of_sense(result.sense.key))];
    if (result.sense.key == scsi::kMediumError)
      ++(task.changes() ? counters_.write_errors : counters_.read_errors);
    sense = scsi::encode_whole(result.sense);
    response.sense = sense.span();
  }
  counters_.busy += result.status == scsi::ScsiStatus::kBusy;
  ++counters_.answers[std::to_underlying(kind_of_answer(result.status))];
  latency_.command[std::to_underlying(task.operation)].add(took);
  ring_.complete(response);
  tasks_.forget_id(id);
}

void Device::respond_early(TaskId id, const scsi::Result& result, bool keep_buffer) {
  respond(id, result, 0, keep_buffer);
}

void Device::respond_ended(TaskId id) {
  Task& task = tasks_[id];
  if (task.plan.ops.empty()) return respond_with(id, scsi::Result::good(), {});
  const auto& op = task.plan.ops.front();
  if (op.kind == OpKind::kBlockStatus) {
    data_in_.clear();
    if (task.result == scsi::Result::good())
      scsi::lba_status(task.command, disk_, {task.entry.data_length}, op.range, task.mapped,
                       data_in_);
    return respond_with(id, task.result, data_in_);
  }
  if (op.kind == OpKind::kRead && !ring_.supports_keep_buffer() && task.copy == 0)
    copy_to_iov(task.entry.iov, 0, task.own_buffer);
  respond(id, task.result, length_to_tell(id));
}

// The ring does not have the direction of the data. A write whose initiator said that it reads
// would get its data area back, with what earlier commands left there: it gets one byte, a zero,
// since a shorter length cannot be reported. For a real write the kernel looks at neither
// (tcmu_handle_completion).
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

bool Device::reads_into_ring(TaskId id) {
  const Task& task = tasks_[id];
  return task.plan.ops.front().kind == OpKind::kRead && ring_.supports_keep_buffer() &&
         task.copy == 0;
}

// Its place stays: the fetch under way is for so many of them.
void Device::leave_facts(TaskId id) { std::ranges::replace(awaiting_facts_, id, task::kNoTask); }

}  // namespace tcmurbd
