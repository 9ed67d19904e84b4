// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/device/device.h"

#include <utility>

#include "common/check.h"
#include "common/probes.h"

namespace tcmurbd {

using task::LadderEvent;
using task::Task;
using task::TaskState;

namespace {

// target_core_base.h, enum tcm_tmreq_table; 128 is a reset by PREEMPT AND ABORT.
constexpr uint8_t kTmrAbortTask = 1;
constexpr uint8_t kTmrLunReset = 5;
constexpr uint8_t kTmrLunResetPro = 128;

TmrKind kind_of_tmr(uint8_t type) {
  switch (type) {
    case kTmrAbortTask:
      return TmrKind::kAbortTask;
    case kTmrLunReset:
      return TmrKind::kLunReset;
    case kTmrLunResetPro:
      return TmrKind::kPreemptAndAbort;
    default:
      return TmrKind::kOther;
  }
}

AbortStage stage_of(const Task& task) {
  switch (task.state()) {
    case TaskState::kInImage:
      return task.changes() ? AbortStage::kChangeInLibrbd : AbortStage::kReadInLibrbd;
    case TaskState::kCopying:
    case TaskState::kCopyCancelled:
      return AbortStage::kCopying;
    default:
      return AbortStage::kWaiting;
  }
}

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
      disk_(disk),
      recorder_(settings.name),
      queue_(tasks_, *this, outbox_, counters_, latency_, slow_, recorder_, image, settings) {
  slow_.set_slow_after(settings.slow_after);
}

bool Device::on_ring(TimePoint now) {
  if (!broken_.empty()) return false;
  now_ = now;
  queue_.set_time(now);
  const bool more = take_entries();
  queue_.settle();
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
      break_ring(is_command ? "a cmd_id was reused before its command was completed"
                            : ring_.broken_reason());
      return false;
    }
    task.queued = now_;
    task.sequence = next_sequence_++;
    task.operation = scsi::Operation::kOther;
    if (next == ring::Next::kBadCommand) {
      ++counters_.bad_entries;
      count_command(task);
      answer(id, scsi::Result::check(scsi::kInternalTargetFailure), {});
    } else {
      start(id);
    }
  }
  return ring_.has_entries();
}

void Device::count_command(const Task& task) {
  ++counters_.commands;
  ++counters_.commands_by_operation[std::to_underlying(task.operation)];
}

void Device::start(TaskId id) {
  Task& task = tasks_[id];
  const auto command = scsi::parse(task.entry.cdb_bytes());
  if (command) task.operation = scsi::operation_of(*command);
  count_command(task);
  recorder_.note(taken_event(now_, task.sequence, task.entry.cmd_id, task.entry.cdb_bytes()));
  TCMU_RBD_PROBE(taken, recorder_.lun(), task.sequence, std::to_underlying(task.operation),
                 task.entry.cmd_id, task.entry.cdb[0], task.entry.data_length);
  if (!command) {
    answer(id, scsi::Result::check(command.error()), {});
    return;
  }
  task.command = *command;
  if (answer_unit_attention(id)) return;
  if (scsi::needs_target_facts(task.command)) {
    ++counters_.facts_waits;
    tasks_.move(id, TaskState::kAwaitingFacts);
    awaiting_facts_.push_back(id);
    return;
  }
  plan_and_run(id);
}

// REQUEST SENSE takes the condition as its data instead, see
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
    queue_.enter(id);
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
  if (op.kind == OpKind::kRead) zero_iov(task.entry.iov, op.range.length);
  if (op.kind == OpKind::kRead || op.kind == OpKind::kWrite) trim(task.entry.iov, op.range.length);
  if (op.kind == OpKind::kWriteSame) trim(task.entry.iov, disk_.block_size);
  supersede_copies(task);
  queue_.enter(id);
}

void Device::on_hang_located(uint64_t offset, std::span<const int> osds, TimePoint now) {
  uint64_t first_two = 0;
  for (size_t i = 0; i < std::min<size_t>(osds.size(), 2); ++i)
    first_two |= static_cast<uint64_t>(static_cast<uint32_t>(osds[i])) << (32 * i);
  recorder_.note({.time = now,
                  .kind = FlightKind::kPlace,
                  .detail = static_cast<uint8_t>(std::min<size_t>(osds.size(), 255)),
                  .a = offset,
                  .b = first_two});
}

