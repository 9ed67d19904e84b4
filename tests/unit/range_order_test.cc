// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/task/range_order.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <utility>

namespace tcmurbd::task {
namespace {

std::vector<uint32_t> numbers(const std::vector<TaskId>& ids) {
  std::vector<uint32_t> out;
  for (const TaskId id : ids) out.push_back(std::to_underlying(id));
  return out;
}

// Helpers: enter/leave by owner, and the owners that became ready.
class RangeOrderTest : public ::testing::Test {
 protected:
  bool write(uint32_t owner, uint64_t offset, uint64_t length) {
    const ByteRange range{offset, length};
    return order_.enter(TaskId{owner}, {&range, 1}, Access::kWrite);
  }
  bool read(uint32_t owner, uint64_t offset, uint64_t length) {
    const ByteRange range{offset, length};
    return order_.enter(TaskId{owner}, {&range, 1}, Access::kRead);
  }
  bool glance(uint32_t owner, uint64_t offset, uint64_t length) {
    const ByteRange range{offset, length};
    return order_.enter(TaskId{owner}, {&range, 1}, Access::kNonBlockingRead);
  }
  bool flush(uint32_t owner) { return order_.enter(TaskId{owner}, {}, Access::kFlush); }
  std::vector<uint32_t> leave(uint32_t owner) {
    std::vector<TaskId> ready;
    order_.leave(TaskId{owner}, ready);
    return numbers(ready);
  }
  std::vector<uint32_t> hold(uint32_t owner) {
    std::vector<TaskId> ready;
    order_.hold(TaskId{owner}, ready);
    return numbers(ready);
  }
  RangeOrder order_;
};

using Owners = std::vector<uint32_t>;

TEST_F(RangeOrderTest, OverlappingWritesRunOneAfterTheOther) {
  EXPECT_TRUE(write(1, 0, 10));
  EXPECT_FALSE(write(2, 9, 10));
  EXPECT_FALSE(write(3, 9, 1));
  EXPECT_EQ(leave(1), Owners{2});
  EXPECT_EQ(leave(2), Owners{3});
  EXPECT_EQ(leave(3), Owners{});
  EXPECT_TRUE(order_.empty());
}

TEST_F(RangeOrderTest, NeighboursDoNotWait) {
  EXPECT_TRUE(write(1, 0, 10));
  EXPECT_TRUE(write(2, 10, 10));
  EXPECT_TRUE(read(3, 20, 10));
}

TEST_F(RangeOrderTest, AGlanceWaitsForWritesAndNothingWaitsForIt) {
  EXPECT_TRUE(read(1, 0, 10));
  EXPECT_TRUE(glance(2, 0, 100));
  EXPECT_TRUE(write(3, 50, 10));
  EXPECT_FALSE(glance(4, 0, 100));
  EXPECT_TRUE(write(5, 70, 10));
  EXPECT_FALSE(write(6, 50, 10));
  EXPECT_EQ(leave(5), Owners{});
  EXPECT_EQ(leave(3), (Owners{4, 6}));
  EXPECT_TRUE(write(7, 90, 10));
  EXPECT_FALSE(flush(8));
  EXPECT_EQ(leave(2), Owners{});
  EXPECT_EQ(leave(4), Owners{});
}

TEST_F(RangeOrderTest, ReadsPassReadsButNotWrites) {
  EXPECT_TRUE(read(1, 0, 10));
  EXPECT_TRUE(read(2, 0, 10));
  EXPECT_FALSE(write(3, 5, 1));
  EXPECT_FALSE(read(4, 5, 1));  // A later read must not starve the write, nor return older data.
  EXPECT_EQ(leave(1), Owners{});
  EXPECT_EQ(leave(2), Owners{3});
  EXPECT_EQ(leave(3), Owners{4});
}

TEST_F(RangeOrderTest, FlushWaitsForEarlierWritesOnly) {
  EXPECT_TRUE(read(1, 0, 10));
  EXPECT_TRUE(flush(2));
  EXPECT_TRUE(write(3, 0x1000, 10));
  EXPECT_FALSE(write(4, 0x1000, 10));
  EXPECT_FALSE(flush(5));
  EXPECT_TRUE(write(6, 0x9000, 10));
  EXPECT_EQ(leave(3), Owners{4});
  EXPECT_EQ(leave(4), Owners{5});
}

TEST_F(RangeOrderTest, GivingUpAWaiterFreesThoseBehindIt) {
  EXPECT_TRUE(read(1, 0, 10));
  EXPECT_FALSE(write(2, 0, 10));
  EXPECT_FALSE(read(3, 0, 10));
  EXPECT_EQ(leave(2), Owners{3});
}

TEST_F(RangeOrderTest, AClaimOfManyRangesWaitsForAllOfThem) {
  const ByteRange both[] = {{0, 10}, {100, 10}};
  EXPECT_TRUE(write(1, 5, 1));
  EXPECT_TRUE(write(2, 105, 1));
  EXPECT_FALSE(order_.enter(TaskId{3}, both, Access::kWrite));
  EXPECT_FALSE(write(4, 100, 1));
  EXPECT_EQ(leave(2), Owners{});
  EXPECT_EQ(leave(1), Owners{3});
  EXPECT_EQ(leave(3), Owners{4});
}

// Compares with the definition: an op may run when no earlier remaining op conflicts
TEST_F(RangeOrderTest, AFlushWaitsNoLongerForAHeldWrite) {
  EXPECT_TRUE(write(1, 0, 10));
  EXPECT_TRUE(write(2, 50, 10));
  EXPECT_FALSE(flush(3));
  EXPECT_FALSE(flush(4));
  EXPECT_EQ(hold(1), Owners{});
  EXPECT_EQ(hold(2), (Owners{3, 4}));
  EXPECT_TRUE(flush(5)) << "nor does one that comes later";
  EXPECT_EQ(leave(1), Owners{});
  EXPECT_EQ(leave(2), Owners{});
  EXPECT_TRUE(order_.empty());
}

TEST_F(RangeOrderTest, WhatOverlapsAHeldWriteWaitsForItsEnd) {
  EXPECT_TRUE(write(1, 0, 10));
  EXPECT_FALSE(write(2, 9, 10));
  EXPECT_FALSE(read(3, 0, 1));
  EXPECT_EQ(hold(1), Owners{});
  EXPECT_FALSE(read(4, 5, 1));
  EXPECT_FALSE(write(5, 0, 1));
  EXPECT_TRUE(write(6, 20, 1)) << "no wait elsewhere";
  EXPECT_EQ(leave(1), (Owners{2, 3, 4}));
  EXPECT_EQ(leave(3), Owners{5});
}

TEST_F(RangeOrderTest, AFlushStillWaitsForWhatWaitsBehindAHeldWrite) {
  EXPECT_TRUE(write(1, 0, 10));
  EXPECT_FALSE(write(2, 0, 10));
  EXPECT_FALSE(flush(3));
  EXPECT_EQ(hold(1), Owners{}) << "the second one is live";
  EXPECT_EQ(leave(1), Owners{2});
  EXPECT_EQ(leave(2), Owners{3});
  EXPECT_TRUE(order_.empty());
}

TEST_F(RangeOrderTest, AHeldWriteOfManyRangesFreesAFlushOnce) {
  const ByteRange ranges[]{{0, 10}, {100, 10}, {200, 10}};
  EXPECT_TRUE(order_.enter(TaskId{1}, ranges, Access::kWrite));
  EXPECT_FALSE(flush(2));
  EXPECT_FALSE(write(3, 205, 10));
  EXPECT_EQ(hold(1), Owners{2});
  EXPECT_EQ(leave(1), Owners{3});
  EXPECT_EQ(leave(3), Owners{});
  EXPECT_TRUE(order_.empty());
}

TEST_F(RangeOrderTest, AnEarlierFlushGainsNothingFromALaterHold) {
  EXPECT_TRUE(write(1, 0, 10));
  EXPECT_FALSE(flush(2));
  EXPECT_TRUE(write(3, 50, 10));
  EXPECT_EQ(hold(3), Owners{});
  EXPECT_EQ(leave(3), Owners{});
  EXPECT_EQ(leave(1), Owners{2});
}

// with it.
TEST(RangeOrderRandom, AgreesWithTheDefinition) {
  const unsigned seed = std::random_device{}();
  SCOPED_TRACE(::testing::Message() << "seed " << seed);
  std::mt19937 rng(seed);
  struct Op {
    std::vector<ByteRange> ranges;
    Access access;
    bool running;
  };
  const auto conflict = [](const Op& a, const Op& b) {
    if (b.access == Access::kFlush) return a.access == Access::kWrite;
    if (a.access == Access::kFlush || a.access == Access::kNonBlockingRead) return false;
    if (a.access == Access::kRead && b.access != Access::kWrite) return false;
    return std::ranges::any_of(a.ranges, [&](const ByteRange& x) {
      return std::ranges::any_of(b.ranges, [&](const ByteRange& y) { return x.overlaps(y); });
    });
  };
  RangeOrder order;
  std::map<uint32_t, Op> ops;  // By owner, which ascend with age here.
  uint32_t next_owner = 0;
  const auto may_run = [&](uint32_t owner) {
    return std::ranges::none_of(ops, [&](const auto& item) {
      return item.first < owner && conflict(item.second, ops.at(owner));
    });
  };
  for (int step = 0; step < 20000; ++step) {
    if (ops.size() < 24 && rng() % 2 == 0) {
      Op op{{}, static_cast<Access>(rng() % 4), false};
      const size_t ranges = op.access == Access::kFlush ? 0 : 1 + rng() % 3;
      for (size_t i = 0; i < ranges; ++i) op.ranges.push_back({rng() % 40, 1 + rng() % 6});
      const uint32_t owner = next_owner++;
      const bool runs = order.enter(TaskId{owner}, op.ranges, op.access);
      ops[owner] = op;
      ASSERT_EQ(runs, may_run(owner));
      ops[owner].running = runs;
      if (runs && op.access == Access::kFlush) ops.erase(owner);
    } else if (!ops.empty()) {
      auto chosen = std::next(ops.begin(), static_cast<ptrdiff_t>(rng() % ops.size()));
      // Mostly those that run end; now and then a waiting one is given up.
      if (!chosen->second.running && rng() % 8 != 0) continue;
      std::vector<TaskId> left;
      order.leave(TaskId{chosen->first}, left);
      const std::vector<uint32_t> ready = numbers(left);
      ops.erase(chosen);
      std::vector<uint32_t> expected;
      for (auto& [owner, op] : ops) {
        if (!op.running && may_run(owner)) expected.push_back(owner);
      }
      ASSERT_EQ(ready, expected);
      for (const uint32_t owner : ready) ops[owner].running = true;
      // A flush ends the moment its turn comes.
      std::erase_if(ops, [](const auto& item) {
        return item.second.running && item.second.access == Access::kFlush;
      });
    }
  }
}

}  // namespace
}  // namespace tcmurbd::task
