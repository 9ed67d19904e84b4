// SPDX-License-Identifier: Apache-2.0
// The reactor's half of a LUN: waits for the kernel's and librbd's wake-ups, feeds the Device and
// rings the doorbell once a batch.
//
// Thread: all of it, constructor and destructor excepted, runs on the LUN's reactor; nothing in
// here blocks, but for the doorbell, which runs the kernel's copy of read data in our call.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <chrono>
#include <functional>
#include <memory>

#include "common/log.h"
#include "rbd_handler/device.h"
#include "rbd_handler/kernel/uio.h"
#include "rbd_handler/reactor/inbox.h"

namespace tcmurbd::reactor {

class Serving : public std::enable_shared_from_this<Serving> {
 public:
  struct Hooks {
    // Fetch what configfs says now, on a thread that may block, then call on_target_facts on the
    // reactor.
    std::function<void()> fetch_target_facts;
    // The ring can't be followed any more and all that was open has ended; once per broken ring.
    std::function<void(const std::string& reason)> broken;
  };

  // `uio`, `inbox` and `image` must outlive it. `poll`: how long to look for more work before
  // sleeping.
  Serving(boost::asio::io_context& reactor, kernel::UioDevice& uio, Inbox& inbox, Image& image,
          ring::Ring ring, const scsi::DiskFacts& disk, std::chrono::microseconds poll,
          Hooks hooks);

  ~Serving();

  // Looks at the ring first: work that was queued before the open raises no event.
  void start();
  // Goes on until nothing is open and nothing is with the image, then stops and calls `done`; it
  // may take for ever when RADOS hangs. Nothing runs and no image op is in flight after `done`.
  void drain(std::function<void()> done);
  void on_target_facts(const scsi::TargetFacts& facts);
  void resize(uint64_t bytes);
  // After `broken`, with the ring that was reset.
  void restart(ring::Ring ring);

  const Device& device() const { return device_; }

 private:
  void wait_for_kernel();
  void wait_for_inbox();
  void run();
  void poll_or_sleep(bool worked, bool more);
  void settle();

  boost::asio::io_context& reactor_;
  kernel::UioDevice& uio_;
  Inbox& inbox_;
  boost::asio::posix::stream_descriptor uio_wait_;  // Borrow their descriptors.
  boost::asio::posix::stream_descriptor inbox_wait_;
  const std::chrono::microseconds poll_;
  const Hooks hooks_;
  Device device_;
  TimePoint poll_until_{};
  bool run_posted_ = false;
  bool told_broken_ = false;
  std::function<void()> drained_;
};

}  // namespace tcmurbd::reactor
