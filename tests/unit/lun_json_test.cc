// SPDX-License-Identifier: Apache-2.0
// What tcmu-rbdctl gets of LUNs, as JSON.
#include "rbd_handler/daemon/lun_json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace tcmurbd {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;
using std::chrono::seconds;
using task::LadderEvent;
using task::TaskState;

LunSnapshot lun() {
  LunSnapshot snapshot{.label = {"user_0/disk1", "rbd/vm"},
                       .state = "serving",
                       .instance = "10.0.0.1:0/77",
                       .device = DeviceSnapshot{.more = 3, .block_size = 4096, .instance = 2},
                       .places = {}};
  snapshot.device->gate = {
      .state = lock::State::kOwned, .in_state = seconds(60), .fence_in = milliseconds(2500)};
  snapshot.device->ops.push_back({.sequence = 9,
                                  .cmd_id = 4,
                                  .command = "WRITE(16)",
                                  .state = TaskState::kDetached,
                                  .stage = "detached",
                                  .changes = true,
                                  .range = {8192, 4096},
                                  .ops = 1,
                                  .instance = 2,
                                  .ended_by = LadderEvent::kAborted,
                                  .queued = milliseconds(3500),
                                  .submitted = milliseconds(3250),
                                  .answered = milliseconds(500)});
  snapshot.places.push_back({.object = "rbd_data.1.2", .location = {{"2.1f", {2, 0}}}});
  snapshot.device->ops.push_back({.sequence = 10,
                                  .command = "SYNCHRONIZE CACHE(10)",
                                  .stage = "waits-for-range",
                                  .queued = seconds(1),
                                  .deadline_in = seconds(14)});
  snapshot.places.emplace_back();
  return snapshot;
}

json device_of(const std::string& text) {
  EXPECT_TRUE(text.ends_with("\n"));
  return json::parse(text).at("devices").at(0);
}

TEST(LunJson, OpsWithPlaces) {
  const json device = device_of(ops_json({lun()}));
  EXPECT_EQ(device.at("name"), "user_0/disk1");
  EXPECT_EQ(device.at("client"), "10.0.0.1:0/77");
  EXPECT_EQ(device.at("more"), 3);
  EXPECT_EQ(device.at("lock").at("state"), "owned");
  EXPECT_EQ(device.at("lock").at("fence_in"), 2.5);
  EXPECT_EQ(device.at("lock").at("busy_in"), nullptr);
  const json& op = device.at("ops").at(0);
  EXPECT_EQ(op.at("op"), "WRITE(16)");
  EXPECT_EQ(op.at("stage"), "detached");
  EXPECT_EQ(op.at("ended_by"), "abort");
  EXPECT_EQ(op.at("lba"), 2);
  EXPECT_EQ(op.at("range"), (json{{"offset", 8192}, {"length", 4096}}));
  EXPECT_EQ(op.at("age"), 3.5);
  EXPECT_EQ(op.at("in_librbd"), 3.25);
  EXPECT_EQ(op.at("answered"), 0.5);
  EXPECT_EQ(op.at("deadline_in"), nullptr);
  EXPECT_EQ(op.at("object"), "rbd_data.1.2");
  EXPECT_EQ(op.at("pg"), "2.1f");
  EXPECT_EQ(op.at("acting"), json::array({2, 0}));
}

TEST(LunJson, WhatAnOpDoesNotHaveIsNull) {
  const json op = device_of(ops_json({lun()})).at("ops").at(1);
  for (const char* name :
       {"lba", "range", "in_librbd", "answered", "ended_by", "object", "pg", "acting"})
    EXPECT_EQ(op.at(name), nullptr) << name;
  EXPECT_EQ(op.at("deadline_in"), 14);
}

TEST(LunJson, ALunThatDoesNotServe) {
  const json device =
      device_of(ops_json({{.label = {"user_0/disk1", "rbd/vm"}, .state = "opening"}}));
  EXPECT_EQ(device.at("state"), "opening");
  EXPECT_EQ(device.at("client"), nullptr);
  EXPECT_EQ(device.at("ops"), json::array());
  EXPECT_FALSE(device.contains("lock"));
  EXPECT_EQ(json::parse(ops_json({})).at("devices"), json::array());
}

// Names come from configfs.
TEST(LunJson, BytesThatAreNotUtf8) {
  LunSnapshot bad = lun();
  bad.label.name = "user_0/\xff";
  EXPECT_FALSE(json::parse(ops_json({bad}), nullptr, false).is_discarded());
}

