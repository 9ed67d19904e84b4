// SPDX-License-Identifier: Apache-2.0
#include "common/latency_histogram.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

#include "common/quantile.h"

namespace tcmurbd {
namespace {

using std::chrono::microseconds;
using std::chrono::nanoseconds;
using std::chrono::seconds;

constexpr uint64_t kMs = 1'000'000;

std::vector<double> bounds() { return {kLatencyBoundsNs.begin(), kLatencyBoundsNs.end()}; }

TEST(LatencyHistogram, TheBoundsAreTheOnesThatPeopleName) {
  EXPECT_EQ(kLatencyBoundsNs.front(), 50'000U);
  EXPECT_EQ(kLatencyBoundsNs.back(), 60'000 * kMs);
  for (const uint64_t named :
       {kMs / 10, kMs, 5 * kMs, 20 * kMs, 100 * kMs, 1000 * kMs, 10'000 * kMs})
    EXPECT_TRUE(std::ranges::binary_search(kLatencyBoundsNs, named)) << named;
  EXPECT_EQ(kLatencyBoundsNs.size(), 56U);
  for (size_t i = 1; i < kLatencyBoundsNs.size(); ++i) {
    EXPECT_LT(kLatencyBoundsNs[i - 1], kLatencyBoundsNs[i]);
    EXPECT_LE(kLatencyBoundsNs[i], 2 * kLatencyBoundsNs[i - 1]);
  }
}

// Held against the plain definition: the first bound that is not below the duration.
TEST(LatencyHistogram, EachDurationIsInItsBucket) {
  const auto expected = [](uint64_t ns) {
    return static_cast<size_t>(std::ranges::lower_bound(kLatencyBoundsNs, ns) -
                               kLatencyBoundsNs.begin());
  };
  for (const uint64_t bound : kLatencyBoundsNs)
    for (const uint64_t ns : {bound - 1, bound, bound + 1})
      EXPECT_EQ(LatencyHistogram::bucket_of(ns), expected(ns)) << ns;
  for (unsigned bit = 0; bit < 64; ++bit)
    for (const uint64_t ns : {(uint64_t{1} << bit) - 1, uint64_t{1} << bit})
      EXPECT_EQ(LatencyHistogram::bucket_of(ns), expected(ns)) << ns;
  EXPECT_EQ(LatencyHistogram::bucket_of(UINT64_MAX), kLatencyBoundsNs.size());
  std::mt19937_64 random(1);
  for (int i = 0; i < 10'000; ++i) {
    const uint64_t ns = random() >> (random() % 64);
    EXPECT_EQ(LatencyHistogram::bucket_of(ns), expected(ns)) << ns;
  }
}

TEST(LatencyHistogram, CountsAndSums) {
  LatencyHistogram histogram;
  histogram.add(microseconds(10));
  histogram.add(microseconds(150));
  histogram.add(seconds(100));
  histogram.add(nanoseconds(-5));
  EXPECT_EQ(histogram.count(), 4U);
  EXPECT_EQ(histogram.sum_ns(), 100'000'160'000U);
  EXPECT_EQ(histogram.buckets().front(), 2U);
  EXPECT_EQ(histogram.buckets().back(), 1U);
  LatencyHistogram twice = histogram;
  twice += histogram;
  EXPECT_EQ(twice.count(), 8U);
  EXPECT_EQ(twice.sum_ns(), 2 * histogram.sum_ns());
}

TEST(Quantile, IsInterpolatedWithinItsBucket) {
  const std::vector<double> limits{10, 20, 40};
  const std::vector<uint64_t> even{10, 10, 10, 0};
  EXPECT_DOUBLE_EQ(*quantile(even, limits, 0.5), 15);
  EXPECT_DOUBLE_EQ(*quantile(even, limits, 1), 40);
  EXPECT_DOUBLE_EQ(*quantile(even, limits, 0), 0);
  EXPECT_DOUBLE_EQ(*quantile(std::vector<uint64_t>{0, 0, 4, 0}, limits, 0.25), 25);
  EXPECT_DOUBLE_EQ(*quantile(std::vector<uint64_t>{1, 0, 0, 9}, limits, 0.5), 40) << "at least";
}

TEST(Quantile, OfNothingThereIsNone) {
  const std::vector<double> limits{10, 20};
  EXPECT_FALSE(quantile(std::vector<uint64_t>{0, 0, 0}, limits, 0.5));
  EXPECT_FALSE(quantile(std::vector<uint64_t>{1, 1}, limits, 0.5)) << "a bucket is missing";
  EXPECT_FALSE(quantile({}, {}, 0.5));
  EXPECT_FALSE(quantile(std::vector<uint64_t>{1, 1, 1}, std::vector<double>{20, 20}, 0.5));
}

TEST(Quantile, IsAsGoodAsTheBuckets) {
  std::mt19937_64 random(7);
  std::lognormal_distribution<double> latency(14, 1.5);  // Its median is a good millisecond.
  LatencyHistogram histogram;
  std::vector<uint64_t> all;
  for (int i = 0; i < 20'000; ++i) {
    all.push_back(static_cast<uint64_t>(latency(random)));
    histogram.add(nanoseconds(all.back()));
  }
  std::ranges::sort(all);
  for (const double q : {0.5, 0.9, 0.99}) {
    const auto exact = static_cast<double>(all[static_cast<size_t>(q * 20'000)]);
    EXPECT_NEAR(*quantile(histogram.buckets(), bounds(), q), exact, exact * 0.15) << q;
  }
}

}  // namespace
}  // namespace tcmurbd
