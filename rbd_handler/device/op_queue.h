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
#include "rbd_handler/device/device_latency.h"
#include "rbd_handler/device/device_report.h"
#include "rbd_handler/device/device_settings.h"
#include "rbd_handler/device/device_snapshot.h"
#include "rbd_handler/device/flight_recorder.h"
#include "rbd_handler/device/outbox.h"
#include "rbd_handler/device/slow_log.h"
#include "rbd_handler/device/writes_state.h"
#include "rbd_handler/image.h"
#include "rbd_handler/lock/gate.h"
#include "rbd_handler/scsi/plan.h"
#include "rbd_handler/task/range_order.h"
#include "rbd_handler/task/task_table.h"
#include "rbd_handler/task/throttle.h"

namespace tcmurbd {

// The answer of a task that a task management function has ended.
inline constexpr scsi::Result kTaskAborted{scsi::ScsiStatus::kTaskAborted, {}};

// What an OpQueue requests from its Device. None of these calls the queue, or releases the task.
class QueueOwner {
 public:
  virtual ~QueueOwner() = default;

  // Where the data of an op that is about to begin is.
  virtual IovSpan op_data(task::TaskId id, const scsi::ImageOps::Op& op) = 0;
  // Whether the end of its read will still write to the command's data area.
  virtual bool reads_into_ring(task::TaskId id) = 0;
  // Answers the task before its ops have ended; `result` is not GOOD.
  virtual void respond_early(task::TaskId id, const scsi::Result& result, bool keep_buffer) = 0;
  // Answers the task with the result of its ops; a flush has none.
  virtual void respond_ended(task::TaskId id) = 0;
  // The task does not wait for target facts any more.
  virtual void leave_facts(task::TaskId id) = 0;
  // Ends the copy now, with `result`.
  virtual void cancel_copy(task::TaskId id, const scsi::Result& result) = 0;
};

class OpQueue {
 public:
  using TaskId = task::TaskId;

  // All must outlive the queue; `image` also each op submitted to it, after on_reopened() too.
  OpQueue(task::TaskTable& tasks, QueueOwner& owner, Outbox& outbox, DeviceCounters& counters,
          DeviceLatency& latency, SlowLog& slow, FlightRecorder& recorder, Image& image,
          const DeviceSettings& settings);

  // --- events: set_time() comes before each, settle() after it ---
  void set_time(TimePoint now) { now_ = now; }
  // Updates the lock's gate with the time, peers and ops in flight, and the waiting tasks with the
  // gate's state.
  void settle();

  // A planned task: it is submitted, waits, or is answered.
  // REQUIRES: it is in kParsed.
  void enter(TaskId id);
  void on_done(const OpDone& done);
  // Deadlines and QoS limits.
  void on_time();
  // An event of a task in any state: see task/ladder.h. `result`: its answer, if the event ends it
  // early.
  void climb(TaskId id, task::LadderEvent event, const scsi::Result& result);
  void on_lun_reset() { gate_.on_lun_reset(now_); }
  void on_away(AwayCause cause, Duration gap);
  // The following: see the Device's events of the same names.
  void on_kernel_limit(Duration cmd_time_out);
  void set_deadline(Duration wanted);
  void on_rate_limits(const task::RateLimits& limits);
  void on_primary(bool primary);
  void on_blocklisted();
  void on_safe(bool safe);
  void on_peer_asks(uint64_t request) { gate_.on_peer_asks(request); }
  void on_operator_asks(uint64_t request) { gate_.on_operator_asks(request); }
  // REQUIRES: not kReopened.
  void on_lock_event(lock::Outcome outcome);
  void on_reopened(Image& fresh);
  void on_instance_closed(uint32_t instance);

  // Whether the image can be written here, and whether changes may begin for now.
  bool primary() const { return primary_; }
  bool refuses_changes() const { return !safe_ || now_ < away_until_; }
  Duration away_limit() const { return away_limit_; }
  bool needs_time() const { return gate_.needs_time(); }
  // Never kReadOnly, which is the disk's.
  WritesState writes(TimePoint now) const;
  // The last change that needed space found none.
  bool full() const { return full_; }
  // Shows a task, and all but the tasks and the ring (device_snapshot.cc).
  OpSnapshot snapshot_of(const task::Task& task, TimePoint now) const;
  void fill_in(DeviceSnapshot& snapshot, TimePoint now) const;
  lock::State lock_state() const { return gate_.state(); }
  // The instance that serves, counted from 1.
  uint32_t instance() const { return instance_; }

 private:
  // How long changes are answered BUSY after this gateway was away: the kernel still delivers
  // commands of sessions that are gone; a live host retries.
  static constexpr Duration kQuarantine = std::chrono::seconds(5);
  // A change that waited longer than this for a hand-over of the lock does not begin: see
  // handed_over().
  static constexpr Duration kHandOverAge = std::chrono::seconds(2);
  // A reactor that did not run for this long was away. A healthy one runs many times a second.
  static constexpr Duration kAwayLimit = std::chrono::seconds(2);

