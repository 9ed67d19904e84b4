// SPDX-License-Identifier: Apache-2.0
// The flight recorder of a Device, and the stories that are made of it.
#include "rbd_handler/device/flight_story.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <string>
#include <vector>

#include "tests/unit/device_fixture.h"

namespace tcmurbd::testing {
namespace {

using std::chrono::milliseconds;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

std::vector<FlightStory> stories_of(DeviceFixture& lun) {
  return tell_stories(lun.device.flight(lun.now));
}

std::vector<std::string> texts(const FlightStory& story) {
  std::vector<std::string> all;
  for (const FlightStep& step : story.steps) all.push_back(step.text);
  return all;
}

// Of the commands, without the events of the LUN.
std::vector<FlightStory> commands_of(DeviceFixture& lun) {
  auto stories = stories_of(lun);
  std::erase_if(stories, [](const FlightStory& story) { return story.command == 0; });
  return stories;
}

std::vector<std::string> lun_events(DeviceFixture& lun) {
  std::vector<std::string> all;
  for (const FlightStory& story : stories_of(lun))
    if (story.command == 0) all.push_back(story.steps.at(0).text);
  return all;
}

TEST(FlightRecorder, KeepsTheLast) {
  FlightRecorder recorder;
  EXPECT_THAT(recorder.list(), IsEmpty());
  for (uint64_t i = 0; i < FlightLog::kEvents + 10; ++i) recorder.note({.a = i});
  const auto events = recorder.list();
  ASSERT_THAT(events, SizeIs(FlightLog::kEvents));
  EXPECT_EQ(events.front().a, 10U);
  EXPECT_EQ(events.back().a, FlightLog::kEvents + 9);
  EXPECT_EQ(recorder.total(), FlightLog::kEvents + 10);
}

// Another process tells the story too: there are no addresses in it.
TEST(FlightRecorder, KeepsTheCdb) {
  const std::vector<uint8_t> cdb{0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 32, 0, 7};
  const FlightEvent taken = taken_event(TimePoint(milliseconds(1)), 5, 6, cdb);
  EXPECT_EQ(taken.detail, 16);
  EXPECT_THAT(cdb_of(taken), ::testing::ElementsAreArray(cdb));
  std::vector<uint8_t> long_one = cdb;
  long_one.resize(32);
  EXPECT_EQ(taken_event(TimePoint(milliseconds(1)), 5, 6, long_one).detail, 16);
  const auto stories = tell_stories({.events = {taken, {.command = 6}}});
  ASSERT_THAT(stories, SizeIs(2));
  EXPECT_EQ(stories[0].name, "READ CAPACITY(16)");
  EXPECT_EQ(stories[1].name, "piece of EXTENDED COPY") << "no CDB";
}

TEST(FlightStory, OfACommandThatEndsWell) {
  DeviceFixture lun;
  lun.write(8, Bytes(1024, 1));
  lun.now += milliseconds(3);
  lun.finish_all();
  const auto stories = commands_of(lun);
  ASSERT_THAT(stories, SizeIs(1));
  EXPECT_EQ(stories[0].name, "WRITE(10)");
  EXPECT_EQ(stories[0].range, (ByteRange{4096, 1024}));
  EXPECT_THAT(texts(stories[0]), Contains("in-librbd"));
  EXPECT_EQ(stories[0].steps.back(), (FlightStep{milliseconds(3), "answered GOOD"}));
}

TEST(FlightStory, OfAnAnswerWithoutAnImageOp) {
  DeviceFixture lun;
  lun.send({.cdb = {0x28, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 1, 0}, .data_in_bytes = 512});
  const auto stories = commands_of(lun);
  ASSERT_THAT(stories, SizeIs(1));
  EXPECT_EQ(stories[0].name, "READ(10)");
  EXPECT_EQ(stories[0].range, ByteRange{});
  EXPECT_THAT(texts(stories[0]), ElementsAre("answered CHECK CONDITION 5/21/00"));
}

// The story of every stall: where it hung, what was done, when it ended.
TEST(FlightStory, OfAHungWrite) {
  DeviceFixture lun;
  const uint64_t hung = lun.write(8, Bytes(512, 1));
  const uint64_t behind = lun.write(8, Bytes(512, 2));
  lun.now += milliseconds(500);
  lun.kernel.abort(hung);
  lun.run();
  lun.now += milliseconds(1000);
  lun.device.on_hang_located(4096, std::vector{2, 0, 1}, lun.now);
  lun.now += milliseconds(1000);
  lun.finish(0, -ETIMEDOUT);
  const auto stories = commands_of(lun);
  ASSERT_THAT(stories, SizeIs(2));
  const auto& steps = stories[0].steps;
  ASSERT_GE(steps.size(), 5U);
  const std::vector<FlightStep> last(steps.end() - 5, steps.end());
  EXPECT_THAT(last, ElementsAre(FlightStep{milliseconds(500), "aborted by ABORT_TASK"},
                                FlightStep{milliseconds(500), "answered TASK ABORTED"},
                                FlightStep{milliseconds(500), "detached"},
                                FlightStep{milliseconds(1500), "hung, on osd.2, osd.0 and 1 more"},
                                FlightStep{milliseconds(2500), "image op ended with -110"}));
  EXPECT_THAT(texts(stories[1]), Contains("waits-for-range"));
  EXPECT_THAT(lun_events(lun), Contains("ABORT_TASK of 1 commands"));
  EXPECT_TRUE(lun.outstanding(behind));
}

TEST(FlightStory, OfAFence) {
  DeviceFixture lun;
  lun.write(8, Bytes(512, 1));
  lun.finish(0, -ETIMEDOUT);
  ASSERT_EQ(lun.action, lock::Action::kFence);
  lun.device.on_lock_event(lock::Outcome::kFenced, lun.now);
  EXPECT_THAT(lun_events(lun), Contains("lock: reopening"));
  EXPECT_EQ(lun.device.counters().fences, 1U);
  EXPECT_EQ(commands_of(lun).at(0).steps.back().text, "given-up");
}

TEST(FlightStory, OfTheLun) {
  DeviceFixture lun;
  lun.device.on_away(AwayCause::kWatchLost, {}, lun.now);
  lun.device.on_hang_located(512, std::vector<int>{}, lun.now);
  EXPECT_THAT(lun_events(lun), Contains("away: the cluster removed the watch on the lock channel"));
  EXPECT_THAT(lun_events(lun), Contains("offset 512: hung, on no OSD"));
}

// The kernel uses a cmd_id again at once.
TEST(FlightStory, EachCommandHasItsOwn) {
  DeviceFixture lun;
  for (uint32_t i = 0; i < 3; ++i) {
    lun.read(i, 1);
    lun.finish_all();
  }
  const auto stories = commands_of(lun);
  ASSERT_THAT(stories, SizeIs(3));
  EXPECT_EQ(stories[0].cmd_id, stories[2].cmd_id);
  EXPECT_LT(stories[0].command, stories[2].command);
}

}  // namespace
}  // namespace tcmurbd::testing
