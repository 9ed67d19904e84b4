// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/lun/report_log.h"

#include <gmock/gmock.h>

#include "rbd_handler/messages/commands.h"
#include "tests/support/log_capture.h"

namespace tcmurbd {
namespace {

using ::testing::SizeIs;

class ReportLog : public ::testing::Test {
 protected:
  LogLine logged(const Report& report) {
    log_report(log_, report);
    const auto lines = capture_.take();
    EXPECT_THAT(lines, SizeIs(1));
    return lines.empty() ? LogLine{} : lines.front();
  }

  testing::LogCapture& capture_ = testing::LogCapture::start();
  const Log log_{"user_0/disk", "rbd/image"};
};

TEST_F(ReportLog, ACommandHasItsTask) {
  const Report abort{.kind = Report::Kind::kAborted,
                     .tmr_type = 1,
                     .cmd_id = 7,
                     .command = "WRITE(16)",
                     .state = task::TaskState::kInImage,
                     .queued = Duration{-1},
                     .submitted = Duration{-1},
                     .answered = Duration{-1}};
  const LogLine line = logged(abort);
  EXPECT_EQ(line.message, &messages::kAborted);
  EXPECT_EQ(
      line.text,
      "user_0/disk rbd/image: abort by=ABORT_TASK command=\"WRITE(16)\" id=7 stage=in-librbd");
  EXPECT_EQ(line.fields.lun, "user_0/disk");
  EXPECT_EQ(line.fields.image, "rbd/image");
  EXPECT_EQ(line.fields.initiator_task, "7");
}

TEST_F(ReportLog, AnErrorAtTheEndIsAWarning) {
  EXPECT_EQ(logged({.kind = Report::Kind::kEnded}).message, &messages::kEnded);
  EXPECT_EQ(logged({.kind = Report::Kind::kEnded, .result = -108}).message,
            &messages::kEndedWithError);
}

TEST_F(ReportLog, ALunHasNoTask) {
  const LogLine line = logged({.kind = Report::Kind::kAway,
                               .away = AwayCause::kControlGap,
                               .gap = std::chrono::seconds(3),
                               .refused = 2});
  EXPECT_EQ(line.text,
            "user_0/disk rbd/image: away: the control thread did not run for 3.0 s; 2 waiting "
            "changes and those of the next seconds get BUSY, and the lock is verified");
  EXPECT_EQ(line.fields.initiator_task, "");
  EXPECT_EQ(logged({.kind = Report::Kind::kPoolFull}).message, &messages::kPoolFull);
}

}  // namespace
}  // namespace tcmurbd