TEST(LunJson, SlowOpsInTheShapeOfAnOsds) {
  const TimePoint now{std::chrono::hours(10)};
  const SlowOp op{.sequence = 9,
                  .command = "WRITE(16)",
                  .range = {8192, 4096},
                  .changes = true,
                  .ended_by = LadderEvent::kDeadline,
                  .queued = now - seconds(60),
                  .admitted = now - seconds(59),
                  .submitted = now - seconds(58),
                  .answered = now - seconds(45),
                  .ended = now - seconds(30),
                  .error = -110,
                  .scsi_status = 8};
  const LunSlow slow{
      .label = {"user_0/disk1", "rbd/vm"},
      .slow = {.ops = {op}, .total = 7, .slow_after = milliseconds(1500), .now = now},
      .wall = std::chrono::system_clock::time_point(seconds(1'000'000'060))};
  const json device = device_of(slow_json({slow}));
  EXPECT_EQ(device.at("num to keep"), 100);
  EXPECT_EQ(device.at("threshold to keep"), 1.5);
  EXPECT_EQ(device.at("total"), 7);
  const json& shown = device.at("Ops").at(0);
  EXPECT_EQ(shown.at("description"), "WRITE(16) offset=8192 length=4096");
  EXPECT_EQ(shown.at("initiated_at"), "2001-09-09T01:46:40.000000Z");
  EXPECT_EQ(shown.at("age"), 60);
  EXPECT_EQ(shown.at("duration"), 30);
  const json& data = shown.at("type_data");
  EXPECT_EQ(data.at("flag_point"), "detached, ended");
  EXPECT_EQ(data.at("ended_by"), "deadline");
  EXPECT_EQ(data.at("result"), -110);
  EXPECT_EQ(data.at("scsi_status"), 8);
  std::vector<std::pair<std::string, double>> events;
  for (const json& event : data.at("events"))
    events.emplace_back(event.at("event"), event.at("duration"));
  EXPECT_THAT(events,
              ::testing::ElementsAre(std::pair("queued", 0.0), std::pair("waited", 2.0),
                                     std::pair("answered", 13.0), std::pair("ended", 15.0)));
}

TEST(LunJson, ASlowOpThatNeverBegan) {
  const TimePoint now{std::chrono::hours(10)};
  const SlowOp op{
      .command = "WRITE(16)", .queued = now - seconds(2), .answered = now, .ended = now};
  const json shown =
      device_of(slow_json({{.label = {}, .slow = {.ops = {op}, .now = now}}})).at("Ops").at(0);
  EXPECT_EQ(shown.at("description"), "WRITE(16)");
  EXPECT_EQ(shown.at("type_data").at("flag_point"), "answered");
  EXPECT_EQ(shown.at("type_data").at("events").size(), 3U);
}

TEST(LunJson, Trace) {
  const TimePoint now{std::chrono::hours(10)};
  const FlightStory story{.command = 7,
                          .cmd_id = 3,
                          .begin = now - seconds(60),
                          .name = "WRITE(16)",
                          .range = {8192, 4096},
                          .steps = {{milliseconds(250), "in-librbd"}}};
  const FlightStory event{.begin = now, .steps = {{Duration{}, "lock: owned"}}};
  const json device = device_of(
      trace_json({{.label = {"user_0/disk1", "rbd/vm"},
                   .stories = {story, event},
                   .kept = 4,
                   .events = 9,
                   .now = now,
                   .wall = std::chrono::system_clock::time_point(seconds(1'000'000'060))}}));
  EXPECT_EQ(device.at("kept"), 4);
  EXPECT_EQ(device.at("events"), 9);
  EXPECT_EQ(device.at("stories").at(0),
            (json{{"time", "2001-09-09T01:46:40.000000Z"},
                  {"sequence", 7},
                  {"cmd_id", 3},
                  {"op", "WRITE(16)"},
                  {"range", {{"offset", 8192}, {"length", 4096}}},
                  {"steps", {{{"after", 0.25}, {"what", "in-librbd"}}}}}));
  EXPECT_EQ(device.at("stories").at(1).at("sequence"), nullptr);
}

TEST(LunJson, Fences) {
  const json device = device_of(
      fences_json({{.label = {"user_0/disk1", "rbd/vm"},
                    .instance = "10.0.0.1:0/78",
                    .unfenced = "10.0.0.1:0/5",
                    .fences = {{"10.0.0.1:0/77", 1'000'000'000, ceph::FenceReason::kHungOps}}}}));
  EXPECT_EQ(device.at("client"), "10.0.0.1:0/78");
  EXPECT_EQ(device.at("unfenced"), "10.0.0.1:0/5");
  EXPECT_EQ(device.at("fences").at(0), (json{{"address", "10.0.0.1:0/77"},
                                             {"until", 1'000'000'000},
                                             {"until_text", "2001-09-09T01:46:40.000000Z"},
                                             {"cause", "hung-ops"}}));
}

TEST(LunJson, OutcomesOfARelease) {
  const auto outcome = [](std::optional<lock::PeerAnswer> answer) {
    return json::parse(release_json({"a", "b"}, answer)).at("outcome").get<std::string>();
  };
  EXPECT_EQ(outcome(std::nullopt), "no-answer");
  EXPECT_EQ(outcome(lock::PeerAnswer::kReleased), "released");
  EXPECT_EQ(outcome(lock::PeerAnswer::kNotOwner), "not-owner");
  EXPECT_EQ(outcome(lock::PeerAnswer::kHoldsDetached), "fencing");
  EXPECT_EQ(outcome(lock::PeerAnswer::kWait), "hung");
}

TEST(LunJson, ExplainHasTheOpsToo) {
  const json answer = json::parse(explain_json(lun(), "It waits."));
  EXPECT_EQ(answer.at("text"), "It waits.");
  EXPECT_EQ(answer.at("ops").size(), 2U);
}

TEST(LunJson, AnError) { EXPECT_EQ(error_json("no LUN 'x'"), "{\"error\":\"no LUN 'x'\"}\n"); }

}  // namespace
}  // namespace tcmurbd
