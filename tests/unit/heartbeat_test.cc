// SPDX-License-Identifier: Apache-2.0
// The heartbeat with simulated times: its result for a reactor that did not run.
#include "rbd_handler/reactor/heartbeat.h"

#include <gtest/gtest.h>

namespace tcmurbd::reactor {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class HeartbeatTest : public ::testing::Test {
 protected:
  Duration look(TimePoint since) { return heartbeat_.longest_gap(since, now_); }
  void run_for(Duration duration) {
    for (const TimePoint end = now_ + duration; now_ < end; now_ += Heartbeat::kBeat)
      heartbeat_.longest_gap(now_, now_);
  }

  boost::asio::io_context io_;
  Heartbeat heartbeat_{io_};
  TimePoint now_ = Heartbeat::now();
};

TEST_F(HeartbeatTest, AReactorThatRunsHasNoGap) {
  const TimePoint begin = now_;
  run_for(seconds(10));
  EXPECT_EQ(look(begin), Duration{});
}

TEST_F(HeartbeatTest, TheOneWhoLooksFirstAfterAGapIsTold) {
  run_for(seconds(1));
  const TimePoint before = now_;
  now_ += seconds(7);
  EXPECT_GE(look(before), seconds(7));
}

TEST_F(HeartbeatTest, AGapIsToldToAllWhoHaveNotLookedSince) {
  run_for(seconds(1));
  const TimePoint before = now_;
  now_ += seconds(7);
  run_for(seconds(3));  // Others, or the beat itself, were quicker.
  EXPECT_GE(look(before), seconds(7));
  EXPECT_EQ(look(now_), Duration{}) << "a gap is reported once";
}

TEST_F(HeartbeatTest, OfMoreThanOneTheLongestIsTold) {
  const TimePoint before = now_;
  for (const auto gap : {milliseconds(900), milliseconds(5000), milliseconds(1200)}) {
    now_ += gap;
    look(now_);
  }
  EXPECT_GE(look(before), seconds(5));
  EXPECT_LT(look(before), seconds(6));
}

TEST_F(HeartbeatTest, AReactorThatRanLatelyIsSteady) {
  run_for(seconds(1));
  EXPECT_TRUE(heartbeat_.steady(now_, now_));
}

TEST_F(HeartbeatTest, OneThatHasNotRunIsNotSteady) {
  run_for(seconds(1));
  const TimePoint looked = now_;
  now_ += milliseconds(500);
  EXPECT_FALSE(heartbeat_.steady(looked, now_)) << "it may have been away, and has not looked";
}

TEST_F(HeartbeatTest, AfterAGapOnlyWhoHasLookedSinceMayBegin) {
  run_for(seconds(1));
  const TimePoint before = now_;
  now_ += seconds(7);
  run_for(seconds(3));  // Another LUN has looked.
  EXPECT_FALSE(heartbeat_.steady(before, now_));
  look(before);
  EXPECT_TRUE(heartbeat_.steady(now_, now_));
}

}  // namespace
}  // namespace tcmurbd::reactor
