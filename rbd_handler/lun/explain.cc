// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/lun/explain.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "rbd_handler/device/device_report.h"

namespace tcmurbd {

using lock::State;
using task::LadderEvent;
using task::TaskState;

namespace {

std::string text(Duration duration) {
  using std::chrono::duration_cast;
  const double seconds = duration_cast<std::chrono::duration<double>>(duration).count();
  if (seconds < 1) return fmt::format("{:.0f} ms", 1000 * seconds);
  if (seconds < 120) return fmt::format("{:.1f} s", seconds);
  return fmt::format("{:.0f} min", seconds / 60);
}

std::string size(uint64_t bytes) {
  if (bytes % kMiB == 0) return fmt::format("{} MiB", bytes / kMiB);
  if (bytes % kKiB == 0) return fmt::format("{} KiB", bytes / kKiB);
  return fmt::format("{} bytes", bytes);
}

bool is_answered(const OpSnapshot& op) {
  return op.state == TaskState::kDetached || op.state == TaskState::kOrphaned;
}

bool in_librbd(const OpSnapshot& op) { return op.state == TaskState::kInImage || is_answered(op); }

// "WRITE(16) of 4 KiB at LBA 2048".
std::string title(const OpSnapshot& op, uint32_t block_size) {
  if (op.range.length == 0) return std::string(op.command);
  return fmt::format("{} of {} at LBA {}", op.command, size(op.range.length),
                     op.range.offset / block_size);
}

std::string count_of(const DeviceSnapshot& device) {
  const auto& ops = device.ops;
  const auto answered = std::ranges::count_if(ops, is_answered);
  const auto submitted = std::ranges::count(ops, TaskState::kInImage, &OpSnapshot::state);
  const auto waiting = std::ssize(ops) - answered - submitted;
  std::string more;
  if (device.more != 0) more = fmt::format(", and {} more that are not looked at", device.more);
  return fmt::format("{} in librbd, {} waiting, {} answered although their ops have not ended{}.",
                     submitted, waiting, answered, more);
}

std::string where(const OpPlace& place, Duration submitted) {
  std::string line = fmt::format(" Its op has been in librbd for {}", text(submitted));
  if (place.object.empty()) return line + ".";
  if (!place.location) return fmt::format("{}: object {}.", line, place.object);
  line += fmt::format(": object {} in {}.", place.object, describe(*place.location));
  if (submitted >= kHangToldAfter && !place.location->acting.empty())
    line += fmt::format(" Look at osd.{} first.", place.location->acting.front());
  return line;
}

std::string what_was_done(const OpSnapshot& op) {
  std::string line;
  if (op.ended_by == LadderEvent::kAborted)
    line = fmt::format(" The initiator aborted it {} ago", text(op.answered));
  else if (op.ended_by == LadderEvent::kDeadline)
    line = fmt::format(" It got BUSY at its deadline, {} ago", text(op.answered));
  else if (op.ended_by == LadderEvent::kGivenUp)
    line = fmt::format(" It got BUSY when this gateway was fenced, {} ago", text(op.answered));
  else
    line = fmt::format(" It got BUSY {} ago, since the outcome of its op is unknown",
                       text(op.answered));
  line += "; its op continues in the background (detached)";
  if (op.changes) line += ", and commands on the same blocks wait until it has ended";
  line += ".";
  if (op.state == TaskState::kOrphaned)
    line += " Its client instance is fenced, so it cannot be applied after newer writes.";
  return line;
}

// The oldest earlier one that it must not pass; null: none is known.
const OpSnapshot* obstacle(const OpSnapshot& op, const DeviceSnapshot& device) {
  for (const OpSnapshot& other : device.ops) {
    if (other.sequence >= op.sequence) break;
    const bool flush = op.range.length == 0;
    const bool conflict =
        flush ? other.changes : (op.changes || other.changes) && op.range.overlaps(other.range);
    if (conflict) return &other;
  }
  return nullptr;
}

std::string why_it_waits(const OpSnapshot& op, const DeviceSnapshot& device) {
  switch (op.state) {
    case TaskState::kAwaitingFacts:
      return " It waits for the target's identity and port groups, which are being read from "
             "configfs.";
    case TaskState::kAwaitingLock:
      return " It waits for the exclusive lock.";
    case TaskState::kBacklog:
      if (op.stage == "waits-for-rate") return " It waits for the image's rbd_qos limits.";
      return " It waits for a free place among the ops in flight, which others use up.";
    case TaskState::kAwaitingRange: {
      const OpSnapshot* const other = obstacle(op, device);
      if (other == nullptr) return " It waits for an earlier command on the same blocks.";
      return fmt::format(" It waits for an earlier command{}: {}, which came {} ago.",
                         op.range.length != 0 ? " on the same blocks" : "",
                         title(*other, device.block_size), text(other->queued));
    }
    case TaskState::kCopying:
      return " It is being carried out; its reads and writes are commands of their own.";
    case TaskState::kCopyCancelled:
      return " It was cancelled, and is answered as soon as its last read or write cannot change "
             "anything any more.";
    default:
      return {};
  }
}

std::string about(const char* which, const OpSnapshot& op, const OpPlace& place,
                  const DeviceSnapshot& device) {
  std::string line =
      fmt::format(" {}, {}, came {} ago.", which, title(op, device.block_size), text(op.queued));
  if (in_librbd(op) && op.submitted >= Duration{}) line += where(place, op.submitted);
  if (is_answered(op)) return line + what_was_done(op);
  line += why_it_waits(op, device);
  if (op.deadline_in)
    line += *op.deadline_in > Duration{}
                ? fmt::format(" If it has not ended in {}, it gets BUSY.", text(*op.deadline_in))
                : " Its deadline has passed: it gets BUSY now.";
  return line;
}

std::string if_it_takes_longer(const lock::GateView& gate) {
  if (gate.refuses) return "; until then commands that need it get BUSY";
  if (!gate.busy_in) return {};
  return fmt::format("; commands wait for {} more, then they get BUSY", text(*gate.busy_in));
}

// For how long the state's action has been running.
std::string so_far(const lock::GateView& gate) {
  return gate.in_state < Duration{} ? "has begun"
                                    : fmt::format("has taken {} so far", text(gate.in_state));
}

std::string about_stuck(const lock::GateView& gate, const std::string& next) {
  return fmt::format(
      " The cluster cannot fence this gateway's client instance (no quorum of monitors, or no "
      "permission to blocklist): {}. {}",
      gate.unsure ? "another gateway may have the lock, so changes get BUSY"
                  : "commands on blocks of hung writes wait and get BUSY, all others are served",
      next);
}

std::string about_lock(const lock::GateView& gate, const std::string& instance) {
  const std::string fence = gate.fence_in ? text(*gate.fence_in) : "";
  const std::string retry = gate.retry_in ? text(*gate.retry_in) : "";
  switch (gate.state) {
    case State::kUnowned:
      return gate.retry_in
                 ? fmt::format(
                       " The exclusive lock could not be acquired, and waiting changes got "
                       "BUSY; the next attempt is in {}.",
                       retry)
                 : " This gateway does not hold the exclusive lock; the next change asks for it.";
    case State::kAcquiring:
      return fmt::format(" Acquiring the exclusive lock {}{}.", so_far(gate),
                         if_it_takes_longer(gate));
    case State::kOwned:
      return gate.in_state < Duration{}
                 ? " This gateway holds the exclusive lock."
                 : fmt::format(" This gateway has held the exclusive lock for {}.",
                               text(gate.in_state));
    case State::kDraining:
      return fmt::format(
          " The exclusive lock is to be released: everything new waits until the ops in librbd "
          "have ended{}.",
          fence.empty() ? ""
                        : fmt::format("; if they have not in {}, this gateway fences itself or "
                                      "keeps the lock",
                                      fence));
    case State::kReleasing:
      return fmt::format(
          " Releasing the exclusive lock {}; if it takes {} more, this gateway "
          "fences itself.",
          so_far(gate), fence);
    case State::kFencing:
      if (gate.retries) return about_stuck(gate, "It tries again now.");
      return fmt::format(
          " This gateway blocklists its own client instance {}, so that hung writes "
          "cannot be applied after newer ones; everything waits. That {}{}.",
          instance, so_far(gate), if_it_takes_longer(gate));
    case State::kReopening:
      return fmt::format(
          " This gateway's client instance is fenced, and everything waits for a "
          "new one. Opening it {}{}{}.",
          so_far(gate), retry.empty() ? "" : fmt::format("; the next attempt is in {}", retry),
          if_it_takes_longer(gate));
    case State::kStuck:
      return about_stuck(gate, fmt::format("The next attempt is in {}.", retry));
  }
  return {};
}

std::string about_fence(const DeviceSnapshot& device) {
  const auto& gate = device.gate;
  std::string line;
  if (gate.fence_in && (gate.state == State::kOwned || gate.state == State::kUnowned))
    line += fmt::format(
        " If the detached ops have not ended in {}, this gateway fences its own "
        "client instance and opens a new one.",
        text(*gate.fence_in));
  if (device.fences != 0)
    line += fmt::format(" It has fenced itself {} times since the LUN was opened.", device.fences);
  if (gate.peers == 1) line += " Another gateway waits for the lock.";
  if (gate.peers > 1) line += fmt::format(" {} other gateways wait for the lock.", gate.peers);
  return line;
}

std::string about_role(const LunSnapshot& snapshot, const DeviceSnapshot& device) {
  std::string line;
  if (!device.primary)
    line +=
        " The image is not primary here, so writes are refused (7/27/00): promote it with 'rbd "
        "mirror image promote'.";
  if (device.full)
    line +=
        " The pool is full or its quota is reached, so writes that need space are refused "
        "(7/27/07).";
  if (!snapshot.unfenced.empty())
    line += fmt::format(
        " Writes get BUSY, since the client instance {} of a dead predecessor "
        "cannot be fenced: the caps need mon 'profile rbd'.",
        snapshot.unfenced);
  else if (!device.safe)
    line += " Writes get BUSY, since they are not safe; the warnings say why.";
  if (device.away_left != Duration{})
    line += fmt::format(" This gateway was away, so changes get BUSY for {} more.",
                        text(device.away_left));
  return line;
}

std::string about_commands(const LunSnapshot& snapshot, const DeviceSnapshot& device) {
  if (device.ops.empty()) return " is idle: no command is open.";
  std::string line = " has open commands: " + count_of(device);
  line += about("The oldest", device.ops.front(), snapshot.places.front(), device);
  const auto waiting = std::ranges::find_if_not(device.ops, is_answered);
  if (waiting == device.ops.begin() || waiting == device.ops.end()) return line;
  const auto index = static_cast<size_t>(waiting - device.ops.begin());
  return line + about("The oldest without an answer", *waiting, snapshot.places[index], device);
}

std::string not_served(const LunSnapshot& snapshot) {
  if (snapshot.state != "opening") return fmt::format(" is {}.", snapshot.state);
  if (snapshot.refusal.empty())
    return " is not served yet: its image is being opened, and initiators get BUSY or wait.";
  return fmt::format(" is not served: {}. It is tried again until it works; initiators get BUSY.",
                     snapshot.refusal);
}

}  // namespace

std::string explain(const LunSnapshot& snapshot) {
  std::string line = fmt::format("{} ({})", snapshot.label.name, snapshot.label.image);
  if (!snapshot.device) {
    line += not_served(snapshot);
  } else {
    const DeviceSnapshot& device = *snapshot.device;
    line += about_commands(snapshot, device);
    if (!device.broken.empty())
      line += fmt::format(" Its ring is not usable and is being reset: {}.", device.broken);
    line += about_lock(device.gate, snapshot.instance);
    line += about_fence(device);
    line += about_role(snapshot, device);
  }
  for (const std::string& warning : snapshot.warnings)
    line += fmt::format(" Warning: {}.", warning);
  return line;
}

}  // namespace tcmurbd
