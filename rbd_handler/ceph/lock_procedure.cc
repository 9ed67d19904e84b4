// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/ceph/lock_procedure.h"

#include <fmt/format.h>

#include <optional>
#include <string_view>
#include <utility>

namespace tcmurbd::ceph {
namespace {

using Step = std::expected<void, LockFailure>;

// How long a healthy gateway may take to drain and release. RADOS uses seconds.
constexpr std::chrono::seconds kPatience{1};
// In each round but the last, another gateway acquired the lock first.
constexpr int kRoundsMax = 8;

const char* reason_of(Asked asked) {
  switch (asked) {
    case Asked::kHoldsDetached:
      return "the owner has hung writes";
    case Asked::kNoAnswer:
      return "the owner did not answer";
    case Asked::kNobody:
      return "the owner is not on the lock channel (not tcmu-rbd, or exited)";
    case Asked::kReleased:
    case Asked::kMustWait:
      break;  // Not broken then.
  }
  return "";
}

class LockAcquisition {
 public:
  explicit LockAcquisition(LockCluster& cluster) : cluster_(cluster) {}

  std::expected<LockTaken, LockFailure> run();

 private:
  std::expected<LockTaken, LockFailure> attempt();
  // Fails if this gateway was away.
  Step look_at_watch();
  // False: another gateway acquired it first.
  std::expected<bool, LockFailure> take_free();
  Step take_from(const LockHolder& holder);
  Step take_from_fenced(const LockHolder& holder, Fencing fencing);
  Step break_lock(const LockHolder& holder, bool blocklist, std::string_view reason);

  static std::unexpected<LockFailure> failed(std::string_view what, int error) {
    return std::unexpected(LockFailure{fmt::format("{}: {}", what, failure_text(error)), error});
  }

  LockCluster& cluster_;
  LockTaken taken_;
  std::string
      fenced_;  // For the log: whom this gateway fenced, unless that is how it took the lock.
};

Step LockAcquisition::look_at_watch() {
  if (cluster_.own_watch() != OwnWatch::kGone) return {};
  return std::unexpected(LockFailure{
      "this gateway was away: the cluster removed its watch on the lock channel", kWasAway});
}

std::expected<LockTaken, LockFailure> LockAcquisition::run() {
  auto done = attempt();
  if (fenced_.empty()) return done;
  std::string& text = done ? done->detail : done.error().text;
  text += text.empty() ? fenced_ : "; " + fenced_;
  return done;
}

std::expected<LockTaken, LockFailure> LockAcquisition::attempt() {
  if (auto there = look_at_watch(); !there) return std::unexpected(there.error());
  for (int round = 0; round < kRoundsMax; ++round) {
    const auto read = cluster_.holder();
    if (!read) return failed("reading the owner of the exclusive lock", read.error());
    const std::optional<LockHolder>& holder = *read;
    if (!holder || holder->address == cluster_.address()) {
      const auto done = take_free();
      if (!done) return std::unexpected(done.error());
      if (!*done) continue;
      if (auto there = look_at_watch(); !there) return std::unexpected(there.error());
      if (auto newest = cluster_.wait_for_latest_map(); !newest)
        return std::unexpected(newest.error());
      return std::move(taken_);
    }
    if (auto freed = take_from(*holder); !freed) return std::unexpected(freed.error());
  }
  return std::unexpected(
      LockFailure{"each time, another gateway acquired the exclusive lock first", -EAGAIN});
}

std::expected<bool, LockFailure> LockAcquisition::take_free() {
  auto done = cluster_.take_free_lock();
  if (done) return true;
  switch (done.error().error) {
    case -EROFS:
    case -EBUSY:
    case -EAGAIN:
      return false;
    default:
      return std::unexpected(std::move(done.error()));
  }
}

Step LockAcquisition::take_from(const LockHolder& holder) {
  // If this instance was fenced meanwhile, a healthy owner must not release the lock for it.
  if (auto reached = cluster_.reach_header(); !reached) return reached;
  if (const Fencing fencing = cluster_.fencing_of(holder.address); fencing != Fencing::kNone)
    return take_from_fenced(holder, fencing);
  const auto asked = cluster_.ask(holder.address, kPatience);
  if (asked == Asked::kReleased) {
    taken_ = {.how = Acquired::kHandedOver,
              .detail = fmt::format("handed over by {}", holder.address)};
    return {};
  }
  if (asked == Asked::kMustWait)
    return std::unexpected(
        LockFailure{fmt::format("its owner {} ({}) has hung writes and was fenced recently, or its "
                                "release takes long; will ask again later",
                                holder.address, holder.client),
                    kHolderWaits});
  // The owner may have changed meanwhile, or released the lock and acquired it again: never break a
  // healthy owner's lock.
  const auto now = cluster_.holder();
  if (!now) return failed("reading the owner of the exclusive lock", now.error());
  if (*now != holder) return {};
  if (asked) return break_lock(holder, true, reason_of(*asked));
  std::string reason = "the owner could not be asked: ";
  reason += asked.error();
  return break_lock(holder, true, reason);
}

// A fenced instance cannot answer, and its state cannot change.
Step LockAcquisition::take_from_fenced(const LockHolder& holder, Fencing fencing) {
  const bool removed = fencing == Fencing::kRemoved;
  return break_lock(holder, removed,
                    removed ? "the owner was fenced, but its blocklist entry had been removed"
                            : "the owner was fenced");
}

Step LockAcquisition::break_lock(const LockHolder& holder, bool blocklist,
                                 std::string_view reason) {
  if (blocklist) {
    if (auto done = cluster_.blocklist(holder.address); !done) return done;
    fenced_ = fmt::format("fenced {} ({}): {}", holder.address, holder.client, reason);
  }
  // Before the lock is free: all ops from now on order the old owner's ops.
  if (auto newest = cluster_.wait_for_latest_map(); !newest) return newest;
  const auto removed = cluster_.remove(holder);
  if (!removed) return failed("breaking the exclusive lock", removed.error());
  if (!*removed) return {};
  fenced_.clear();
  taken_ = {.how = Acquired::kBroken,
            .detail = fmt::format("taken from {} ({}): {}", holder.address, holder.client, reason)};
  return {};
}

}  // namespace

std::expected<LockTaken, LockFailure> acquire_lock(LockCluster& cluster) {
  return LockAcquisition(cluster).run();
}

}  // namespace tcmurbd::ceph
