// SPDX-License-Identifier: Apache-2.0
// Rates and latencies from two answers to the request "status".
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "rbd_handler/ctl/load.h"

namespace tcmurbd {
namespace {

using nlohmann::json;
using ::testing::DoubleNear;
using ::testing::Optional;

Histogram histogram_of(std::vector<uint64_t> buckets) {
  Histogram all{.buckets = std::move(buckets), .bounds = {0.001, 0.01, 0.1}};
  for (const uint64_t bucket : all.buckets) all.count += bucket;
  return all;
}

TEST(Histograms, Quantiles) {
  EXPECT_EQ(histogram_of({0, 0, 0, 0}).quantile(0.5), std::nullopt);
  EXPECT_THAT(histogram_of({100, 0, 0, 0}).quantile(0.5), Optional(DoubleNear(0.0005, 1e-9)));
  EXPECT_THAT(histogram_of({50, 50, 0, 0}).quantile(0.5), Optional(DoubleNear(0.001, 1e-9)));
  EXPECT_THAT(histogram_of({50, 50, 0, 0}).quantile(0.75), Optional(DoubleNear(0.0055, 1e-9)));
  EXPECT_THAT(histogram_of({99, 0, 1, 0}).quantile(1), Optional(DoubleNear(0.1, 1e-9)));
  EXPECT_THAT(histogram_of({0, 0, 0, 5}).quantile(0.5), Optional(0.1)) << "the lower bound";
}

TEST(Histograms, Mean) {
  EXPECT_EQ(Histogram{}.mean(), std::nullopt);
  EXPECT_THAT((Histogram{.count = 4, .sum = 2}.mean()), Optional(0.5));
}

TEST(Histograms, SinceAnEarlierOne) {
  Histogram later = histogram_of({5, 3, 0, 1});
  later.sum = 7;
  Histogram earlier = histogram_of({5, 1, 0, 0});
  earlier.sum = 2;
  EXPECT_EQ(later.since(earlier).buckets, (std::vector<uint64_t>{0, 2, 0, 1}));
  EXPECT_EQ(later.since(earlier).count, 3U);
  EXPECT_EQ(later.since(earlier).sum, 5);
  EXPECT_EQ(earlier.since(later).buckets, earlier.buckets) << "it began again";
}

// As the daemon's status has it.
json status(uint64_t reads, uint64_t read_bytes, const char* latency = nullptr) {
  json device{{"name", "a"},
              {"image", "i"},
              {"state", "serving"},
              {"counters",
               {{"reads", reads}, {"read_bytes", read_bytes}, {"writes", 0}, {"write_bytes", 0}}}};
  if (latency != nullptr) device["latency"] = json::parse(latency);
  return {{"latency_bounds_us", {50, 100}}, {"devices", {device}}};
}

constexpr const char* kBefore = R"({"command": {
  "read": {"count": 2, "sum_ns": 100000, "buckets": [2, 0, 0]},
  "write": {"count": 0, "sum_ns": 0, "buckets": [0, 0, 0]}},
  "image": {"read": {"count": 9, "sum_ns": 1, "buckets": [9, 0, 0]}}})";
constexpr const char* kAfter = R"({"command": {
  "read": {"count": 102, "sum_ns": 10100000, "buckets": [2, 100, 0]},
  "write": {"count": 100, "sum_ns": 90000000, "buckets": [0, 0, 100]}},
  "image": {"read": {"count": 99, "sum_ns": 1, "buckets": [99, 0, 0]}}})";

TEST(Loads, RatesOfTwoAnswers) {
  const json before = status(100, 1000);
  const json after = status(300, 5000);
  const Load load = loads(&before, after, 2).at("a");
  EXPECT_THAT(load.reads.ops, Optional(100.0));
  EXPECT_THAT(load.reads.bytes, Optional(2000.0));
  EXPECT_THAT(load.writes.ops, Optional(0.0));
  EXPECT_THAT(load.ops, Optional(100.0));
  EXPECT_EQ(load.p50, std::nullopt);
  EXPECT_EQ(load.queue, std::nullopt);
}

