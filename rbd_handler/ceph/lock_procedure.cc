// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/ceph/lock_procedure.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <tuple>
#include <utility>

namespace tcmurbd::ceph {
namespace {

using Step = std::expected<void, LockFailure>;

// How long a healthy gateway may take to end its writes and release. RADOS counts it in seconds.
constexpr std::chrono::seconds kPatience{1};
// Each round but the last means that another gateway was quicker.
constexpr int kRoundsMax = 8;

const char* reason_of(LockChannel::Asked asked) {
  switch (asked) {
    case LockChannel::Asked::kHoldsDetached:
      return "which has writes that do not end";
    case LockChannel::Asked::kNoAnswer:
      return "which did not answer";
    case LockChannel::Asked::kNobody:
      return "which is no tcmu-rbd, or has ended";
    case LockChannel::Asked::kReleased:
      break;  // Not broken then.
  }
  return "";
}

class Taking {
 public:
  Taking(RbdImage& image, LockChannel& channel, const ControlClient& control,
         std::span<const std::string> fenced)
      : image_(image), channel_(channel), control_(control), fenced_(fenced) {}

  std::expected<LockTaken, LockFailure> run();

 private:
  // False: another was quicker.
  std::expected<bool, LockFailure> take_free();
  Step take_from(const LockHolder& holder);
  Step break_lock(const LockHolder& holder, bool blocklist, std::string_view reason);

  static std::unexpected<LockFailure> failed(std::string_view what, int error) {
    return std::unexpected(LockFailure{fmt::format("{}: {}", what, failure_text(error)), error});
  }

  RbdImage& image_;
  LockChannel& channel_;
  const ControlClient& control_;
  const std::span<const std::string> fenced_;
  LockTaken taken_;
};

std::expected<LockTaken, LockFailure> Taking::run() {
  for (int round = 0; round < kRoundsMax; ++round) {
    const auto read = channel_.record().holder();
    if (!read) return failed("reading who has the exclusive lock", read.error());
    const std::optional<LockHolder>& holder = *read;
    if (!holder || holder->address == image_.address()) {
      const auto done = take_free();
      if (!done) return std::unexpected(done.error());
      if (!*done) continue;
      if (auto newest = image_.wait_for_latest_map(); !newest)
        return std::unexpected(newest.error());
      return std::move(taken_);
    }
    if (auto freed = take_from(*holder); !freed) return std::unexpected(freed.error());
  }
  return std::unexpected(LockFailure{"other gateways took the exclusive lock each time", -EAGAIN});
}

std::expected<bool, LockFailure> Taking::take_free() {
  auto done = image_.take_free_lock();
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

Step Taking::take_from(const LockHolder& holder) {
  // One that was fenced meanwhile must not make a healthy owner give up what it can't take.
  if (auto reached = image_.reach_header(); !reached) return reached;
  if (std::ranges::find(fenced_, holder.address) != fenced_.end())
    return break_lock(holder, false, "which was fenced");
  const auto asked = channel_.ask(holder.address, kPatience);
  if (asked == LockChannel::Asked::kReleased) {
    taken_ = {.how = Acquired::kHandedOver,
              .story = fmt::format("handed over by {}", holder.address)};
    return {};
  }
  // It may have changed hands while we asked: never break a healthy owner's.
  const auto now = channel_.record().holder();
  if (!now) return failed("reading who has the exclusive lock", now.error());
  if (*now != holder) return {};
  if (asked) return break_lock(holder, true, reason_of(*asked));
  std::string reason = "which could not be asked: ";
  reason += asked.error();
  return break_lock(holder, true, reason);
}

Step Taking::break_lock(const LockHolder& holder, bool blocklist, std::string_view reason) {
  if (blocklist)
    if (auto done = control_.blocklist(holder.address); !done) return done;
  // Before the lock is anyone's: whatever we send from now on orders the old owner's ops.
  if (auto newest = image_.wait_for_latest_map(); !newest) return newest;
  const auto removed = channel_.record().remove(holder);
  if (!removed) return failed("breaking the exclusive lock", removed.error());
  if (*removed)
    taken_ = {
        .how = Acquired::kBroken,
        .story = fmt::format("taken from {} ({}), {}", holder.address, holder.client, reason)};
  return {};
}

}  // namespace

std::expected<LockTaken, LockFailure> acquire_lock(RbdImage& image, LockChannel& channel,
                                                   const ControlClient& control,
                                                   std::span<const std::string> fenced) {
  if (!image.info().exclusive_lock || image.info().read_only) return LockTaken{};
  channel.serve_as(image.address());
  return Taking(image, channel, control, fenced).run();
}

void free_lock(const LockRecord& record, const std::string& address) {
  const std::optional<LockHolder> holder = record.holder().value_or(std::nullopt);
  if (holder && holder->address == address)
    std::ignore = record.remove(*holder);  // NOLINT(bugprone-unused-return-value): see the header.
}

}  // namespace tcmurbd::ceph
