// SPDX-License-Identifier: Apache-2.0
#include "common/log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>

#include "rbd_handler/messages/commands.h"

namespace tcmurbd {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using TimePoint = LogLimiter::TimePoint;

constexpr LogMessage kOne{"", spdlog::level::info, "one {}", "", ""};
constexpr LogMessage kOther{"", spdlog::level::info, "other", "", ""};
constexpr LogMessage kOfCommand{"", spdlog::level::warn, "abort {:.1f} of {{{}}}", "", "", true};
const LogTag kTag{.prefix = "a"};
const TimePoint kStart{seconds(1000)};

TEST(LogLimiter, PassesTheBurstThenCountsWhatItLeavesOut) {
  LogLimiter limiter;
  const LogLimiter::Limits limits{.burst = 3, .per_minute = 60};
  for (int i = 0; i < 3; ++i) EXPECT_EQ(limiter.admit(kOne, kTag, kStart, limits), 0);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(limiter.admit(kOne, kTag, kStart, limits), -1);
  EXPECT_EQ(limiter.admit(kOne, kTag, kStart + seconds(1), limits), 5);
  EXPECT_EQ(limiter.admit(kOne, kTag, kStart + seconds(1), limits), -1);
}

TEST(LogLimiter, KeepsMessagesAndTagsApart) {
  LogLimiter limiter;
  const LogLimiter::Limits limits{.burst = 1, .per_minute = 1};
  EXPECT_EQ(limiter.admit(kOne, kTag, kStart, limits), 0);
  EXPECT_EQ(limiter.admit(kOne, kTag, kStart, limits), -1);
  EXPECT_EQ(limiter.admit(kOther, kTag, kStart, limits), 0);
  EXPECT_EQ(limiter.admit(kOne, {.prefix = "b"}, kStart, limits), 0);
}

TEST(LogLimiter, NeverSavesUpMoreThanTheBurst) {
  LogLimiter limiter;
  const LogLimiter::Limits limits{.burst = 2, .per_minute = 60};
  EXPECT_EQ(limiter.admit(kOne, kTag, kStart, limits), 0);
  const auto later = kStart + seconds(3600);
  EXPECT_EQ(limiter.admit(kOne, kTag, later, limits), 0);
  EXPECT_EQ(limiter.admit(kOne, kTag, later, limits), 0);
  EXPECT_EQ(limiter.admit(kOne, kTag, later, limits), -1);
}

TEST(LogLimiter, ThinsMessagesOfCommandsUntilTheyHaveBeenQuiet) {
  LogLimiter limiter;
  std::vector<int64_t> passed;  // After so many seconds.
  for (int second = 0; second < 70; ++second)
    if (limiter.admit(kOfCommand, kTag, kStart + seconds(second), {}) >= 0)
      passed.push_back(second);
  EXPECT_THAT(passed, ::testing::ElementsAre(0, 1, 2, 3, 4, 5, 7, 11, 19, 35, 67));
  const auto later = kStart + seconds(69) + LogLimiter::kQuiet;
  EXPECT_EQ(limiter.admit(kOfCommand, kTag, later, {}), 2);
  for (uint32_t i = 1; i < LogLimiter::kCommandBurst; ++i)
    EXPECT_EQ(limiter.admit(kOfCommand, kTag, later, {}), 0);
  EXPECT_EQ(limiter.admit(kOfCommand, kTag, later, {}), -1);
}

// Without a further line.
TEST(LogLimiter, ReportsWhatItLeftOutOnceALineMayPass) {
  LogLimiter limiter;
  const LogLimiter::Limits limits{.burst = 1, .per_minute = 1};
  for (int i = 0; i < 8; ++i) {
    limiter.admit(kOne, kTag, kStart, limits);
    limiter.admit(kOfCommand, kTag, kStart, limits);
  }
  EXPECT_THAT(limiter.take_due(kStart, limits), IsEmpty());
  const auto due = limiter.take_due(kStart + seconds(1), limits);
  ASSERT_THAT(due, SizeIs(1));
  EXPECT_EQ(due[0].message, &kOfCommand);
  EXPECT_EQ(due[0].lines, 3);
  EXPECT_EQ(limiter.admit(kOfCommand, kTag, kStart + seconds(2), limits), -1);
  const auto later = limiter.take_due(kStart + seconds(60), limits);
  ASSERT_THAT(later, SizeIs(2));
  EXPECT_EQ(later[0].lines + later[1].lines, 7 + 1);
  EXPECT_THAT(limiter.take_all(), IsEmpty());
}

TEST(LogLimiter, ReportsAllAtTheEnd) {
  LogLimiter limiter;
  for (int i = 0; i < 8; ++i) limiter.admit(kOfCommand, kTag, kStart, {});
  const auto all = limiter.take_all();
  ASSERT_THAT(all, SizeIs(1));
  EXPECT_EQ(all[0].lines, 3);
  EXPECT_THAT(limiter.take_all(), IsEmpty());
}

struct Storm {
  int lines = 0;
  int64_t reported = 0;  // Lines and those that they say were suppressed.

  void count(int64_t left_out) {
    if (left_out < 0) return;
    ++lines;
    reported += 1 + left_out;
  }
  void sum_up(const std::vector<LogLimiter::Suppressed>& all) {
    for (const auto& each : all) {
      ++lines;
      reported += each.lines;
    }
  }
};

// Of one LUN: each command is aborted, hangs, is located, and ends, every other one with an error.
Storm storm(int aborts, milliseconds duration) {
  constexpr seconds kAskEvery{5};
  LogLimiter limiter;
  Storm storm;
  auto ask_at = kStart + kAskEvery;
  for (int i = 0; i < aborts; ++i) {
    const auto now = kStart + i * duration / aborts;
    for (; ask_at <= now; ask_at += kAskEvery) storm.sum_up(limiter.take_due(ask_at, {}));
    for (const LogMessage* message : {&messages::kAborted, &messages::kHung, &messages::kHungOp,
                                      i % 2 == 0 ? &messages::kEnded : &messages::kEndedWithError})
      storm.count(limiter.admit(*message, kTag, now, {}));
  }
  storm.sum_up(limiter.take_all());
  return storm;
}

TEST(LogLimiter, TenThousandAbortsCostAHundredLinesAndAllAreCounted) {
  constexpr int kAborts = 10'000;
  for (const milliseconds duration :
       {milliseconds(0), milliseconds(seconds(12)), milliseconds(minutes(1)),
        milliseconds(minutes(10)), milliseconds(minutes(30))}) {
    const Storm done = storm(kAborts, duration);
    std::printf("%d aborts in %d s: %d lines\n", kAborts, static_cast<int>(duration.count() / 1000),
                done.lines);
    EXPECT_LE(done.lines, 100) << duration.count() << " ms";
    EXPECT_EQ(done.reported, 4 * kAborts);
  }
}

TEST(Log, SumsUpWhatWasSuppressed) {
  const LogLine line =
      summary({.message = &kOfCommand, .tag = {.prefix = "a", .fields = {.lun = "a"}}, .lines = 7});
  EXPECT_EQ(line.text, "a: 7 similar lines suppressed: abort ... of {...}");
  EXPECT_EQ(line.message, &kOfCommand);
  EXPECT_EQ(line.fields.lun, "a");
}

TEST(Log, OutlinesATextThatIsNotClosed) { EXPECT_EQ(outline("a {"), "a ..."); }

}  // namespace
}  // namespace tcmurbd
