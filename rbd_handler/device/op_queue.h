// SPDX-License-Identifier: Apache-2.0
// A task's way from its plan to its real end: the lock's gate, room among the ops in flight and the
// image's QoS limits, the order of ranges, whether it may still begin, and what is to be done with
// it when it does not end in time. What a command is answered with, and where its data lies, is its
// QueueOwner's: there are no rings and no CDBs in here.
//
// Pure; events and time come in. Reactor thread.
#pragma once

#include <deque>
#include <optional>
#include <vector>

#include "rbd_handler/device/device_counters.h"
#include "rbd_handler/device/device_report.h"
#include "rbd_handler/device/device_settings.h"
#include "rbd_handler/device/outbox.h"
#include "rbd_handler/image.h"
#include "rbd_handler/lock/gate.h"
#include "rbd_handler/scsi/plan.h"
#include "rbd_handler/task/range_order.h"
#include "rbd_handler/task/task_table.h"
#include "rbd_handler/task/throttle.h"

namespace tcmurbd {

// What a task is answered with that a task management has ended.
inline constexpr scsi::Result kTaskAborted{scsi::ScsiStatus::kTaskAborted, {}};

// What an OpQueue asks of the Device around it. None of these comes back into the queue, or
// releases the task.
class QueueOwner {
 public:
  virtual ~QueueOwner() = default;

  // Where the data of an op that is about to begin is.
  virtual IovSpan op_data(task::TaskId id, const scsi::ImageOps::Op& op) = 0;
  // Whether the end of its read will still write to the command's data area.
  virtual bool reads_into_ring(task::TaskId id) = 0;
  // Answers it without its ops; `result` is not GOOD.
  virtual void respond_early(task::TaskId id, const scsi::Result& result, bool keep_buffer) = 0;
  // Answers it with what its ops came to; a flush has none.
  virtual void respond_ended(task::TaskId id) = 0;
  // It waits for target facts no more.
  virtual void leave_facts(task::TaskId id) = 0;
  // The copy is to end now, with `result`.
  virtual void cancel_copy(task::TaskId id, const scsi::Result& result) = 0;
};

class OpQueue {
 public:
  using TaskId = task::TaskId;

  // All must outlive it; `image` also every op that it was given, after on_reopened() too.
  OpQueue(task::TaskTable& tasks, QueueOwner& owner, Outbox& outbox, DeviceCounters& counters,
          Image& image, const DeviceSettings& settings);

  // --- events: set_time() comes before each, settle() after it ---
  void set_time(TimePoint now) { now_ = now; }
  // The time, peers, and what is under way have their effect on the lock's gate, and the gate on
  // who waits.
  void settle();

  // A task that was planned: it runs, or waits for what it has to wait for, or is answered.
  // REQUIRES: it is in kParsed.
  void enter(TaskId id);
  void on_done(const OpDone& done);
  // Deadlines and QoS limits.
  void on_time();
  // Something happened to a task, wherever it is: see task/ladder.h. `result`: its answer, if that
  // ends it early.
  void climb(TaskId id, task::LadderEvent event, const scsi::Result& result);
  void on_lun_reset() { gate_.on_lun_reset(now_); }
  void on_away(AwayCause cause, Duration gap);
  // What follows: see the Device's events of the same names.
  void on_kernel_limit(Duration cmd_time_out);
  void on_rate_limits(const task::RateLimits& limits);
  void on_primary(bool primary);
  void on_safe(bool safe);
  void on_peer_asks(uint64_t request) { gate_.on_peer_asks(request); }
  // REQUIRES: not kReopened.
  void on_lock_event(lock::Outcome outcome);
  void on_reopened(Image& fresh);
  void on_instance_closed(uint32_t instance);

  // Whether the image can be written here, and whether changes may begin for now.
  bool primary() const { return primary_; }
  bool refuses_changes() const { return !safe_ || now_ < away_until_; }
  Duration away_limit() const { return away_limit_; }
  bool needs_time() const { return gate_.needs_time(); }
  lock::State lock_state() const { return gate_.state(); }
  // The instance that serves, counted from 1.
  uint32_t instance() const { return instance_; }

 private:
  // After having been away, changes that arrive are answered BUSY for so long: the kernel delivers
  // what a session that is gone had sent before, a live host sends again.
  static constexpr Duration kQuarantine = std::chrono::seconds(5);
  // A change that has waited for longer than this while the lock changed hands does not begin: its
  // host may have gone to the other gateway meanwhile, where newer data was written.
  static constexpr Duration kHandOverAge = std::chrono::seconds(2);
  // A reactor that does not run for so long was away. A healthy one runs many times a second.
  static constexpr Duration kAwayLimit = std::chrono::seconds(2);

