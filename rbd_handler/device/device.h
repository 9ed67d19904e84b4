// SPDX-License-Identifier: Apache-2.0
// The conductor of one LUN: takes commands off the ring, has them planned, gives what touches the
// image to the OpQueue, and answers them. Pure: events and time come in as calls, effects go out
// through the ring, the image and what is taken; there are no threads, clocks, kernel or Ceph in
// here, so tests drive it step by step.
//
// Thread: the reactor that owns the LUN, and no other.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "rbd_handler/copy/copy_op.h"
#include "rbd_handler/device/device_counters.h"
#include "rbd_handler/device/device_gauges.h"
#include "rbd_handler/device/device_latency.h"
#include "rbd_handler/device/device_report.h"
#include "rbd_handler/device/device_settings.h"
#include "rbd_handler/device/device_snapshot.h"
#include "rbd_handler/device/effect.h"
#include "rbd_handler/device/flight_recorder.h"
#include "rbd_handler/device/op_queue.h"
#include "rbd_handler/device/outbox.h"
#include "rbd_handler/device/slow_log.h"
#include "rbd_handler/image.h"
#include "rbd_handler/ring/ring.h"
#include "rbd_handler/scsi/copy_history.h"
#include "rbd_handler/scsi/plan.h"
#include "rbd_handler/task/task_table.h"

namespace tcmurbd {

class Device : private QueueOwner {
 public:
  using TaskId = task::TaskId;

  // Entries taken off the ring per on_ring(): bounds the work of one wake-up, so that a busy LUN
  // does not starve its neighbours; large enough to fill a batch of the usual queue depths (64,
  // 128).
  static constexpr uint32_t kEntriesPerWake = 128;

  // How often on_time() is to be called while wants_time(). Bounds how late a deadline, a fence or
  // a hand-over may be; a fiftieth of a second is far below what any host notices.
  static constexpr Duration kTick = std::chrono::milliseconds(20);

  // `image` must outlive every op submitted to it, also after on_reopened() has replaced it.
  Device(ring::Ring ring, Image& image, const scsi::DiskFacts& disk,
         const DeviceSettings& settings = {});
  // The queue knows where it is.
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  // --- events ---
  // The kernel rang, or might have. True: entries are left, call again soon.
  bool on_ring(TimePoint now);
  // An image op ended.
  void on_done(const OpDone& done, TimePoint now);
  // Time passes.
  void on_time(TimePoint now);
  // What an action of the lock came to; see on_reopened() for one of them.
  // REQUIRES: not kReopened.
  void on_lock_event(lock::Outcome outcome, TimePoint now);
  // A fresh instance has the map in which the old one is blocklisted.
  void on_reopened(Image& fresh, TimePoint now);
  // All ops of an instance have ended and its connections are closed. Instances count from 1; each
  // that comes with on_reopened() is the next.
  void on_instance_closed(uint32_t instance, TimePoint now);
  // This gateway was away (op_queue_away.cc): the kernel or a host may have given up what waits,
  // what is in the ring, and what hosts that are gone have sent. Changes of these must not begin.
  // `gap`: for how long, if it is known.
  void on_away(AwayCause cause, Duration gap, TimePoint now);
  // attrib/cmd_time_out, as last read.
  void on_kernel_limit(Duration cmd_time_out) { queue_.on_kernel_limit(cmd_time_out); }
  // A reloaded one, also of the commands that are open.
  void set_deadline(Duration wanted) { queue_.set_deadline(wanted); }
  // What the image's settings, or its role in mirroring, are now.
  void on_rate_limits(const task::RateLimits& limits, TimePoint now);
  void on_primary(bool primary, TimePoint now);
  // The blocklist contains the current client instance: an op would be refused.
  void on_blocklisted(TimePoint now);
  // Whether changes are safe: else they are answered BUSY, and reads are served. The caller logs
  // the reason.
  void on_safe(bool safe, TimePoint now);
  // Another gateway wants the lock. `request` comes back with a lock::PeerReply.
  void on_peer_asks(uint64_t request, TimePoint now);
  // An operator wants it released, as Gate::on_operator_asks(). `request` comes back as above.
  void on_operator_asks(uint64_t request, TimePoint now);
  // The OSDs of a hung op that begins at `offset`, the primary one first.
  void on_hang_located(uint64_t offset, std::span<const int> osds, TimePoint now);
  // Fresh facts, as asked for with FetchTargetFacts.
  void on_target_facts(const scsi::TargetFacts& facts, TimePoint now);
  // attrib/dev_size was written. Served at once; each later command is held against the new size,
  // and the next one that may report it is answered with unit attention 2A/09 CAPACITY DATA HAS
  // CHANGED. (One per device: TCMU does not report initiators.)
  void on_resized(uint64_t bytes);

