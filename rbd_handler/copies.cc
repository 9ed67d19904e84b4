// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/copies.h"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <utility>

#include "rbd_handler/kernel/lun_access.h"
#include "rbd_handler/lun.h"

namespace tcmurbd {

namespace asio = boost::asio;
using reactor::CopyOrder;
using reactor::CopyRun;
using scsi::Result;

namespace {

// A LUN whose cluster hangs must not take all shares: its copies, and the memory that their reads
// may still write to, stay until their ops end.
constexpr ptrdiff_t kCopiesPerLunMax = 4;
// More than hosts have under way at a time; who comes then gets BUSY.
constexpr size_t kWaitingMax = 128;

}  // namespace

void CopyDesk::add(std::shared_ptr<Lun> lun) { luns_.push_back(std::move(lun)); }

void CopyDesk::remove(const Lun& lun) {
  std::erase_if(luns_, [&](const auto& other) { return other.get() == &lun; });
}

void CopyDesk::order(std::shared_ptr<Lun> own, scsi::CopyRequest request,
                     std::shared_ptr<CopyRun> run) {
  std::erase_if(waiting_, [](const Waiting& waiting) { return waiting.run->cancelled(); });
  if (waiting_.size() >= kWaitingMax) {
    run->begin(std::unexpected(Result::busy()));
    return;
  }
  waiting_.push_back({std::move(own), std::move(request), std::move(run)});
  serve_waiting();
}

void CopyDesk::serve_waiting() {
  while (running_.size() < scsi::kCopiesMax) {
    const auto next = std::ranges::find_if(waiting_, [this](const Waiting& waiting) {
      return std::ranges::count(running_, waiting.own.get()) < kCopiesPerLunMax;
    });
    if (next == waiting_.end()) return;
    const Waiting waiting = std::move(*next);
    waiting_.erase(next);
    if (!waiting.run->cancelled()) waiting.run->begin(find_disks(*waiting.own, waiting.request));
  }
}

// A share of the memory for copies: given back wherever the last of it ends.
std::shared_ptr<void> CopyDesk::take_share(const Lun& own) {
  running_.push_back(&own);
  return {nullptr, [desk = weak_from_this(), &control = control_, key = &own](void*) {
            asio::post(control, [desk, key] {
              const auto self = desk.lock();
              if (!self) return;
              self->running_.erase(std::ranges::find(self->running_, key));
              self->serve_waiting();
            });
          }};
}

// What was read last tells where to look, what is read now decides: serials change, if seldom.
std::shared_ptr<Lun> CopyDesk::find(Lun& own, const scsi::CopyCscd& cscd) {
  if (own.is_named_by(cscd)) return own.shared_from_this();
  for (const bool known : {true, false}) {
    for (const auto& lun : luns_) {
      if (lun.get() == &own || lun->was_named_by(cscd) != known) continue;
      if (lun->is_named_by(cscd)) return lun;
    }
  }
  return nullptr;
}

CopyDesk::Answer CopyDesk::find_disks(Lun& own, const scsi::CopyRequest& request) {
  const auto refused = [](const scsi::Sense& sense) {
    return std::unexpected(Result::check(sense));
  };
  CopyOrder order;
  std::vector<std::shared_ptr<Lun>> luns;
  std::vector<scsi::CopyDisk> disks;
  for (const scsi::CopyCscd& cscd : request.cscds) {
    const auto lun = find(own, cscd);
    const auto disk = lun ? lun->copy_disk() : std::nullopt;
    if (!disk) return refused(scsi::kCopyTargetNotReachable);
    const auto known = std::ranges::find(luns, lun);
    const auto number = static_cast<uint16_t>(known - luns.begin());
    if (known == luns.end()) {
      luns.push_back(lun);
      order.disks.push_back(disk->place);
    }
    disks.push_back({.number = number, .facts = disk->facts});
  }
  auto extents = scsi::plan_copy(request, disks);
  if (!extents) return refused(extents.error());
  if (!may_copy(own, luns, *extents)) return refused(scsi::kCopyTargetNotReachable);
  order.extents = *extents;
  order.bound = own.copy_bound();
  order.budget = take_share(own);
  return order;
}

bool CopyDesk::may_copy(const Lun& own, const std::vector<std::shared_ptr<Lun>>& luns,
                        const scsi::CopyExtents& extents) const {
  for (size_t number = 0; number < luns.size(); ++number) {
    const Lun& other = *luns[number];
    if (&other == &own) continue;
    const bool written = std::ranges::any_of(
        extents, [&](const scsi::CopyExtent& extent) { return extent.destination == number; });
    const auto reach = written ? kernel::Reach::kWrite : kernel::Reach::kRead;
    if (!kernel::all_reach(own.entry().name, other.entry().name, reach)) {
      own.log().warning("EXTENDED COPY {} {} refused: not all who reach this LUN reach that one",
                        written ? "to" : "from", other.entry().name.device);
      return false;
    }
  }
  return true;
}

}  // namespace tcmurbd