  // --- to the image (op_queue.cc) ---
  // Whether `later` must not pass `earlier`.
  bool conflict(TaskId earlier, TaskId later);
  // Whether one of `queue` came before it that it must not pass.
  bool waits_behind(TaskId id, const std::deque<TaskId>& queue);
  // Whether its ops fit in, and the QoS limits let them.
  bool has_room(TaskId id);
  // Takes its claim: it runs now, or when the ops it must not pass have ended.
  // REQUIRES: has_room().
  void order(TaskId id);
  // Its turn has come: its ops go to the image, unless it is refused.
  void submit(TaskId id);
  // Gives its ops to the image.
  void begin(TaskId id);
  // Submits those whose turn has come, and whose turn comes by that.
  void submit_ready();
  // Orders those in the backlog that have room now.
  void start_backlog();
  // Its answer, and its end: no op of it is with the image.
  void finish(TaskId id, const scsi::Result& result);

  // --- what must not begin (op_queue_away.cc) ---
  // The answer for a task that must not begin any more, if it is one.
  std::optional<scsi::Result> refusal(TaskId id);
  // Answers all changes that wait.
  void refuse_waiting_changes(const scsi::Result& result);
  // Begins the quarantine, and tells of it.
  void note_away(AwayCause cause, Duration gap);
  // The lock or the instance was taken from us.
  void note_lost();
  // Tells when the pool is full, and when it has room again. Of an op of a change.
  void note_space(OpKind kind, int32_t result);
  // Whether its time to be answered is over.
  bool past_deadline(const task::Task& task) const;

  // --- what does not end in time (op_queue_ladder.cc): the steps of task/ladder.h ---
  // R0: out of whatever it waits in, and answered.
  void drop(TaskId id, const scsi::Result& result);
  // R1, R2: answered; what its ops may still do is dealt with.
  void detach(TaskId id, const scsi::Result& result);
  // R3: its instance is given up.
  void orphan(TaskId id);
  // The normal end.
  void end_ops(TaskId id);
  // The end of what was answered long ago: its range and memory are free, unless nobody knows yet
  // that it has ended.
  void forget(TaskId id);
  // Answers a change whose ops have ended without anybody knowing how; it holds its range.
  void hold_unknown(TaskId id);
  // Answers it while its ops go on, or nobody knows their end.
  void become_detached(TaskId id, const scsi::Result& result);
  // What an op's result says of its command, the lock and the instance.
  void note_result(const OpDone& done);
  // Tells of detached ops that hang, and answers what is past its deadline.
  void look_at_clocks();

  // --- the lock's gate (op_queue_gate.cc) ---
  // What the gate wants done.
  void take_gates_effects();
  // Whether the gate lets it through now.
  bool gate_open(TaskId id);
  // Waits at the gate, or is answered if the wait has no end.
  void park(TaskId id);
  // The gate has closed: what is not with the image waits at it again.
  void pull_back();
  // The gate has opened: who waits at it goes through the queue anew.
  void run_parked();
  // The wait has no end: BUSY to all who wait at the gate.
  void refuse_parked();
  // The instance is fenced: nothing of its ops matters any more, but for the ranges of changes.
  void give_up_instance();

  task::TaskTable& tasks_;
  QueueOwner& owner_;
  Outbox& outbox_;
  DeviceCounters& counters_;
  Image* image_;
  const Duration wanted_deadline_;  // As configured.
  const bool reads_need_lock_;
  task::RangeOrder order_;
  lock::Gate gate_;
  task::Throttle throttle_;
  TimePoint now_{};  // Of the event under way.
  uint32_t instance_ = 1;
  Duration deadline_{};     // That in force: below the kernel's limit.
  Duration begin_limit_{};  // How old a change may be when it begins; zero: as old as it likes.
  Duration away_limit_{};
  TimePoint away_until_{};   // The quarantine's end.
  TimePoint owned_since_{};  // Of the lock.
  bool primary_;
  bool safe_;
  bool full_ = false;                      // The last change that needed space found none.
  std::deque<TaskId> parked_;              // Tasks in kAwaitingLock, oldest first.
  std::deque<TaskId> backlog_;             // Tasks in kBacklog, oldest first.
  Duration oldest_detached_{};             // Age of the oldest one that ought to be fenced.
  bool gate_was_open_[2] = {true, false};  // For reads, for changes: as last acted upon.
  std::vector<lock::PeerReply> replies_;   // Scratch, as is the next.
  std::vector<TaskId> ready_;              // Tasks in kAwaitingRange whose turn has come.
};

}  // namespace tcmurbd
