// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/lun/report_log.h"

#include <chrono>
#include <string>

#include "rbd_handler/device/report_line.h"
#include "rbd_handler/messages/commands.h"

namespace tcmurbd {
namespace {

template <const LogMessage& kMessage>
void log_command(const Log& log, const Report& report) {
  log.write_with<kMessage>({.initiator_task = std::to_string(report.cmd_id)}, describe(report));
}

void log_away(const Log& log, const Report& report) {
  std::string why(describe(report.away));
  if (report.gap > Duration{})
    why += fmt::format(" for {:.1f} s", std::chrono::duration<double>(report.gap).count());
  log.write<messages::kAway>(why, report.refused);
}

}  // namespace

void log_report(const Log& log, const Report& report) {
  switch (report.kind) {
    case Report::Kind::kAborted:
      return log_command<messages::kAborted>(log, report);
    case Report::Kind::kDeadline:
      return log_command<messages::kDeadline>(log, report);
    case Report::Kind::kHangs:
      return log_command<messages::kHung>(log, report);
    case Report::Kind::kEnded:
      if (report.result != 0) return log_command<messages::kEndedWithError>(log, report);
      return log_command<messages::kEnded>(log, report);
    case Report::Kind::kAway:
      return log_away(log, report);
    case Report::Kind::kPoolFull:
      return log.write<messages::kPoolFull>();
    case Report::Kind::kPoolHasRoom:
      return log.write<messages::kPoolHasRoom>();
    case Report::Kind::kDemoted:
      return log.write<messages::kDemoted>();
    case Report::Kind::kPromoted:
      return log.write<messages::kPromoted>();
  }
}

}  // namespace tcmurbd
