// SPDX-License-Identifier: Apache-2.0
#include "common/log.h"

#include <gtest/gtest.h>

namespace tcmurbd {
namespace {

using std::chrono::seconds;
using std::chrono::steady_clock;

TEST(RateLimiter, PassesTheBurstThenCountsWhatItLeavesOut) {
  RateLimiter limiter;
  const RateLimiter::Limits limits{.burst = 3, .per_minute = 60};
  const steady_clock::time_point t0{seconds(1000)};
  const char place = 0;
  for (int i = 0; i < 3; ++i) EXPECT_EQ(limiter.admit(&place, t0, limits), 0);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(limiter.admit(&place, t0, limits), -1);
  EXPECT_EQ(limiter.admit(&place, t0 + seconds(1), limits), 5);
  EXPECT_EQ(limiter.admit(&place, t0 + seconds(1), limits), -1);
}

TEST(RateLimiter, KeepsPlacesApart) {
  RateLimiter limiter;
  const RateLimiter::Limits limits{.burst = 1, .per_minute = 1};
  const steady_clock::time_point t0{seconds(1000)};
  const char a = 0;
  const char b = 0;
  EXPECT_EQ(limiter.admit(&a, t0, limits), 0);
  EXPECT_EQ(limiter.admit(&a, t0, limits), -1);
  EXPECT_EQ(limiter.admit(&b, t0, limits), 0);
}

TEST(RateLimiter, NeverSavesUpMoreThanTheBurst) {
  RateLimiter limiter;
  const RateLimiter::Limits limits{.burst = 2, .per_minute = 60};
  const steady_clock::time_point t0{seconds(1000)};
  const char place = 0;
  EXPECT_EQ(limiter.admit(&place, t0, limits), 0);
  const auto later = t0 + seconds(3600);
  EXPECT_EQ(limiter.admit(&place, later, limits), 0);
  EXPECT_EQ(limiter.admit(&place, later, limits), 0);
  EXPECT_EQ(limiter.admit(&place, later, limits), -1);
}

}  // namespace
}  // namespace tcmurbd
