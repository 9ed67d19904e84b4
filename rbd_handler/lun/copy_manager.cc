// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/lun/copy_manager.h"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <utility>

#include "rbd_handler/lun/lun.h"
#include "rbd_handler/messages/commands.h"

namespace tcmurbd {

namespace asio = boost::asio;
using reactor::CopyPlan;
using reactor::CopySession;
using scsi::Result;

namespace {

// A LUN with a hung cluster must not use all shares: its copies, and the memory that their reads
// may still write to, stay until their ops end.
constexpr ptrdiff_t kCopiesPerLunMax = 4;
// More than hosts have in flight at a time; further copies get BUSY.
constexpr size_t kWaitingMax = 128;
// Hosts abort a copy after a minute or earlier.
constexpr std::chrono::seconds kBoundWithoutLimit{60};

}  // namespace

void CopyManager::add(std::shared_ptr<Lun> lun) { luns_.push_back(std::move(lun)); }

void CopyManager::remove(const Lun& lun) {
  std::erase_if(luns_, [&](const auto& other) { return other.get() == &lun; });
}

void CopyManager::start(std::shared_ptr<Lun> own, scsi::CopyRequest request,
                        std::shared_ptr<CopySession> run) {
  std::erase_if(waiting_, [](const Waiting& waiting) { return waiting.run->cancelled(); });
  if (waiting_.size() + searching_ >= kWaitingMax) {
    run->begin(std::unexpected(Result::busy()));
    return;
  }
  auto waiting = std::make_shared<Waiting>();
  waiting->own = std::move(own);
  waiting->request = std::move(request);
  waiting->run = std::move(run);
  search(waiting);
}

void CopyManager::search(const std::shared_ptr<Waiting>& waiting) {
  waiting->luns = {waiting->own};
  for (const auto& lun : luns_)
    if (lun != waiting->own) waiting->luns.push_back(lun);
  std::vector<KnownLun> known;
  known.reserve(waiting->luns.size());
  for (const auto& lun : waiting->luns) known.push_back(lun->known());
  auto answer = std::make_shared<NamedLunsResult>();
  ++searching_;
  waiting->own->copy_walks().run(
      [waiting, known = std::move(known), root = root_, answer] {
        if (!waiting->run->cancelled()) *answer = find_named_luns(waiting->request, known, root);
      },
      [self = shared_from_this(), waiting, answer] {
        --self->searching_;
        self->searched(std::move(*waiting), *answer);
      });
}

void CopyManager::searched(Waiting waiting, NamedLunsResult& answer) {
  for (auto& [place, identity] : answer.identities)
    waiting.luns[place]->note_identity(std::move(identity));
  if (waiting.run->cancelled()) return;
  if (!answer.refusal.empty()) waiting.own->log().write<messages::kCopyRefused>(answer.refusal);
  if (!answer.found) {
    waiting.run->begin(std::unexpected(Result::check(answer.found.error())));
    return;
  }
  waiting.named = std::move(*answer.found);
  waiting.own->note_kernel_limit(waiting.named.kernel_limit);
  std::vector<std::shared_ptr<Lun>> named;
  named.reserve(waiting.named.luns.size());
  for (const size_t place : waiting.named.luns) named.push_back(waiting.luns[place]);
  waiting.luns = std::move(named);
  waiting_.push_back(std::move(waiting));
  serve_waiting();
}

void CopyManager::serve_waiting() {
  while (running_.size() < scsi::kCopiesMax) {
    const auto next = std::ranges::find_if(waiting_, [this](const Waiting& waiting) {
      return std::ranges::count(running_, waiting.own.get()) < kCopiesPerLunMax;
    });
    if (next == waiting_.end()) return;
    const Waiting waiting = std::move(*next);
    waiting_.erase(next);
    if (!waiting.run->cancelled()) waiting.run->begin(make_plan(waiting));
  }
}

// A share of the memory for copies: released when its last user ends.
std::shared_ptr<void> CopyManager::take_share(const Lun& own) {
  running_.push_back(&own);
  return {nullptr, [manager = weak_from_this(), &control = control_, key = &own](void*) {
            asio::post(control, [manager, key] {
              const auto self = manager.lock();
              if (!self) return;
              self->running_.erase(std::ranges::find(self->running_, key));
              self->serve_waiting();
            });
          }};
}

// The current disks: a LUN may have been removed or resized meanwhile.
CopyManager::Outcome CopyManager::make_plan(const Waiting& waiting) {
  const auto refused = [](const scsi::Sense& sense) {
    return std::unexpected(Result::check(sense));
  };
  CopyPlan plan;
  std::vector<scsi::DiskFacts> facts;
  for (const auto& lun : waiting.luns) {
    const auto disk = lun->copy_disk();
    if (!disk) return refused(scsi::kCopyTargetNotReachable);
    plan.disks.push_back(disk->place);
    facts.push_back(disk->facts);
  }
  std::vector<scsi::ServedDisk> disks;
  disks.reserve(waiting.named.of_cscd.size());
  for (const uint16_t number : waiting.named.of_cscd)
    disks.push_back({.number = number, .facts = facts[number]});
  auto extents = scsi::plan_copy(waiting.request, disks);
  if (!extents) return refused(extents.error());
  plan.extents = *extents;
  // The kernel itself answers an older command, and the initiator may write over the blocks that
  // the copy still writes. Without that limit, a copy of a session that is lost is not aborted.
  const Duration limit = waiting.named.kernel_limit;
  plan.bound = limit == Duration{} ? kBoundWithoutLimit : limit * 4 / 5;
  plan.budget = take_share(*waiting.own);
  return plan;
}

}  // namespace tcmurbd
