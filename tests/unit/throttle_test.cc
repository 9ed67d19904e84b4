// SPDX-License-Identifier: Apache-2.0
// The QoS limits over time: how much is admitted in how long.
#include "rbd_handler/task/throttle.h"

#include <gtest/gtest.h>

namespace tcmurbd::task {
namespace {

using std::chrono::milliseconds;

class ThrottleTest : public ::testing::Test {
 protected:
  void limit(const RateLimits& limits) { throttle_.set(limits, now_); }
  // The number of ops of `bytes` admitted in so many seconds at full load.
  uint64_t admitted(int seconds, bool changes, uint64_t bytes) {
    uint64_t count = 0;
    for (int tick = 0; tick < seconds * 50; ++tick) {
      while (count < 1'000'000 && throttle_.admits(changes, now_)) {
        throttle_.take(changes, bytes);
        ++count;
      }
      now_ += milliseconds(20);
    }
    return count;
  }

  TimePoint now_{std::chrono::hours(1)};
  Throttle throttle_;
};

TEST(TimeAtLimits, TheTightestCounts) {
  using std::chrono::seconds;
  EXPECT_EQ(time_at({}, 64, 1'000'000), Duration{});
  EXPECT_EQ(time_at({.read_iops = 1, .read_bps = 1}, 64, 1'000'000), Duration{});
  EXPECT_EQ(time_at({.iops = 32, .bps = 1'000'000}, 64, 1'000'000), seconds(2));
  EXPECT_EQ(time_at({.write_iops = 64, .write_bps = 100'000}, 64, 1'000'000), seconds(10));
}

TEST_F(ThrottleTest, WithoutLimitsAllIsAdmitted) {
  limit({});
  EXPECT_FALSE(throttle_.limited());
  EXPECT_TRUE(throttle_.admits(true, now_));
}

TEST_F(ThrottleTest, TheRateHoldsOnAverage) {
  limit({.iops = 100});
  EXPECT_NEAR(static_cast<double>(admitted(10, true, 4096)), 950, 15);
  limit({.write_bps = 1024 * 1024});
  EXPECT_NEAR(static_cast<double>(admitted(24, true, 512 * 1024)), 46, 2);
}

TEST_F(ThrottleTest, AnOpLargerThanASecondsWorthPassesToo) {
  limit({.bps = 1024 * 1024});
  EXPECT_NEAR(static_cast<double>(admitted(40, true, 4 * 1024 * 1024)), 10, 1);
}

TEST_F(ThrottleTest, APauseSavesUpATenthOfASecond) {
  limit({.iops = 1000});
  now_ += std::chrono::hours(1);
  uint64_t at_once = 0;
  for (; throttle_.admits(false, now_); ++at_once) throttle_.take(false, 512);
  EXPECT_EQ(at_once, 96u);
}

TEST_F(ThrottleTest, ReadsAndChangesHaveTheirOwn) {
  limit({.read_iops = 1, .write_iops = 1000});
  throttle_.take(false, 512);
  EXPECT_FALSE(throttle_.admits(false, now_));
  EXPECT_TRUE(throttle_.admits(true, now_));
}

TEST_F(ThrottleTest, TheLimitOfAllCountsBoth) {
  limit({.iops = 1});
  throttle_.take(false, 512);
  EXPECT_FALSE(throttle_.admits(true, now_));
}

}  // namespace
}  // namespace tcmurbd::task