  // --- events of copies (device_copy.cc) ---
  // `task` (see CopyStart) is under way from now on: what it reads and writes has
  // deadlines of its own. `bound`: how long it may take, from when it came.
  // Returns when that was, for copy::Op::issued.
  TimePoint on_copy_begun(TaskId task, Duration bound, TimePoint now);
  void on_copy_progress(TaskId task, uint16_t segments, uint64_t bytes);
  // None of its reads and writes can touch an image again, but for those that hold their range.
  // `result`: its own, or that of being cut off where it is.
  void on_copy_ended(TaskId task, const scsi::Result& result, TimePoint now);
  // `copy`, whichever LUN that came to, will write to these ranges here. A change that comes later
  // and overlaps them takes precedence, as in the order of arrival: what `copy` has not written by
  // then is refused. Its host may have given the copy up, and a lost session aborts nothing. Until
  // on_copy_cancelled(), also when it has ended.
  void on_copy_joins(uint64_t copy, std::vector<ByteRange> writes);
  // A read or write for a copy, whichever LUN that came to: it goes the way of every command. Just
  // one CopyOpDone follows. `copy`: not 0.
  void on_copy_op(uint64_t copy, const copy::Op& op, TimePoint now);
  // All that is here of `copy` is aborted, at once.
  void on_copy_cancelled(uint64_t copy, TimePoint now);
  // The LUN goes away: copies that came to it get BUSY, those of others find no disk here any more.
  void on_leaving(TimePoint now);

  // The broken ring was reset and mapped anew.
  // REQUIRES: ring_unused().
  void restart(ring::Ring ring);

  // --- effects ---
  // Shows the kernel what was completed. True: ring the doorbell once.
  bool publish() { return broken_.empty() && ring_.publish(); }
  // Something changes as time passes: call on_time() within kTick.
  bool wants_time() const { return tasks_.size() != 0 || queue_.needs_time(); }
  // Appends what is to be done, in the order in which it came about. Only after the doorbell for
  // what publish() showed: see FreeKeptBuffer.
  void take_effects(std::vector<Effect>& effects);
  // Whether take_effects() would find some.
  bool has_effects() const {
    return !outbox_.empty() || (facts_asked_for_ == 0 && !awaiting_facts_.empty());
  }
  // Set when the ring is invalid, or was reset by another process: the reason.
  // Nothing is read from it or written to it then. What waited was dropped; ops in flight still
  // end, and changes hold their ranges until then. The kernel answers the commands when the ring is
  // reset.
  const std::string& broken_reason() const { return broken_; }
  // No op in flight will still write to the ring's data area.
  bool ring_unused();
  // How long the reactor may stand still before on_away() has to be called.
  Duration away_limit() const { return queue_.away_limit(); }

  // Nothing of the kernel's is open and nothing is with the image.
  bool idle() const { return tasks_.size() == 0; }
  size_t tasks() const { return tasks_.size(); }
  bool has_entries() const { return ring_.has_entries(); }
  const DeviceCounters& counters() const { return counters_; }
  const DeviceLatency& latency() const { return latency_; }
  // Looks at every task (device_gauges.cc).
  DeviceGauges gauges(TimePoint now) const;
  const scsi::DiskFacts& disk() const { return disk_; }
  lock::State lock_state() const { return queue_.lock_state(); }
  // The instance that serves; see on_instance_closed().
  uint32_t instance() const { return queue_.instance(); }
  // What it does now, for people: its `ops_max` oldest commands; in a few numbers; and the last
  // slow ones.
  DeviceSnapshot snapshot(TimePoint now, size_t ops_max) const;
  DeviceLoad load(TimePoint now) const;
  WritesState writes(TimePoint now) const;
  SlowReport slow(TimePoint now) const;
  FlightRecord flight(TimePoint now) const;
  // What it is made of, for a crash dump. Lives as long as the Device.
  const FlightLog& flight_log() const { return recorder_.log(); }
  // How long a slow command takes.
  void set_slow_after(Duration slow_after) { slow_.set_slow_after(slow_after); }
  // Ops that were answered and are still with librbd: of this instance and of earlier ones.
  uint32_t detached() const {
    return tasks_.count(task::TaskState::kDetached).tasks +
           tasks_.count(task::TaskState::kOrphaned).tasks;
  }

