// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/lun/copy_session.h"

#include <boost/asio/post.hpp>
#include <utility>

#include "rbd_handler/lun/lun_reactor.h"

namespace tcmurbd::reactor {

namespace asio = boost::asio;

namespace {
std::atomic<uint64_t> last_id{0};
}  // namespace

CopySession::CopySession(asio::io_context& home, std::weak_ptr<LunReactor> owner, task::TaskId task)
    : home_(home), owner_(std::move(owner)), task_(task), id_(++last_id) {}

void CopySession::begin(std::expected<CopyPlan, scsi::Result> plan) {
  asio::post(home_, [self = shared_from_this(), plan = std::move(plan)]() mutable {
    self->begin_here(std::move(plan));
  });
}

void CopySession::op_done(uint32_t token, const scsi::Result& result) {
  asio::post(home_, [self = shared_from_this(), token, result] {
    if (self->cancelled()) return;
    self->pipeline_->on_done(token, result);
    self->go_on();
  });
}

void CopySession::left() {
  asio::post(home_, [self = shared_from_this()] {
    if (--self->leaving_ == 0) self->end(self->pipeline_->result_if_cut_off());
  });
}

void CopySession::begin_here(std::expected<CopyPlan, scsi::Result> plan) {
  const auto owner = owner_.lock();
  if (cancelled() || !owner) return;
  if (!plan) {
    end(plan.error());
    return;
  }
  disks_ = std::move(plan->disks);
  pipeline_ = std::make_unique<copy::CopyPipeline>(plan->extents, std::move(plan->budget));
  owner->apply([&](Device& device, TimePoint now) {
    issued_ = device.on_copy_begun(task_, plan->bound, now);
  });
  if (cancelled()) return;
  join_disks(plan->extents);
  go_on();
}

// Before the first op goes the same way.
void CopySession::join_disks(const scsi::CopyExtents& extents) {
  std::vector<std::vector<ByteRange>> writes(disks_.size());
  for (const scsi::CopyExtent& extent : extents)
    if (extent.length != 0) writes[extent.destination].push_back({extent.to, extent.length});
  for (size_t i = 0; i < disks_.size(); ++i) {
    if (writes[i].empty()) continue;
    asio::post(*disks_[i].reactor, [self = shared_from_this(), lun_reactor = disks_[i].lun_reactor,
                                    ranges = std::move(writes[i])]() mutable {
      if (const auto there = lun_reactor.lock()) there->copy_joins(*self, std::move(ranges));
    });
  }
}

void CopySession::go_on() {
  if (const auto owner = owner_.lock())
    owner->copy_progress(task_, pipeline_->segments_done(), pipeline_->bytes_done());
  ops_.clear();
  pipeline_->take_ops(ops_);
  for (copy::Op& op : ops_) send(std::move(op));
  if (!pipeline_->finished()) return;
  leave_disks(false);
  end(pipeline_->result());
}

void CopySession::send(copy::Op op) {
  const CopyTarget& disk = disks_[op.disk];
  op.issued = issued_;
  asio::post(*disk.reactor,
             [self = shared_from_this(), lun_reactor = disk.lun_reactor, op = std::move(op)] {
               if (const auto there = lun_reactor.lock()) {
                 there->copy_op(self, op);
               } else {
                 self->op_done(op.token, scsi::Result::check(scsi::kCopyTargetNotReachable));
               }
             });
}

void CopySession::leave_disks(bool tell) {
  for (const CopyTarget& disk : disks_) {
    asio::post(*disk.reactor, [self = shared_from_this(), lun_reactor = disk.lun_reactor, tell] {
      if (const auto there = lun_reactor.lock()) there->copy_leaves(*self);
      if (tell) self->left();
    });
  }
}

void CopySession::cancel() {
  cancelled_.store(true, std::memory_order_relaxed);
  if (disks_.empty()) {
    // Nothing was begun. Not from within this call: it comes out of the owner's Device.
    asio::post(home_, [self = shared_from_this()] { self->end(scsi::Result::busy()); });
    return;
  }
  leaving_ = disks_.size();
  leave_disks(true);
}

void CopySession::end(const scsi::Result& result) {
  if (const auto owner = owner_.lock()) owner->copy_ended(task_, result);
}

}  // namespace tcmurbd::reactor