TEST(Loads, LatenciesOfTwoAnswers) {
  const json before = status(0, 0, kBefore);
  const json after = status(100, 0, kAfter);
  const Load load = loads(&before, after, 2).at("a");
  EXPECT_THAT(load.reads.mean, Optional(DoubleNear(100e-6, 1e-9)));
  EXPECT_THAT(load.reads.p99, Optional(DoubleNear(99.5e-6, 1e-9)));
  EXPECT_THAT(load.writes.mean, Optional(DoubleNear(900e-6, 1e-9)));
  EXPECT_THAT(load.p50, Optional(DoubleNear(100e-6, 1e-9)));
  EXPECT_THAT(load.p99, Optional(DoubleNear(100e-6, 1e-9)));
  EXPECT_THAT(load.queue, Optional(DoubleNear(0.05, 1e-9)));
}

// TEST UNIT READY and the copies of a healthy LUN say nothing of its cluster.
TEST(Loads, CommandsWithoutDataDoNotCount) {
  const json after = status(0, 0, R"({"command": {
    "other": {"count": 900, "sum_ns": 1, "buckets": [900, 0, 0]},
    "extended_copy": {"count": 900, "sum_ns": 1, "buckets": [0, 0, 900]},
    "flush": {"count": 1, "sum_ns": 75000, "buckets": [0, 1, 0]},
    "unmap": {"count": 1, "sum_ns": 80000, "buckets": [0, 1, 0]}}})");
  const Load load = loads(nullptr, after, 0).at("a");
  EXPECT_THAT(load.p50, Optional(DoubleNear(75e-6, 1e-9)));
  EXPECT_THAT(load.p99, Optional(DoubleNear(99.5e-6, 1e-6)));
  EXPECT_THAT(load.writes.mean, Optional(DoubleNear(80e-6, 1e-9)));
  EXPECT_EQ(load.reads.mean, std::nullopt);
}

// The daemon leaves out operations that never came.
TEST(Loads, AnOperationThatIsNew) {
  const json before = status(0, 0, R"({"command": {}})");
  const json after = status(10, 0, kBefore);
  EXPECT_THAT(loads(&before, after, 1).at("a").reads.mean, Optional(DoubleNear(50e-6, 1e-9)));
}

TEST(Loads, OneAnswer) {
  const json after = status(300, 5000, kAfter);
  const Load load = loads(nullptr, after, 0).at("a");
  EXPECT_EQ(load.ops, std::nullopt);
  EXPECT_EQ(load.queue, std::nullopt);
  EXPECT_TRUE(load.p99.has_value());
}

TEST(Loads, ALunThatWasOpenedAgain) {
  const json before = status(1000, 1000, kAfter);
  const json after = status(20, 10, kBefore);
  const Load load = loads(&before, after, 1).at("a");
  EXPECT_THAT(load.reads.ops, Optional(20.0));
  EXPECT_THAT(load.reads.mean, Optional(DoubleNear(50e-6, 1e-9)));
}

TEST(Loads, ALunThatIsNew) {
  json before = status(1000, 1000);
  before["devices"] = json::array();
  EXPECT_EQ(loads(&before, status(20, 10), 1).at("a").ops, std::nullopt);
}

TEST(Loads, WithoutCounters) {
  const json opening{{"devices", {{{"name", "a"}, {"image", "i"}, {"state", "opening"}}}}};
  EXPECT_EQ(loads(&opening, opening, 1).at("a").ops, std::nullopt);
}

TEST(Loads, HistogramsThatDoNotFitTheirBounds) {
  json after = status(1, 1, R"({"command": {"read": {"count": 1, "sum_ns": 1, "buckets": [1]}}})");
  EXPECT_EQ(loads(nullptr, after, 0).at("a").p50, std::nullopt);
  after = status(1, 1, R"({"command": {"read": {"count": 1, "sum_ns": 1, "buckets": [1, 0, 0]}}})");
  after["latency_bounds_us"] = {100, 50};
  EXPECT_EQ(loads(nullptr, after, 0).at("a").p50, std::nullopt);
  after["devices"][0]["latency"] = nullptr;
  EXPECT_EQ(loads(nullptr, after, 0).at("a").p50, std::nullopt);
}

TEST(Loads, WrongTypesThrow) {
  const json wrong = status(1, 1, R"({"command": {"read": {"count": "x", "sum_ns": 1,
                                      "buckets": [1, 0, 0]}}})");
  EXPECT_THROW(loads(nullptr, wrong, 0), json::exception);
}

}  // namespace
}  // namespace tcmurbd
