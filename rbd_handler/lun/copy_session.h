// SPDX-License-Identifier: Apache-2.0
// One EXTENDED COPY that runs: passes the ops of its CopyPipeline to the reactors of the disks, and
// their results back. It lives on the reactor of the LUN that received the command.
//
//     Device: copy to start -> CopySession -> the control thread finds the disks -> begin
//     CopyPipeline: op -> the disk's reactor -> its Device -> op_done -> CopyPipeline ...
//     finished -> Device answers
//     cancel -> each disk's Device aborts the ops of the copy -> left -> Device answers
//
// The answer to an abort waits for these messages and for nothing else.
#pragma once

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <expected>
#include <memory>
#include <vector>

#include "common/units.h"
#include "rbd_handler/copy/copy_pipeline.h"
#include "rbd_handler/scsi/copy.h"
#include "rbd_handler/task/task_id.h"

namespace tcmurbd::reactor {

class LunReactor;

// Where a disk is served. It may go away at any time.
struct CopyTarget {
  boost::asio::io_context* reactor = nullptr;
  std::weak_ptr<LunReactor> lun_reactor;
};

struct CopyPlan {
  scsi::CopyExtents extents;
  std::vector<CopyTarget> disks;  // By the extents' numbers.
  std::shared_ptr<void> budget;   // See CopyPipeline.
  Duration bound{};               // How long it may take, from when its command came.
};

class CopySession : public std::enable_shared_from_this<CopySession> {
 public:
  // `home`: the reactor of `owner`, whose Device has `task`.
  CopySession(boost::asio::io_context& home, std::weak_ptr<LunReactor> owner, task::TaskId task);

  // Of all copies of this process; not 0. Any thread.
  uint64_t id() const { return id_; }
  // It was cancelled: its command is answered or will be. Any thread.
  bool cancelled() const { return cancelled_.load(std::memory_order_relaxed); }
  // The disks are found, or the answer is known without. Any thread, once.
  void begin(std::expected<CopyPlan, scsi::Result> plan);
  // An op of it ended. Any thread.
  void op_done(uint32_t token, const scsi::Result& result);
  // A disk has no op of it any more that could begin. Any thread.
  void left();

  // Ends it now. Home reactor.
  void cancel();

 private:
  void begin_here(std::expected<CopyPlan, scsi::Result> plan);
  void join_disks(const scsi::CopyExtents& extents);
  void go_on();
  void send(copy::Op op);
  void leave_disks(bool tell);
  void end(const scsi::Result& result);

  boost::asio::io_context& home_;
  const std::weak_ptr<LunReactor> owner_;
  const task::TaskId task_;
  const uint64_t id_;
  std::atomic<bool> cancelled_{false};  // Written on the home reactor.
  // Home reactor only.
  TimePoint issued_{};  // When the command came.
  std::vector<CopyTarget> disks_;
  std::unique_ptr<copy::CopyPipeline> pipeline_;  // Null until it has begun.
  size_t leaving_ = 0;                            // Disks that have not called left() yet.
  std::vector<copy::Op> ops_;                     // Scratch.
};

}  // namespace tcmurbd::reactor
