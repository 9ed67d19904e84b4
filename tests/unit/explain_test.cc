// SPDX-License-Identifier: Apache-2.0
// What an operator reads of a LUN, for each stage of a command and each state of the lock.
#include "rbd_handler/lun/explain.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "rbd_handler/device/report_line.h"

namespace tcmurbd {
namespace {

using lock::State;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;
using task::LadderEvent;
using task::TaskState;
using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

OpSnapshot write_in(TaskState state, uint64_t sequence = 1) {
  OpSnapshot op{.sequence = sequence,
                .command = "WRITE(16)",
                .state = state,
                .stage = stage_name(state),
                .changes = true,
                .range = {1024 * 1024, 4096},
                .ops = 1,
                .queued = milliseconds(12300)};
  const bool submitted = state == TaskState::kInImage || state == TaskState::kDetached ||
                         state == TaskState::kOrphaned;
  if (submitted) op.submitted = seconds(12);
  if (state == TaskState::kDetached || state == TaskState::kOrphaned) op.answered = seconds(3);
  return op;
}

LunSnapshot lun(std::vector<OpSnapshot> ops = {}) {
  LunSnapshot snapshot{.label = {"user_0/disk1", "rbd/vm"},
                       .state = "serving",
                       .instance = "10.0.0.1:0/77",
                       .device = DeviceSnapshot{.ops = std::move(ops)},
                       .places = {}};
  snapshot.device->gate = {.state = State::kOwned, .in_state = minutes(5)};
  for (size_t i = 0; i < snapshot.device->ops.size(); ++i)
    snapshot.places.push_back({.object = "rbd_data.1.2", .location = {{"2.1f", {2, 0}}}});
  return snapshot;
}

LunSnapshot in_state(lock::GateView gate) {
  LunSnapshot snapshot = lun();
  snapshot.device->gate = gate;
  return snapshot;
}

TEST(Explain, Idle) {
  EXPECT_EQ(explain(lun()),
            "user_0/disk1 (rbd/vm) is idle: no command is open. This gateway has held the "
            "exclusive lock for 5 min.");
}

TEST(Explain, OneHangsInLibrbd) {
  LunSnapshot snapshot = lun({write_in(TaskState::kInImage)});
  snapshot.device->ops[0].deadline_in = milliseconds(2700);
  EXPECT_EQ(explain(snapshot),
            "user_0/disk1 (rbd/vm) has open commands: 1 in librbd, 0 waiting, 0 answered although "
            "their ops have not ended. The oldest, WRITE(16) of 4 KiB at LBA 2048, came 12.3 s "
            "ago. Its op has been in librbd for 12.0 s: object rbd_data.1.2 in pg 2.1f, acting "
            "osd.2, osd.0. Look at osd.2 first. If it has not ended in 2.7 s, it gets BUSY. This "
            "gateway has held the exclusive lock for 5 min.");
}

TEST(Explain, TheClusterDoesNotSayWhere) {
  LunSnapshot snapshot = lun({write_in(TaskState::kInImage)});
  snapshot.places[0].location.reset();
  EXPECT_THAT(explain(snapshot), HasSubstr("in librbd for 12.0 s: object rbd_data.1.2. "));
}

TEST(Explain, AYoungOpIsNoReasonToLookAtAnOsd) {
  LunSnapshot snapshot = lun({write_in(TaskState::kInImage)});
  snapshot.device->ops[0].submitted = milliseconds(20);
  EXPECT_THAT(explain(snapshot), AllOf(HasSubstr("20 ms"), Not(HasSubstr("Look at"))));
}

TEST(Explain, AnAbortedWriteAndTheFenceToCome) {
  LunSnapshot snapshot = lun({write_in(TaskState::kDetached)});
  snapshot.device->ops[0].ended_by = LadderEvent::kAborted;
  snapshot.device->gate.fence_in = seconds(2);
  EXPECT_THAT(
      explain(snapshot),
      AllOf(HasSubstr("The initiator aborted it 3.0 s ago; its op continues in the background "
                      "(detached), and commands on the same blocks wait until it has ended."),
            HasSubstr("If the detached ops have not ended in 2.0 s, this gateway fences its own "
                      "client instance and opens a new one.")));
}

TEST(Explain, ADeadline) {
  LunSnapshot snapshot = lun({write_in(TaskState::kDetached)});
  snapshot.device->ops[0].ended_by = LadderEvent::kDeadline;
  EXPECT_THAT(explain(snapshot), HasSubstr("It got BUSY at its deadline, 3.0 s ago;"));
}

TEST(Explain, AnUnknownOutcome) {
  LunSnapshot snapshot = lun({write_in(TaskState::kDetached)});
  snapshot.device->ops[0].outcome_unknown = true;
  EXPECT_THAT(explain(snapshot),
              HasSubstr("It got BUSY 3.0 s ago, since the outcome of its op is unknown;"));
}

TEST(Explain, AGivenUpInstance) {
  LunSnapshot snapshot = lun({write_in(TaskState::kOrphaned)});
  snapshot.device->ops[0].ended_by = LadderEvent::kGivenUp;
  snapshot.device->fences = 2;
  EXPECT_THAT(explain(snapshot),
              AllOf(HasSubstr("It got BUSY when this gateway was fenced, 3.0 s ago"),
                    HasSubstr("Its client instance is fenced, so it cannot be applied after newer"),
                    HasSubstr("It has fenced itself 2 times since the LUN was opened.")));
}

TEST(Explain, ADetachedReadHoldsNoBlocks) {
  LunSnapshot snapshot = lun({write_in(TaskState::kDetached)});
  snapshot.device->ops[0].changes = false;
  EXPECT_THAT(explain(snapshot), Not(HasSubstr("commands on the same blocks")));
}

TEST(Explain, TheOldestWithoutAnAnswerIsTold) {
  const LunSnapshot snapshot =
      lun({write_in(TaskState::kDetached, 1), write_in(TaskState::kAwaitingRange, 2)});
  EXPECT_THAT(explain(snapshot),
              HasSubstr("The oldest without an answer, WRITE(16) of 4 KiB at LBA 2048, came 12.3 s "
                        "ago. It waits for an earlier command on the same blocks: WRITE(16) of 4 "
                        "KiB at LBA 2048, which came 12.3 s ago."));
}

TEST(Explain, EachWait) {
  const auto shown = [](TaskState state, std::string_view stage = {}) {
    OpSnapshot op = write_in(state);
    if (!stage.empty()) op.stage = stage;
    return explain(lun({op}));
  };
  EXPECT_THAT(shown(TaskState::kAwaitingFacts), HasSubstr("being read from configfs"));
  EXPECT_THAT(shown(TaskState::kAwaitingLock), HasSubstr("It waits for the exclusive lock."));
  EXPECT_THAT(shown(TaskState::kBacklog), HasSubstr("It waits for a free place among the ops"));
  EXPECT_THAT(shown(TaskState::kBacklog, "waits-for-rate"), HasSubstr("image's rbd_qos limits"));
  EXPECT_THAT(shown(TaskState::kAwaitingRange), HasSubstr("It waits for an earlier command on"));
  EXPECT_THAT(shown(TaskState::kCopying), HasSubstr("It is being carried out"));
  EXPECT_THAT(shown(TaskState::kCopyCancelled), HasSubstr("It was cancelled"));
}

TEST(Explain, AFlushWaitsForAWriteOfAnyPlace) {
  OpSnapshot flush = write_in(TaskState::kAwaitingRange, 2);
  flush.command = "SYNCHRONIZE CACHE(16)";
  flush.range = {};
  flush.changes = false;
  EXPECT_THAT(explain(lun({write_in(TaskState::kDetached, 1), flush})),
              HasSubstr("SYNCHRONIZE CACHE(16), came 12.3 s ago. It waits for an earlier command: "
                        "WRITE(16) of 4 KiB at LBA 2048"));
}

TEST(Explain, Unowned) {
  EXPECT_THAT(explain(in_state({.state = State::kUnowned})),
              EndsWith("This gateway does not hold the exclusive lock; the next change asks for "
                       "it."));
  EXPECT_THAT(explain(in_state({.state = State::kUnowned, .retry_in = milliseconds(200)})),
              EndsWith("could not be acquired, and waiting changes got BUSY; the next attempt is "
                       "in 200 ms."));
}

TEST(Explain, Acquiring) {
  EXPECT_THAT(explain(in_state(
                  {.state = State::kAcquiring, .in_state = seconds(2), .busy_in = seconds(3)})),
              EndsWith("Acquiring the exclusive lock has taken 2.0 s so far; commands wait "
                       "for 3.0 s more, then they get BUSY."));
  EXPECT_THAT(
      explain(in_state({.state = State::kAcquiring, .in_state = seconds(9), .refuses = true})),
      EndsWith("has taken 9.0 s so far; until then commands that need it get BUSY."));
}

TEST(Explain, Draining) {
  EXPECT_THAT(
      explain(in_state({.state = State::kDraining, .peers = 1, .fence_in = milliseconds(400)})),
      AllOf(HasSubstr("everything new waits until the ops in librbd have ended; if they have not "
                      "in 400 ms, this gateway fences itself or keeps the lock."),
            EndsWith("Another gateway waits for the lock.")));
}

TEST(Explain, Releasing) {
  EXPECT_THAT(explain(in_state(
                  {.state = State::kReleasing, .in_state = seconds(2), .fence_in = seconds(6)})),
              EndsWith("Releasing the exclusive lock has taken 2.0 s so far; if it takes "
                       "6.0 s more, this gateway fences itself."));
}

TEST(Explain, Fencing) {
  EXPECT_THAT(
      explain(in_state({.state = State::kFencing, .in_state = seconds(1), .busy_in = seconds(4)})),
      EndsWith("blocklists its own client instance 10.0.0.1:0/77, so that hung "
               "writes cannot be applied after newer ones; everything waits. That has taken "
               "1.0 s so far; commands wait for 4.0 s more, then they get BUSY."));
}

TEST(Explain, Reopening) {
  EXPECT_THAT(explain(in_state({.state = State::kReopening,
                                .in_state = seconds(7),
                                .refuses = true,
                                .retry_in = seconds(3)})),
              EndsWith("is fenced, and everything waits for a new one. Opening it has taken 7.0 s "
                       "so far; the next attempt is in 3.0 s; until then commands that need it get "
                       "BUSY."));
}

TEST(Explain, Stuck) {
  EXPECT_THAT(explain(in_state({.state = State::kStuck, .retry_in = seconds(3)})),
              AllOf(HasSubstr("cannot fence this gateway's client instance"),
                    HasSubstr("all others are served. The next attempt is in 3.0 s.")));
  EXPECT_THAT(explain(in_state({.state = State::kStuck, .unsure = true, .retry_in = seconds(3)})),
              HasSubstr("another gateway may have the lock, so changes get BUSY."));
}

TEST(Explain, TheRoleAndTheWarnings) {
  LunSnapshot snapshot = lun();
  snapshot.device->primary = false;
  snapshot.device->full = true;
  snapshot.device->away_left = seconds(4);
  snapshot.unfenced = "10.0.0.1:0/66";
  snapshot.warnings = {"the cache is on"};
  EXPECT_THAT(explain(snapshot),
              AllOf(HasSubstr("The image is not primary here"), HasSubstr("The pool is full"),
                    HasSubstr("changes get BUSY for 4.0 s more"),
                    HasSubstr("the client instance 10.0.0.1:0/66 of a dead predecessor"),
                    EndsWith("Warning: the cache is on.")));
}

TEST(Explain, ABrokenRing) {
  LunSnapshot snapshot = lun();
  snapshot.device->broken = "cmd_tail moved";
  EXPECT_THAT(explain(snapshot), HasSubstr("is being reset: cmd_tail moved."));
}

TEST(Explain, NotServing) {
  LunSnapshot snapshot{.label = {"user_0/disk1", "rbd/vm"}, .state = "opening"};
  EXPECT_THAT(explain(snapshot), StartsWith("user_0/disk1 (rbd/vm) is not served yet: its image"));
  snapshot.refusal = "the pool is gone";
  EXPECT_THAT(explain(snapshot), HasSubstr("is not served: the pool is gone. It is tried again"));
  snapshot.state = "closing";
  EXPECT_EQ(explain(snapshot), "user_0/disk1 (rbd/vm) is closing.");
}

TEST(Explain, ManyCommands) {
  LunSnapshot snapshot = lun({write_in(TaskState::kInImage)});
  snapshot.device->more = 7;
  EXPECT_THAT(explain(snapshot), HasSubstr(", and 7 more that are not looked at."));
}

}  // namespace
}  // namespace tcmurbd