  // --- to the image (op_queue.cc) ---
  // Whether `later` must not pass `earlier`.
  bool conflict(TaskId earlier, TaskId later);
  // Whether `queue` has an earlier task that it must not pass.
  bool waits_behind(TaskId id, const std::deque<TaskId>& queue);
  // Whether there are free op slots for its ops, and the QoS limits admit them.
  bool has_room(TaskId id);
  // Claims its ranges: it is submitted now, or when the earlier overlapping ops have ended.
  // REQUIRES: has_room().
  void order(TaskId id);
  // Submits its ops to the image, unless refusal() forbids it.
  void submit(TaskId id);
  // Submits its ops to the image.
  void begin(TaskId id);
  // Submits the tasks that are ready, and those that become ready by that.
  void submit_ready();
  // Calls order() for the tasks in the backlog that have room now.
  void start_backlog();
  // Moves a task to its next state, and records that.
  void move(TaskId id, task::TaskState to);
  // Records an event of a task.
  void record(const task::Task& task, FlightKind kind, uint8_t detail = 0, uint64_t a = 0,
              uint64_t b = 0);
  // Forgets a task that was answered and has no op in flight.
  void release(TaskId id);
  // Answers it and releases it. REQUIRES: it has no op in flight.
  void finish(TaskId id, const scsi::Result& result);

  // --- changes that must not begin (op_queue_away.cc) ---
  // The answer for a task that must not begin any more; no value: it may begin.
  std::optional<scsi::Result> refusal(TaskId id);
  // Whether the lock was acquired so long after the change was issued that its host may have
  // written newer data through the other gateway.
  bool handed_over(const task::Task& task) const;
  // Answers all waiting changes.
  void refuse_waiting_changes(const scsi::Result& result);
  // Begins the quarantine, and reports it.
  void note_away(AwayCause cause, Duration gap);
  // Another gateway took the lock or fenced the instance.
  void note_lost(AwayCause cause);
  // Reports when the pool is full, and when it has room again. For an op of a change.
  void note_space(OpKind kind, int32_t result);
  // Until its deadline, negative when it has passed. No value: it has none in its state.
  std::optional<Duration> time_left(const task::Task& task, TimePoint now) const;
  bool past_deadline(const task::Task& task) const;

  // --- commands that do not end in time (op_queue_ladder.cc): the steps of task/ladder.h ---
  // R0: removes it from the queue that it waits in, and answers it.
  void drop(TaskId id, const scsi::Result& result);
  // R1, R2: answers it while its ops continue.
  void detach(TaskId id, const scsi::Result& result);
  // R3: the instance of its ops is fenced.
  void orphan(TaskId id);
  // The normal end.
  void end_ops(TaskId id);
  // The ops of a task that was answered before have ended: releases its range and memory, unless
  // their outcome is still unknown.
  void forget(TaskId id);
  // Answers a change whose ops ended with an unknown outcome; its range stays locked.
  void hold_unknown(TaskId id);
  // Answers it while its ops continue, or their outcome is unknown.
  void become_detached(TaskId id, const scsi::Result& result);
  // Updates the command, the lock and the instance by the result of an op.
  void note_result(const OpDone& done);
  // Reports detached ops that hang, and answers commands past their deadline.
  void look_at_clocks();

  // --- the lock's gate (op_queue_gate.cc) ---
  // What the gate has to know of the tasks.
  lock::Load gates_load() const;
  // Forwards the effects of the gate.
  void take_gates_effects();
  // Whether the gate admits it now.
  bool gate_open(TaskId id);
  // Parks it at the gate, or answers it BUSY if the gate refuses waiters.
  void park(TaskId id);
  // The gate has closed: parks all tasks that are not in the image yet.
  void pull_back();
  // The gate has opened: parked tasks enter the queue again.
  void run_parked();
  // The gate refuses waiters: answers all parked tasks BUSY.
  void refuse_parked();
  // The instance is fenced: orphans its tasks; only the ranges of changes stay locked.
  void give_up_instance();

  task::TaskTable& tasks_;
  QueueOwner& owner_;
  Outbox& outbox_;
  DeviceCounters& counters_;
  DeviceLatency& latency_;
  SlowLog& slow_;
  FlightRecorder& recorder_;
  Image* image_;
  Duration wanted_deadline_;  // As configured.
  const bool reads_need_lock_;
  task::RangeOrder order_;
  lock::Gate gate_;
  task::Throttle throttle_;
  TimePoint now_{};  // Of the event under way.
  uint32_t instance_ = 1;
  Duration deadline_{};     // That in force: below the kernel's limit.
  Duration begin_limit_{};  // How old a change may be when it begins; zero: any age.
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
  lock::State lock_recorded_ = lock::State::kUnowned;
  std::vector<lock::PeerReply> replies_;  // Scratch, as is the next.
  std::vector<TaskId> ready_;             // Tasks in kAwaitingRange whose turn has come.
};

}  // namespace tcmurbd
