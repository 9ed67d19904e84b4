// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/device/report_line.h"

#include <fmt/format.h>

namespace tcmurbd {
namespace {

// Nothing for what has not happened.
std::string age(std::string_view name, Duration duration) {
  if (duration < Duration{}) return {};
  return fmt::format(" {}={:.1f}ms", name,
                     std::chrono::duration<double, std::milli>(duration).count());
}

}  // namespace

std::string_view describe(AwayCause cause) {
  switch (cause) {
    case AwayCause::kReactorGap:
      return "the reactor did not run";
    case AwayCause::kControlGap:
      return "the control thread did not run";
    case AwayCause::kWatchLost:
      return "the cluster removed the watch on the lock channel";
    case AwayCause::kLockLost:
      return "another client has the exclusive lock";
    case AwayCause::kBlocklisted:
      return "the client instance was blocklisted";
  }
  return "";
}

std::string_view task_management_name(uint8_t type) {
  switch (type) {
    case 1:
      return "ABORT_TASK";
    case 5:
      return "LUN_RESET";
    case 128:
      return "PREEMPT_AND_ABORT";
    default:
      return "unknown";
  }
}

std::string_view stage_name(task::TaskState state) {
  switch (state) {
    case task::TaskState::kAwaitingFacts:
      return "waits-for-configfs";
    case task::TaskState::kAwaitingLock:
      return "waits-for-lock";
    case task::TaskState::kBacklog:
      return "waits-for-room";
    case task::TaskState::kAwaitingRange:
      return "waits-for-range";
    case task::TaskState::kInImage:
      return "in-librbd";
    case task::TaskState::kCopying:
    case task::TaskState::kCopyCancelled:
      return "copying";
    case task::TaskState::kDetached:
      return "detached";
    case task::TaskState::kOrphaned:
      return "given-up";
    case task::TaskState::kFree:
    case task::TaskState::kParsed:
      break;
  }
  return "new";
}

std::string describe(const Report& report) {
  std::string line = fmt::format("command=\"{}\" id={} stage={}", report.command, report.cmd_id,
                                 stage_name(report.state));
  if (report.kind == Report::Kind::kAborted)
    line = fmt::format("by={} {}", task_management_name(report.tmr_type), line);
  if (report.range.length != 0)
    line += fmt::format(" offset={} length={}", report.range.offset, report.range.length);
  line += age("queued", report.queued);
  line += age("in_librbd", report.submitted);
  line += age("answered", report.answered);
  if (report.kind == Report::Kind::kEnded) line += fmt::format(" result={}", report.result);
  return line;
}

}  // namespace tcmurbd
