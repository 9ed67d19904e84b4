// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/ceph/fence_guard.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <system_error>
#include <utility>

#include "rbd_handler/messages/lock.h"

namespace tcmurbd::ceph {
namespace {

using std::chrono::steady_clock;

constexpr std::chrono::seconds kLookEvery{1};
// While nothing has to stay fenced, and each look is a command to the monitors.
constexpr std::chrono::seconds kLookForOwnEvery{3};
constexpr std::chrono::milliseconds kMapPatience{500};
// After a failed read of the blocklist: no permission or no quorum.
constexpr std::chrono::seconds kLookAgain{5};
constexpr std::chrono::seconds kReadEvery{30};
// The monitors commit together what arrives together. One after the other, each entry would wait
// for a commit of its own, up to a second (paxos_propose_interval), and its instance would not be
// fenced meanwhile.
constexpr size_t kPutBackAtOnce = 32;

// False: the process has as many threads as it may have.
bool starts(std::vector<std::jthread>& threads, const std::function<void()>& body) {
  try {
    threads.emplace_back(body);
    return true;
  } catch (const std::system_error&) {
    return false;
  }
}

}  // namespace

std::shared_ptr<FenceGuard> FenceGuard::of(const std::shared_ptr<ControlClient>& control) {
  static Mutex mutex;
  static std::map<const ControlClient*, std::weak_ptr<FenceGuard>> guards GUARDED_BY(mutex);
  const MutexLock lock(mutex);
  // A guard keeps its client, so the guard found for the address of a client belongs to it.
  std::erase_if(guards, [](const auto& entry) { return entry.second.expired(); });
  auto& known = guards[control.get()];
  auto guard = known.lock();
  if (!guard) {
    guard = std::shared_ptr<FenceGuard>(new FenceGuard(control));
    known = guard;
  }
  return guard;
}

FenceGuard::FenceGuard(std::shared_ptr<ControlClient> control)
    : control_(std::move(control)), thread_([this](const std::stop_token& stop) { run(stop); }) {}

void FenceGuard::Bell::ring() {
  const MutexLock lock(mutex);
  ringing = true;
  rung.notify_all();
}

std::expected<std::shared_ptr<FenceLedger>, std::string> FenceGuard::open_ledger(
    const ImageSpec& spec, const std::string& image_id, std::shared_ptr<Log> log,
    OnOwnFenced on_own_fenced) {
  auto ledger = FenceLedger::open(
      control_, spec, image_id, std::move(log), [bell = bell_] { bell->ring(); },
      std::move(on_own_fenced));
  if (!ledger) return ledger;
  {
    const MutexLock lock(mutex_);
    ledgers_.push_back(*ledger);
  }
  (*ledger)->refresh();
  return ledger;
}

std::vector<std::shared_ptr<FenceLedger>> FenceGuard::ledgers() {
  std::vector<std::shared_ptr<FenceLedger>> all;
  const MutexLock lock(mutex_);
  std::erase_if(ledgers_, [](const auto& ledger) { return ledger.expired(); });
  for (const auto& ledger : ledgers_)
    if (auto held = ledger.lock()) all.push_back(std::move(held));
  return all;
}

void FenceGuard::run(const std::stop_token& stop) {
  auto read_at = steady_clock::now() + kReadEvery;
  while (!stop.stop_requested()) {
    auto next = read_at;
    {
      // These may be the last references: none is kept during the sleep.
      const auto all = ledgers();
      if (steady_clock::now() >= read_at) {
        for (const auto& ledger : all) ledger->refresh();
        read_at = next = steady_clock::now() + kReadEvery;
      }
      const bool fences =
          std::ranges::any_of(all, [](const auto& ledger) { return !ledger->empty(); });
      const bool serves =
          std::ranges::any_of(all, [](const auto& ledger) { return ledger->serves(); });
      if (fences || serves) {
        const bool good = look(all, fences);
        const bool costly = !fences && !blocklist_epoch_;
        const auto pause = !good ? kLookAgain : costly ? kLookForOwnEvery : kLookEvery;
        next = std::min(next, steady_clock::now() + pause);
      }
    }
    MutexLock lock(bell_->mutex);
    const bool rung = bell_->rung.wait_until(
        lock, stop, next, [this]() REQUIRES_LOCK(bell_->mutex) { return bell_->ringing; });
    bell_->ringing = false;
    lock.unlock();
    // Frequent wake-ups do not increase the rate of reads.
    if (!rung || stop.stop_requested()) continue;
    MutexLock pause(bell_->mutex);
    bell_->rung.wait_for(pause, stop, kLookEvery, [] { return false; });
  }
}

// False: the blocklist could not be read.
bool FenceGuard::look(const std::vector<std::shared_ptr<FenceLedger>>& ledgers, bool fences) {
  const auto blocklist = current_blocklist();
  if (!blocklist) {
    if (fences && !std::exchange(complained_, true))
      ledgers.front()->log().write<messages::kBlocklistUnreadable>(blocklist.error().text);
    return false;
  }
  for (const auto& ledger : ledgers) ledger->look_for_own(*blocklist);
  std::vector<Missing> all;
  for (const auto& ledger : ledgers)
    for (std::string& address : ledger->missing(*blocklist))
      // A record of the control client's own address would fence it.
      if (address != control_->client().address())
        all.push_back({ledger.get(), std::move(address), {}});
  put_back(all);
  const bool good =
      std::ranges::all_of(all, [](const auto& each) { return each.done.has_value(); });
  if (good) complained_ = false;
  return good;
}

std::expected<Blocklist, LockFailure> FenceGuard::current_blocklist() {
  if (!map_) map_ = std::make_unique<MapWatch>(control_);
  const auto epoch = map_->latest(kMapPatience);
  if (epoch && epoch == blocklist_epoch_) return blocklist_;
  blocklist_epoch_.reset();
  auto read = control_->blocklisted();
  if (!read) return read;
  blocklist_ = *read;
  blocklist_epoch_ = epoch;
  return read;
}

void FenceGuard::put_back(std::vector<Missing>& all) {
  std::atomic<size_t> next = 0;
  const auto work = [&] {
    for (size_t i = next++; i < all.size(); i = next++)
      all[i].done = control_->blocklist(all[i].address);
  };
  {
    std::vector<std::jthread> helpers;
    while (helpers.size() + 1 < std::min(all.size(), kPutBackAtOnce) && starts(helpers, work)) {
    }
    work();
  }
  for (const auto& [ledger, address, done] : all) {
    if (done) {
      ledger->log().write<messages::kEntryRestored>(address, ledger->image());
    } else if (!std::exchange(complained_, true)) {
      ledger->log().write<messages::kEntryNotRestored>(address, ledger->image(), done.error().text);
    }
  }
}

}  // namespace tcmurbd::ceph
