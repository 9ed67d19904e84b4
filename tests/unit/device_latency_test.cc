// SPDX-License-Identifier: Apache-2.0
// What the device counts of its commands: operations, answers, stages, and how long they took.
#include <gmock/gmock.h>

#include <cerrno>

#include "tests/unit/device_fixture.h"

namespace tcmurbd {
namespace {

using scsi::Operation;
using std::chrono::milliseconds;
using testing::Bytes;
using testing::DeviceFixture;

struct DeviceLatencyTest : ::testing::Test {
  const LatencyHistogram& command(Operation operation) {
    return lun.device.latency().command[std::to_underlying(operation)];
  }
  const LatencyHistogram& image(Operation operation) {
    return lun.device.latency().image[std::to_underlying(operation)];
  }
  uint64_t taken(Operation operation) {
    return lun.device.counters().commands_by_operation[std::to_underlying(operation)];
  }
  uint64_t answered(AnswerKind kind) {
    return lun.device.counters().answers[std::to_underlying(kind)];
  }

  DeviceFixture lun;
};

TEST_F(DeviceLatencyTest, OfACommandFromTheRingToItsAnswer) {
  lun.read(0, 8);
  lun.now += milliseconds(7);
  EXPECT_EQ(command(Operation::kRead).count(), 0U);
  lun.finish(0);
  EXPECT_EQ(command(Operation::kRead).count(), 1U);
  EXPECT_EQ(command(Operation::kRead).sum_ns(), 7'000'000U);
  EXPECT_EQ(command(Operation::kRead).buckets()[LatencyHistogram::bucket_of(7'000'000)], 1U);
  EXPECT_EQ(image(Operation::kRead).sum_ns(), 7'000'000U);
  EXPECT_EQ(command(Operation::kWrite).count(), 0U);
}

TEST_F(DeviceLatencyTest, TheImageOpLeavesOutWhatWeWaitedFor) {
  lun.play_jobs = false;
  lun.write(0, Bytes(512, 1));
  lun.now += milliseconds(30);  // For the lock.
  EXPECT_EQ(lun.take_action(), lock::Action::kAcquire);
  lun.device.on_lock_event(lock::Outcome::kAcquired, lun.now);
  lun.now += milliseconds(2);
  lun.finish(0);
  EXPECT_EQ(command(Operation::kWrite).sum_ns(), 32'000'000U);
  EXPECT_EQ(image(Operation::kWrite).sum_ns(), 2'000'000U);
  EXPECT_EQ(lun.device.counters().lock_waits, 1U);
}

TEST_F(DeviceLatencyTest, AnAbortedCommandIsAnsweredBeforeItsOpEnds) {
  const uint64_t tag = lun.write(0, Bytes(512, 1));
  lun.now += milliseconds(10);
  lun.kernel.abort(tag);
  lun.run();
  EXPECT_EQ(command(Operation::kWrite).sum_ns(), 10'000'000U);
  EXPECT_EQ(image(Operation::kWrite).count(), 0U);
  lun.now += milliseconds(500);
  lun.finish(0);
  EXPECT_EQ(command(Operation::kWrite).count(), 1U) << "answered once";
  EXPECT_EQ(image(Operation::kWrite).sum_ns(), 510'000'000U);
  EXPECT_EQ(answered(AnswerKind::kTaskAborted), 1U);
}

TEST_F(DeviceLatencyTest, CommandsByOperation) {
  lun.read(0, 1);
  lun.write(1, Bytes(512, 1));
  lun.send({.cdb = DeviceFixture::cdb10(0x35, 0, 0)});
  lun.send({.cdb = {0, 0, 0, 0, 0, 0}});
  lun.send({.cdb = {0xff, 0, 0, 0, 0, 0}});
  lun.send({.cdb = DeviceFixture::cdb10(0x41, 64, 8), .data_out = Bytes(512, 0)});
  EXPECT_EQ(taken(Operation::kRead), 1U);
  EXPECT_EQ(taken(Operation::kWrite), 1U);
  EXPECT_EQ(taken(Operation::kFlush), 1U);
  EXPECT_EQ(taken(Operation::kWriteSame), 1U);
  EXPECT_EQ(taken(Operation::kOther), 2U) << "and what is no command";
  EXPECT_EQ(lun.device.counters().commands, 6U);
  lun.finish_all();
  EXPECT_EQ(answered(AnswerKind::kGood), 5U);
  EXPECT_EQ(answered(AnswerKind::kCheckCondition), 1U);
  EXPECT_EQ(
      lun.device.counters().check_conditions_by_key[std::to_underlying(SenseKind::kIllegalRequest)],
      1U);
}

TEST_F(DeviceLatencyTest, AbortsByStage) {
  const auto stage = [this](AbortStage of) {
    return lun.device.counters().aborts_by_stage[std::to_underlying(of)];
  };
  const uint64_t change = lun.write(0, Bytes(512, 1));
  const uint64_t waits = lun.write(0, Bytes(512, 2));
  const uint64_t read = lun.read(64, 1);
  EXPECT_EQ(lun.device.counters().range_waits, 1U);
  for (const uint64_t tag : {waits, change, read}) lun.kernel.abort(tag);
  lun.run();
  EXPECT_EQ(stage(AbortStage::kWaiting), 1U);
  EXPECT_EQ(stage(AbortStage::kChangeInLibrbd), 1U);
  EXPECT_EQ(stage(AbortStage::kReadInLibrbd), 1U);
  EXPECT_EQ(lun.device.counters().task_managements_by_type[std::to_underlying(TmrKind::kAbortTask)],
            3U);
}

TEST_F(DeviceLatencyTest, FencesByCause) {
  const auto cause = [this](lock::FenceCause of) {
    return lun.device.counters().fences_by_cause[std::to_underlying(of)];
  };
  lun.write(0, Bytes(512, 1));
  lun.finish(0, -ESHUTDOWN);
  EXPECT_EQ(cause(lock::FenceCause::kLost), 1U);
  EXPECT_EQ(lun.device.counters().fences, 1U);
}

TEST_F(DeviceLatencyTest, AFenceForAHungWriteHasItsCause) {
  const uint64_t tag = lun.write(0, Bytes(512, 1));
  lun.kernel.abort(tag);
  lun.run();
  lun.wait(std::chrono::seconds(6));
  ASSERT_EQ(lun.take_action(), lock::Action::kFence);
  lun.device.on_lock_event(lock::Outcome::kFenced, lun.now);
  EXPECT_EQ(lun.device.counters().fences_by_cause[std::to_underlying(lock::FenceCause::kHungOp)],
            1U);
}

TEST_F(DeviceLatencyTest, GaugesOfAnIdleLun) {
  const DeviceGauges gauges = lun.device.gauges(lun.now);
  EXPECT_EQ(gauges.bytes, 2048U * 512);
  EXPECT_EQ(gauges.in_flight, 0U);
  EXPECT_EQ(gauges.oldest, Duration{});
  EXPECT_EQ(gauges.ring_used, 0U);
  EXPECT_GT(gauges.ring_bytes, 0U);
  EXPECT_EQ(gauges.data_used, 0U);
  EXPECT_GT(gauges.data_bytes, 0U);
}

TEST_F(DeviceLatencyTest, GaugesOfCommandsInFlight) {
  lun.read(0, 9);
  lun.now += milliseconds(100);
  lun.write(64, Bytes(512, 1));
  lun.now += milliseconds(50);
  const DeviceGauges gauges = lun.device.gauges(lun.now);
  EXPECT_EQ(gauges.in_flight, 2U);
  EXPECT_EQ(gauges.oldest, milliseconds(150));
  EXPECT_EQ(gauges.hung, 0U);
  EXPECT_GT(gauges.ring_used, 0U);
  EXPECT_LE(gauges.ring_used, gauges.ring_bytes);
  EXPECT_EQ(gauges.data_used, 3U * 4096) << "in pages";
  lun.finish_all();
  const DeviceGauges after = lun.device.gauges(lun.now);
  EXPECT_EQ(after.in_flight, 0U);
  EXPECT_EQ(after.ring_used, 0U);
  EXPECT_EQ(after.data_used, 0U);
  EXPECT_EQ(after.lock, lock::State::kOwned);
}

TEST_F(DeviceLatencyTest, AnOpThatStaysInLibrbdHangs) {
  lun.read(8, 1);
  lun.now += kHangToldAfter - milliseconds(1);
  EXPECT_EQ(lun.device.gauges(lun.now).hung, 0U);
  lun.now += milliseconds(1);
  const DeviceGauges gauges = lun.device.gauges(lun.now);
  EXPECT_EQ(gauges.hung, 1U);
  EXPECT_EQ(gauges.hung_ranges, std::vector<ByteRange>({{8 * 512, 512}}));
  EXPECT_EQ(gauges.oldest, kHangToldAfter);
}

TEST_F(DeviceLatencyTest, ADetachedOpHangsToo) {
  const uint64_t tag = lun.read(8, 1);
  lun.kernel.abort(tag);
  lun.run();
  lun.now += kHangToldAfter;
  const DeviceGauges gauges = lun.device.gauges(lun.now);
  EXPECT_EQ(gauges.in_flight, 0U);
  EXPECT_EQ(gauges.oldest, Duration{});
  EXPECT_EQ(gauges.detached, 1U);
  EXPECT_EQ(gauges.oldest_detached, kHangToldAfter);
  EXPECT_EQ(gauges.hung, 1U);
  EXPECT_EQ(gauges.data_used, 4096U) << "its buffer is kept";
}

TEST_F(DeviceLatencyTest, OnlySoManyHungRangesAreLookedFor) {
  DeviceFixture wide(2048, {.ring_bytes = 65536 - 128});
  for (uint32_t i = 0; i < kHungRangesMax + 10; ++i) wide.read(i, 1);
  wide.now += kHangToldAfter;
  const DeviceGauges gauges = wide.device.gauges(wide.now);
  EXPECT_EQ(gauges.hung, kHungRangesMax + 10);
  EXPECT_EQ(gauges.hung_ranges.size(), kHungRangesMax);
}

// A reader that sums over a label gets what the counter without it says.
TEST(DeviceCountersList, EachNameIsThereOnce) {
  std::vector<std::string> names;
  std::vector<std::string> series;
  for (const DeviceCounter& counter : kDeviceCounters) {
    for (size_t i = 0; i < counter.size(); ++i) {
      const std::string value(counter.values.empty() ? counter.value : counter.values[i]);
      names.push_back(std::string(counter.name) + (counter.values.empty() ? "" : "_" + value));
      if (!counter.metric.empty())
        series.push_back(std::string(counter.metric) + "{" + std::string(counter.label) + value);
    }
  }
  for (auto* list : {&names, &series}) {
    std::ranges::sort(*list);
    EXPECT_EQ(std::ranges::adjacent_find(*list), list->end());
  }
  EXPECT_THAT(names, ::testing::IsSupersetOf({"reads", "writes", "write_bytes", "lock_acquired",
                                              "commands", "commands_read", "answers_busy"}));
}

}  // namespace
}  // namespace tcmurbd
