// SPDX-License-Identifier: Apache-2.0
// The reactor's half of a LUN: waits for wake-ups of the kernel and of librbd, passes events to the
// Device, and rings the doorbell once per batch.
//
// Thread: all of it, constructor and destructor excepted, runs on the LUN's reactor with the LUN's
// turn, but for drain_here(): while few commands are open, the thread of librbd that brings a
// completion takes the turn and answers the kernel itself (reactor/inbox.h says why). It takes
// nothing from the ring, touches no object of the loop and executes no effect; what is left of
// these it posts to the reactor. Nothing in here blocks, but for the doorbell, which runs the
// kernel's copy of read data in our call.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "common/crash_dump.h"
#include "rbd_handler/device/device.h"
#include "rbd_handler/kernel/configfs.h"
#include "rbd_handler/kernel/uio.h"
#include "rbd_handler/lun/copy_session.h"
#include "rbd_handler/reactor/heartbeat.h"
#include "rbd_handler/reactor/inbox.h"
#include "rbd_handler/trace/lun_trace.h"

namespace tcmurbd::reactor {

class LunReactor : public std::enable_shared_from_this<LunReactor> {
 public:
  // An EXTENDED COPY to find the disks for; CopySession::begin() is to be called some time later.
  struct FindDisks {
    scsi::CopyRequest request;
    std::shared_ptr<CopySession> run;
  };
  // The ring is invalid: the device must be blocked now. Once per broken ring.
  struct RingBroken {
    std::string reason;
  };
  // Nothing will write to its data area any more: it can be reset now, then restart(). Once per
  // broken ring, after RingBroken.
  struct RingUnused {};
  // What the control thread is asked for: these, and the device's effects that need it.
  using Request = std::variant<FetchTargetFacts, StartLockAction, lock::PeerReply, Report,
                               FindDisks, RingBroken, RingUnused>;
  // Only posts.
  using ToControl = std::function<void(Request)>;

  // What it works on; all must outlive it, and `image` all ops that it was given.
  struct Parts {
    LunLabel label;
    Heartbeat& heartbeat;  // Of the reactor.
    kernel::UioDevice& uio;
    std::optional<kernel::KeptBuffers> kept_buffers;  // If ring.supports_keep_buffer().
    std::shared_ptr<Inbox> inbox;
    Image& image;
    ring::Ring ring;
  };
  // `poll`: how long to look for more work before sleeping.
  LunReactor(boost::asio::io_context& reactor, Parts parts, const scsi::DiskFacts& disk,
             const DeviceSettings& settings, std::chrono::microseconds poll, ToControl to_control);

  ~LunReactor();

  // Looks at the ring first: work that was queued before the open raises no event.
  void start();
  // Continues until no command is open and no op is in flight, then stops and calls `done`; not
  // bounded if RADOS hangs. Nothing runs and no image op is in flight after `done`.
  void drain(std::function<void()> done);
  // Passes an event to the device, and executes its effects.
  template <typename Fn>
  void apply(const Fn& event) {
    const TurnLock turn(inbox_->turn);
    const TimePoint now = look();
    event(device_, now);
    run_at(now);
  }
  void resize(uint64_t bytes);
  // After `broken`, with the ring that was reset.
  void restart(ring::Ring ring);

  // A read or write of a copy; CopySession::op_done() follows.
  void copy_op(const std::shared_ptr<CopySession>& copy, const copy::Op& op);
  // What this copy will write to here: see Device::on_copy_joins().
  void copy_joins(const CopySession& copy, std::vector<ByteRange> writes);
  // No op of this copy begins here any more; those in flight only keep their ranges locked.
  void copy_leaves(const CopySession& copy);
  // How far a copy is that came to this LUN, and its end.
  void copy_progress(task::TaskId task, uint16_t segments, uint64_t bytes);
  void copy_ended(task::TaskId task, const scsi::Result& result);

  // Shows `fn` the device, with the turn.
  template <typename Fn>
  void show(const Fn& fn) {
    const TurnLock turn(inbox_->turn);
    fn(std::as_const(device_));
  }

 private:
  // Open commands up to which a thread of librbd answers the kernel itself. It then rings the
  // doorbell for each op; beyond a few, the reactor answers more than one op per doorbell.
  static constexpr size_t kFewTasks = 4;

  void wait_for_kernel();
  void wait_for_inbox();
  void wait_for_time() REQUIRES_LOCK(inbox_->turn);
  void run();
  void run_at(TimePoint now) REQUIRES_LOCK(inbox_->turn);
  TimePoint look() REQUIRES_LOCK(inbox_->turn);
  // On a thread of librbd; see Inbox.
  bool drain_here() REQUIRES_LOCK(inbox_->turn);
  void post_run() REQUIRES_LOCK(inbox_->turn);
  // Executes the device's effects, or passes them to the control thread.
  void hand_out() REQUIRES_LOCK(inbox_->turn);
  void begin_copy(CopyStart& start);
  void poll_or_sleep(bool worked, bool more) REQUIRES_LOCK(inbox_->turn);
  void settle() REQUIRES_LOCK(inbox_->turn);

  boost::asio::io_context& reactor_;
  Heartbeat& heartbeat_;
  kernel::UioDevice& uio_;
  std::optional<kernel::KeptBuffers> kept_buffers_;
  const std::shared_ptr<Inbox> inbox_;  // And the turn.
  // Used on the reactor only.
  boost::asio::posix::stream_descriptor uio_wait_;  // Borrow their descriptors.
  boost::asio::posix::stream_descriptor inbox_wait_;
  boost::asio::steady_timer timer_;
  TimePoint poll_until_{};
  bool told_broken_ = false;
  bool told_unused_ = false;
  std::map<task::TaskId, std::shared_ptr<CopySession>> copies_;  // That came to this LUN, by task.
  std::map<uint64_t, std::shared_ptr<CopySession>>
      guests_;                   // Copies of other LUNs that read or write here, by their id.
  std::vector<Effect> effects_;  // Scratch.
  // Used by the thread that has the turn.
  const std::chrono::microseconds poll_;
  const ToControl to_control_;
  Device device_ GUARDED_BY(inbox_->turn);
  const CrashRegion crash_region_;                // Its flight recorder.
  bool serves_ GUARDED_BY(inbox_->turn) = false;  // From start() until it is drained.
  // The last time that the reactor asked the heartbeat. Gaps from before the LUN was there are not
  // its own; events may come before start().
  TimePoint looked_ GUARDED_BY(inbox_->turn) = Heartbeat::now();
  bool timer_armed_ GUARDED_BY(inbox_->turn) = false;
  bool run_posted_ GUARDED_BY(inbox_->turn) = false;
  std::function<void()> drained_ GUARDED_BY(inbox_->turn);
};

}  // namespace tcmurbd::reactor