 private:
  // --- a command's way (device.cc) ---
  // Runs an event: time, the state of the ring, `fn`, then what follows from it.
  template <typename Fn>
  void event(TimePoint now, const Fn& fn) {
    begin_event(now);
    fn();
    queue_.settle();
  }
  // Looks whether the ring is still ours.
  void begin_event(TimePoint now);
  // True: entries are left.
  bool take_entries();
  // One that was just taken, of the operation that it is known to be.
  void count_command(const task::Task& task);
  // A command that was just taken.
  void start(TaskId id);
  // True: a condition was pending, and the command is answered with it.
  bool answer_unit_attention(TaskId id);
  // Answers it, begins its copy or queues its ops, as its plan says.
  void plan_and_run(TaskId id);
  // Cuts its data to what the ops move, and queues it.
  void start_image_ops(TaskId id);
  // A task management: sends what it names down the ladder.
  void on_tmr(const ring::TmrEntry& tmr);
  // The values of the log pages.
  scsi::AccessCounters access_counters() const;
  // The ring can't be followed, or was reset: drops what waits, detaches what runs.
  void break_ring(std::string reason);

  // --- answers (device_answers.cc) ---
  // Answers a command of which nothing is with the image, and forgets it.
  void answer(TaskId id, const scsi::Result& result, std::span<const uint8_t> data_in);
  // Fills the data area, then respond().
  void respond_with(TaskId id, const scsi::Result& result, std::span<const uint8_t> data_in);
  // Answers the kernel, or the copy that it is a piece of. The task stays: its ops may not have
  // ended.
  void respond(TaskId id, const scsi::Result& result, uint32_t read_length,
               bool keep_buffer = false);
  // How much of the data area a GOOD image op gives the initiator; 0: all of it.
  uint32_t length_to_tell(TaskId id);
  // As a QueueOwner.
  IovSpan op_data(TaskId id, const scsi::ImageOps::Op& op) override;
  bool reads_into_ring(TaskId id) override;
  void respond_early(TaskId id, const scsi::Result& result, bool keep_buffer) override;
  void respond_ended(TaskId id) override;
  void leave_facts(TaskId id) override;

  // --- copies (device_copy.cc) ---
  // Has it carried out, or answers BUSY.
  void start_copy(TaskId id, scsi::CopyRequest request);
  // As a QueueOwner.
  void cancel_copy(TaskId id, const scsi::Result& result) override;
  // BUSY to all that came to this LUN and run.
  void cancel_copies();
  // It is about to be queued: see on_copy_joins().
  void supersede_copies(const task::Task& task);
  bool superseded(uint64_t copy) const;

  ring::Ring ring_;
  scsi::DiskFacts disk_;
  scsi::TargetFacts target_;
  DeviceCounters counters_;
  DeviceLatency latency_;
  Outbox outbox_;
  SlowLog slow_;
  FlightRecorder recorder_;
  task::TaskTable tasks_;
  OpQueue queue_;
  TimePoint now_{};  // Of the event under way.
  uint64_t next_sequence_ = 1;
  std::vector<TaskId> awaiting_facts_;  // Tasks in kAwaitingFacts, oldest first; kNoTask: dropped.
  size_t facts_asked_for_ = 0;  // Of these, those that the fetch under way is for; 0: none is.
  std::optional<scsi::Sense> unit_attention_;
  scsi::CopyHistory copies_;
  // What copies write to on this LUN.
  struct CopyDestination {
    uint64_t copy = 0;  // A later one has a greater number.
    std::vector<ByteRange> writes{};
    bool superseded = false;
  };
  std::vector<CopyDestination> copy_destinations_;
  bool leaving_ = false;
  std::string broken_;
  ring::TmrEntry tmr_;  // Scratch, as is the next.
  std::vector<uint8_t> data_in_;
};

}  // namespace tcmurbd