void Device::on_target_facts(const scsi::TargetFacts& facts, TimePoint now) {
  begin_event(now);
  target_ = facts;
  // Commands that came after the fetch began wait for the next one: what they must report, such as
  // a serial that was written just before them, may not be in these facts.
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

void Device::on_tmr(const ring::TmrEntry& tmr) {
  ++counters_.task_managements;
  recorder_.note({.time = now_,
                  .kind = FlightKind::kTaskManagement,
                  .detail = tmr.type,
                  .a = tmr.cmd_ids.size()});
  TCMU_RBD_PROBE(tmr, recorder_.lun(), tmr.type, tmr.cmd_ids.size());
  const bool reset = tmr.type == kTmrLunReset || tmr.type == kTmrLunResetPro;
  counters_.lun_resets += reset;
  ++counters_.task_managements_by_type[std::to_underlying(kind_of_tmr(tmr.type))];
  for (const uint16_t cmd_id : tmr.cmd_ids) {
    // An id that is not here was completed before the kernel wrote this entry.
    const auto id = tasks_.find(cmd_id);
    if (!id) continue;
    ++counters_.aborts;
    recorder_.note({.time = now_,
                    .command = static_cast<uint32_t>(tasks_[*id].sequence),
                    .cmd_id = cmd_id,
                    .kind = FlightKind::kAborted,
                    .detail = tmr.type});
    ++counters_.aborts_by_stage[std::to_underlying(stage_of(tasks_[*id]))];
    outbox_.tell_of(tasks_[*id], Report::Kind::kAborted, now_, tmr.type);
    queue_.climb(*id, LadderEvent::kAborted, kTaskAborted);
  }
  if (!reset) return;
  copies_.forget_ended();
  // They are of commands that no id of ours names: those of other LUNs.
  tasks_.for_each([this](TaskId id) {
    if (tasks_[id].copy != 0) queue_.climb(id, LadderEvent::kAborted, kTaskAborted);
  });
  queue_.on_lun_reset();
}

void Device::take_effects(std::vector<Effect>& effects) {
  if (facts_asked_for_ == 0 && !awaiting_facts_.empty()) {
    facts_asked_for_ = awaiting_facts_.size();
    outbox_.add(FetchTargetFacts{});
  }
  outbox_.take(effects);
}

void Device::on_done(const OpDone& done, TimePoint now) {
  event(now, [&] { queue_.on_done(done); });
}

void Device::on_time(TimePoint now) {
  event(now, [&] { queue_.on_time(); });
}

void Device::on_away(AwayCause cause, Duration gap, TimePoint now) {
  event(now, [&] {
    queue_.on_away(cause, gap);
    cancel_copies();
  });
}

void Device::on_rate_limits(const task::RateLimits& limits, TimePoint now) {
  event(now, [&] { queue_.on_rate_limits(limits); });
}

void Device::on_blocklisted(TimePoint now) {
  event(now, [&] { queue_.on_blocklisted(); });
}

void Device::on_primary(bool primary, TimePoint now) {
  event(now, [&] { queue_.on_primary(primary); });
}

void Device::on_safe(bool safe, TimePoint now) {
  event(now, [&] { queue_.on_safe(safe); });
}

void Device::on_peer_asks(uint64_t request, TimePoint now) {
  event(now, [&] { queue_.on_peer_asks(request); });
}

void Device::on_operator_asks(uint64_t request, TimePoint now) {
  event(now, [&] { queue_.on_operator_asks(request); });
}

void Device::on_lock_event(lock::Outcome outcome, TimePoint now) {
  event(now, [&] { queue_.on_lock_event(outcome); });
}

void Device::on_reopened(Image& fresh, TimePoint now) {
  event(now, [&] { queue_.on_reopened(fresh); });
}

void Device::on_instance_closed(uint32_t instance, TimePoint now) {
  event(now, [&] { queue_.on_instance_closed(instance); });
}

// No command of a ring that another process has reset may begin: its memory belongs to other
// commands by now.
void Device::begin_event(TimePoint now) {
  now_ = now;
  queue_.set_time(now);
  if (!broken_.empty()) return;
  if (auto intact = ring_.look(); !intact) break_ring(std::move(intact.error()));
}

// When the ring is reset, by any process, the kernel answers the open commands. None of them may
// begin now, and a change that runs has to be ordered before whatever comes next.
void Device::break_ring(std::string reason) {
  broken_ = std::move(reason);
  ++counters_.ring_resets;
  const auto open = [](const Task& task) {
    return task.copy == 0 && task.state() != TaskState::kDetached &&
           task.state() != TaskState::kOrphaned;
  };
  tasks_.for_each([&](TaskId id) {
    if (!open(tasks_[id])) return;
    tasks_[id].abandoned = true;
    tasks_.forget_id(id);
  });
  tasks_.for_each([&](TaskId id) {
    if (open(tasks_[id])) queue_.climb(id, LadderEvent::kAborted, kTaskAborted);
  });
}

bool Device::ring_unused() {
  bool unused = true;
  tasks_.for_each([&](TaskId id) {
    const Task& task = tasks_[id];
    unused &= task.ops_pending == 0 || !reads_into_ring(id);
  });
  return unused;
}

void Device::restart(ring::Ring ring) {
  CHECK(ring_unused());
  ring_ = std::move(ring);
  outbox_.forget_buffers();
  broken_.clear();
}

}  // namespace tcmurbd
