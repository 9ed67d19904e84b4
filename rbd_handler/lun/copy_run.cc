// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/lun/copy_run.h"

#include <boost/asio/post.hpp>
#include <utility>

#include "rbd_handler/lun/serving.h"

namespace tcmurbd::reactor {

namespace asio = boost::asio;

namespace {
std::atomic<uint64_t> last_id{0};
}  // namespace

CopyRun::CopyRun(asio::io_context& home, std::weak_ptr<Serving> owner, task::TaskId task)
    : home_(home), owner_(std::move(owner)), task_(task), id_(++last_id) {}

void CopyRun::begin(std::expected<CopyOrder, scsi::Result> order) {
  asio::post(home_, [self = shared_from_this(), order = std::move(order)]() mutable {
    self->begin_here(std::move(order));
  });
}

void CopyRun::op_done(uint32_t token, const scsi::Result& result) {
  asio::post(home_, [self = shared_from_this(), token, result] {
    if (self->cancelled()) return;
    self->job_->on_done(token, result);
    self->go_on();
  });
}

void CopyRun::left() {
  asio::post(home_, [self = shared_from_this()] {
    if (--self->leaving_ == 0) self->end(self->job_->result_if_cut_off());
  });
}

void CopyRun::begin_here(std::expected<CopyOrder, scsi::Result> order) {
  const auto owner = owner_.lock();
  if (cancelled() || !owner) return;
  if (!order) {
    end(order.error());
    return;
  }
  disks_ = std::move(order->disks);
  job_ = std::make_unique<copy::CopyJob>(order->extents, std::move(order->budget));
  owner->apply(
      [&](Device& device, TimePoint now) { device.on_copy_begun(task_, order->bound, now); });
  if (!cancelled()) go_on();
}

void CopyRun::go_on() {
  if (const auto owner = owner_.lock())
    owner->copy_progress(task_, job_->segments_done(), job_->bytes_done());
  ops_.clear();
  job_->take_ops(ops_);
  for (copy::Op& op : ops_) send(std::move(op));
  if (!job_->finished()) return;
  leave_disks(false);
  end(job_->result());
}

void CopyRun::send(copy::Op op) {
  const CopyPlace& disk = disks_[op.disk];
  asio::post(*disk.reactor,
             [self = shared_from_this(), serving = disk.serving, op = std::move(op)] {
               if (const auto there = serving.lock()) {
                 there->copy_op(self, op);
               } else {
                 self->op_done(op.token, scsi::Result::check(scsi::kCopyTargetNotReachable));
               }
             });
}

void CopyRun::leave_disks(bool tell) {
  for (const CopyPlace& disk : disks_) {
    asio::post(*disk.reactor, [self = shared_from_this(), serving = disk.serving, tell] {
      if (const auto there = serving.lock()) there->copy_leaves(*self);
      if (tell) self->left();
    });
  }
}

void CopyRun::cancel() {
  cancelled_.store(true, std::memory_order_relaxed);
  if (disks_.empty()) {
    // Nothing was begun. Not from within this call: it comes out of the owner's Device.
    asio::post(home_, [self = shared_from_this()] { self->end(scsi::Result::busy()); });
    return;
  }
  leaving_ = disks_.size();
  leave_disks(true);
}

void CopyRun::end(const scsi::Result& result) {
  if (const auto owner = owner_.lock()) owner->copy_ended(task_, result);
}

}  // namespace tcmurbd::reactor
