// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/reactor/serving.h"

#include <boost/asio/post.hpp>
#include <utility>

namespace tcmurbd::reactor {

namespace asio = boost::asio;
using boost::system::error_code;

Serving::Serving(asio::io_context& reactor, kernel::UioDevice& uio, Inbox& inbox, Image& image,
                 ring::Ring ring, const scsi::DiskFacts& disk, std::chrono::microseconds poll,
                 Hooks hooks)
    : reactor_(reactor),
      uio_(uio),
      inbox_(inbox),
      uio_wait_(reactor),
      inbox_wait_(reactor),
      poll_(poll),
      hooks_(std::move(hooks)),
      device_(std::move(ring), image, disk) {}

Serving::~Serving() {
  if (uio_wait_.is_open()) uio_wait_.release();
  if (inbox_wait_.is_open()) inbox_wait_.release();
}

void Serving::start() {
  uio_wait_.assign(uio_.fd());
  inbox_wait_.assign(inbox_.fd());
  wait_for_kernel();
  wait_for_inbox();
  run();
}

void Serving::wait_for_kernel() {
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

void Serving::wait_for_inbox() {
  inbox_wait_.async_wait(asio::posix::stream_descriptor::wait_read,
                         [self = shared_from_this()](const error_code& error) {
                           if (error) return;
                           self->inbox_.clear_event();
                           self->run();
                           if (self->inbox_wait_.is_open()) self->wait_for_inbox();
                         });
}

void Serving::run() {
  if (!uio_wait_.is_open()) return;  // Drained; this call was posted before.
  const TimePoint now = std::chrono::steady_clock::now();
  const size_t ended = inbox_.drain([&](const OpDone& done) { device_.on_done(done, now); });
  const uint64_t commands_before = device_.counters().commands;
  const bool more = device_.on_ring(now);
  if (device_.wants_target_facts()) hooks_.fetch_target_facts();
  if (device_.publish()) uio_.kick();
  settle();
  poll_or_sleep(ended != 0 || device_.counters().commands != commands_before, more);
}

// Work that is left, or may come at once, is looked at from the loop's queue and not from here:
// neighbours of this reactor get their turn in between.
void Serving::poll_or_sleep(bool worked, bool more) {
  if (!uio_wait_.is_open()) return;
  if (poll_.count() != 0 && !more) {
    const TimePoint now = std::chrono::steady_clock::now();
    if (worked) poll_until_ = now + poll_;
    more = now < poll_until_;
  }
  if (!more || run_posted_) return;
  run_posted_ = true;
  asio::post(reactor_, [self = shared_from_this()] {
    self->run_posted_ = false;
    self->run();
  });
}

void Serving::settle() {
  if (!device_.idle()) return;
  if (!device_.broken_reason().empty() && !told_broken_) {
    told_broken_ = true;
    hooks_.broken(device_.broken_reason());
  }
  if (!drained_ || (device_.has_entries() && !told_broken_)) return;
  uio_wait_.release();
  inbox_wait_.release();
  std::exchange(drained_, nullptr)();
}

void Serving::drain(std::function<void()> done) {
  drained_ = std::move(done);
  run();
}

void Serving::on_target_facts(const scsi::TargetFacts& facts) {
  device_.on_target_facts(facts, std::chrono::steady_clock::now());
  run();
}

void Serving::resize(uint64_t bytes) { device_.on_resized(bytes); }

void Serving::restart(ring::Ring ring) {
  told_broken_ = false;
  device_.restart(std::move(ring));
  run();
}

}  // namespace tcmurbd::reactor
