// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/lun/lun_reactor.h"

#include <boost/asio/post.hpp>
#include <exception>
#include <span>
#include <tuple>
#include <type_traits>
#include <utility>

namespace tcmurbd::reactor {

namespace asio = boost::asio;
using boost::system::error_code;

namespace {
// Returns how many.
size_t end_ops(Inbox& inbox, Device& device, TimePoint now) REQUIRES_LOCK(inbox.turn) {
  return inbox.drain([&device, now](const OpDone& done) { device.on_done(done, now); });
}
}  // namespace

LunReactor::LunReactor(asio::io_context& reactor, Parts parts, const scsi::DiskFacts& disk,
                       const DeviceSettings& settings, std::chrono::microseconds poll,
                       ToControl to_control)
    : reactor_(reactor),
      heartbeat_(parts.heartbeat),
      uio_(parts.uio),
      kept_buffers_(std::move(parts.kept_buffers)),
      inbox_(std::move(parts.inbox)),
      uio_wait_(reactor),
      inbox_wait_(reactor),
      timer_(reactor),
      poll_(poll),
      to_control_(std::move(to_control)),
      device_(std::move(parts.ring), parts.image, disk, settings),
      crash_region_(parts.label.name, parts.label.image,
                    std::as_bytes(std::span(&device_.flight_log(), 1))) {}

LunReactor::~LunReactor() {
  const TurnLock turn(inbox_->turn);
  inbox_->set_drain_here({});
  if (uio_wait_.is_open()) uio_wait_.release();
  if (inbox_wait_.is_open()) inbox_wait_.release();
}

void LunReactor::start() {
  uio_wait_.assign(uio_.fd());
  inbox_wait_.assign(inbox_->fd());
  {
    const TurnLock turn(inbox_->turn);
    serves_ = true;
    looked_ = Heartbeat::now();
    inbox_->set_drain_here([this]() REQUIRES_LOCK(inbox_->turn) { return drain_here(); });
  }
  wait_for_kernel();
  wait_for_inbox();
  run();
}

void LunReactor::wait_for_kernel() {
  uio_wait_.async_wait(asio::posix::stream_descriptor::wait_read,
                       [self = shared_from_this()](const error_code& error) {
                         if (error) return;
                         // Read the event counter before the ring: what is queued in between wakes
                         // us again. False: the device was taken away (its REMOVED event follows);
                         // nothing can come of it.
                         const bool alive = self->uio_.clear_events() == kernel::UioState::kAlive;
                         self->run();
                         if (alive && self->uio_wait_.is_open()) self->wait_for_kernel();
                       });
}

void LunReactor::wait_for_inbox() {
  inbox_wait_.async_wait(asio::posix::stream_descriptor::wait_read,
                         [self = shared_from_this()](const error_code& error) {
                           if (error) return;
                           self->inbox_->clear_event();
                           self->run();
                           if (self->inbox_wait_.is_open()) self->wait_for_inbox();
                         });
}

// Each turn begins here: before anything of the ring is looked at, the device knows whether the
// reactor was away.
TimePoint LunReactor::look() {
  const TimePoint now = Heartbeat::now();
  const Duration gap = heartbeat_.longest_gap(looked_, now);
  looked_ = now;
  if (gap > device_.away_limit()) device_.on_away(AwayCause::kReactorGap, gap, now);
  return now;
}

void LunReactor::run() {
  const TurnLock turn(inbox_->turn);
  run_at(look());
}

void LunReactor::run_at(TimePoint now) {
  if (!serves_) return;  // Drained; this call was posted before.
  const size_t ended = end_ops(*inbox_, device_, now);
  const uint64_t commands_before = device_.counters().commands;
  const bool more = device_.on_ring(now);
  if (device_.publish()) uio_.kick();
  hand_out();
  settle();
  poll_or_sleep(ended != 0 || device_.counters().commands != commands_before, more);
  inbox_->invite(serves_ && device_.tasks() <= kFewTasks);
}

// An op that waited for one of these may begin here. So it does nothing if the reactor was away, or
// if it may have been and has not looked since: the reactor reports it to the device first (see
// look()). Draining is the reactor's too, as it ends with the descriptors that it waits for.
bool LunReactor::drain_here() {
  const TimePoint now = Heartbeat::now();
  if (!serves_ || drained_ || device_.tasks() > kFewTasks || !heartbeat_.steady(looked_, now))
    return false;
  try {
    end_ops(*inbox_, device_, now);
    if (device_.publish()) uio_.kick();
    const bool wants_timer = device_.wants_time() && !timer_armed_;
    if (device_.has_effects() || !device_.broken_reason().empty() || wants_timer) post_run();
  } catch (...) {  // librbd's thread is no place for it: the reactor's is, see Daemon::run_reactor.
    asio::post(reactor_, [error = std::current_exception()] { std::rethrow_exception(error); });
  }
  return true;
}

void LunReactor::post_run() {
  if (run_posted_) return;
  run_posted_ = true;
  asio::post(reactor_, [weak = weak_from_this()] {
    const auto self = weak.lock();
    if (!self) return;
    const TurnLock turn(self->inbox_->turn);
    self->run_posted_ = false;
    self->run_at(self->look());
  });
}

// After the kernel has its answers. None of the calls into a CopySession comes back from within: it
// posts.
void LunReactor::hand_out() {
  device_.take_effects(effects_);
  const OnEffect act{
      [this](const FreeKeptBuffer& buffer) {
        // It fails for a device that was removed, whose buffers go with the mapping. Any other
        // failure is of this one id, and the next ones are freed all the same.
        std::ignore = kept_buffers_->free(buffer.cmd_id);  // NOLINT(bugprone-unused-return-value)
      },
      [this](const CopyOpDone& done) {
        if (const auto guest = guests_.find(done.copy); guest != guests_.end())
          guest->second->op_done(done.token, done.result);
      },
      [this](CopyStart& start) { begin_copy(start); },
      [this](const CopyCancel& cancel) { copies_.at(cancel.task)->cancel(); },
      [this](auto& request)
        requires std::is_constructible_v<Request, decltype(request)>
      { to_control_(std::move(request)); },
      };
  for (Effect& effect : effects_) std::visit(act, effect);
  effects_.clear();
  if (device_.wants_time() && !timer_armed_) wait_for_time();
}

void LunReactor::begin_copy(CopyStart& start) {
  const auto run = std::make_shared<CopySession>(reactor_, weak_from_this(), start.task);
  copies_[start.task] = run;
  to_control_(FindDisks{std::move(start.request), run});
}

void LunReactor::copy_op(const std::shared_ptr<CopySession>& copy, const copy::Op& op) {
  if (!uio_wait_.is_open()) {  // Drained.
    copy->op_done(op.token, scsi::Result::check(scsi::kCopyTargetNotReachable));
    return;
  }
  guests_.try_emplace(copy->id(), copy);
  apply([&](Device& device, TimePoint now) { device.on_copy_op(copy->id(), op, now); });
}

void LunReactor::copy_joins(const CopySession& copy, std::vector<ByteRange> writes) {
  const TurnLock turn(inbox_->turn);
  device_.on_copy_joins(copy.id(), std::move(writes));
}

void LunReactor::copy_leaves(const CopySession& copy) {
  apply([&](Device& device, TimePoint now) { device.on_copy_cancelled(copy.id(), now); });
  guests_.erase(copy.id());
}

void LunReactor::copy_progress(task::TaskId task, uint16_t segments, uint64_t bytes) {
  const TurnLock turn(inbox_->turn);
  device_.on_copy_progress(task, segments, bytes);
}

void LunReactor::copy_ended(task::TaskId task, const scsi::Result& result) {
  copies_.erase(task);
  apply([&](Device& device, TimePoint now) { device.on_copy_ended(task, result, now); });
}

void LunReactor::wait_for_time() {
  timer_armed_ = true;
  timer_.expires_after(Device::kTick);
  timer_.async_wait([self = shared_from_this()](const error_code& error) {
    const TurnLock turn(self->inbox_->turn);
    self->timer_armed_ = false;
    if (error || !self->serves_) return;
    const TimePoint now = self->look();
    self->device_.on_time(now);
    self->run_at(now);
  });
}

// Work that is left, or may come at once, is looked at from the loop's queue and not from here:
// neighbours of this reactor get their turn in between.
void LunReactor::poll_or_sleep(bool worked, bool more) {
  if (!serves_) return;
  if (poll_.count() != 0 && !more) {
    const TimePoint now = std::chrono::steady_clock::now();
    if (worked) poll_until_ = now + poll_;
    more = now < poll_until_;
  }
  if (more) post_run();
}

void LunReactor::settle() {
  if (!device_.broken_reason().empty() && !told_broken_) {
    told_broken_ = true;
    to_control_(RingBroken{device_.broken_reason()});
  }
  if (told_broken_ && !told_unused_ && device_.ring_unused()) {
    told_unused_ = true;
    to_control_(RingUnused{});
  }
  if (!device_.idle()) return;
  if (!drained_ || (device_.has_entries() && !told_broken_)) return;
  serves_ = false;
  inbox_->set_drain_here({});
  uio_wait_.release();
  inbox_wait_.release();
  timer_.cancel();
  std::exchange(drained_, nullptr)();
}

void LunReactor::drain(std::function<void()> done) {
  const TurnLock turn(inbox_->turn);
  drained_ = std::move(done);
  const TimePoint now = look();
  device_.on_leaving(now);
  run_at(now);
}

void LunReactor::resize(uint64_t bytes) {
  const TurnLock turn(inbox_->turn);
  device_.on_resized(bytes);
}

void LunReactor::restart(ring::Ring ring) {
  const TurnLock turn(inbox_->turn);
  told_broken_ = told_unused_ = false;
  device_.restart(std::move(ring));
  run_at(look());
}

}  // namespace tcmurbd::reactor
