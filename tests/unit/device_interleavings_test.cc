// SPDX-License-Identifier: Apache-2.0
// Two overlapping writes and every order of the events that can affect them: aborts and resets, ops
// that succeed, are refused, late or never end, fences that succeed, fail or succeed unnoticed.
// device_sim_test.cc tests random orders over a long life; here all paths of each case are
// executed.
//
// A path is a list of choices. It is replayed from the start for each, and the next path differs in
// the last choice that has an alternative left.
#include <gtest/gtest.h>

#include <ostream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "rbd_handler/device/device.h"
#include "tests/support/fake_cluster.h"
#include "tests/support/fake_kernel.h"
#include "tests/support/taken_effects.h"

namespace tcmurbd::testing {
namespace {

class Choices {
 public:
  size_t of(size_t count) {
    if (at_ == taken_.size()) taken_.push_back({0, count});
    EXPECT_EQ(taken_[at_].of, count) << "a path is not repeated by its choices";
    return taken_[at_++].choice;
  }
  // False: that was the last one.
  bool next() {
    at_ = 0;
    while (!taken_.empty() && ++taken_.back().choice == taken_.back().of) taken_.pop_back();
    return !taken_.empty();
  }

 private:
  struct Taken {
    size_t choice;
    size_t of;
  };
  std::vector<Taken> taken_;
  size_t at_ = 0;
};

// How often external events may happen on one path.
struct Budget {
  std::string_view name;
  size_t paths = 0;  // How many there are.
  int aborts = 0;    // Of the first write.
  int resets = 0;
  int blocklistings = 0;  // By somebody else.
  int pauses = 0;         // Of five seconds: detached ops are old, failures are retried.
  int time_outs = 0;
  int fence_failures = 0;
  // The first write's CDB as far as it is not WRITE(10)'s; others come in two parts.
  uint8_t opcode = 0x2a;
  uint8_t flags = 0x00;
};

enum class Kind : uint8_t {
  kSecondWrite,
  kAbort,
  kReset,
  kBlocklisted,
  kPause,
  kFirstPart,     // Of an op that has two.
  kEnds,          // As it does.
  kEndsDisowned,  // Applied if the placement group does not have the map, and -ESHUTDOWN anyway.
  kEndsRefused,   // The placement group has the blocklist entry before.
  kTimesOut,      // -ETIMEDOUT,
  kLands,         // and applied after that,
  kNeverLands,    // or not.
  kFenced,
  kFenceFails,
  kFenceUnconfirmed,  // The daemon gets a failure.
  kReopened,
};

constexpr std::string_view kNames[]{"second write", "abort",       "reset",       "blocklisted",
                                    "pause",        "first part",  "ends",        "disowned",
                                    "refused",      "times out",   "lands",       "never lands",
                                    "fenced",       "fence fails", "unconfirmed", "reopened"};

struct Event {
  Kind kind;
  FakeInstance* instance = nullptr;
  size_t op = 0;
};

class Path {
 public:
  Path(const Budget& budget, Choices& choices) : left_(budget), choices_(choices) {
    write(0, 0);
    run_device();
  }

  void walk() {
    for (std::vector<Event> events = possible(); !events.empty(); events = possible()) {
      const Event event = events[choices_.of(events.size())];
      story_ += kNames[static_cast<size_t>(event.kind)];
      story_ += ", ";
      if (event.kind == Kind::kNeverLands) break;
      happen(event);
      run_device();
    }
    heal();
    check();
  }
  const std::string& story() const { return story_; }
  // The guarantee was tested.
  bool second_counts() const { return second_is_younger_ && good(1); }

 private:
  static constexpr uint32_t kShared = 1;  // The block that both write.
  static constexpr uint8_t kOrWrite16 = 0x8b;

  void write(size_t which, uint8_t block) {
    std::vector<uint8_t> data(size_t{2} * kBlockBytes);
    data[0] = data[kBlockBytes] = static_cast<uint8_t>(which + 1);
    std::vector<uint8_t> cdb = {0x2a, 0, 0, 0, 0, block, 0, 0, 2, 0};
    if (which == 0) cdb[0] = left_.opcode;
    if (which == 0) cdb[1] = left_.flags;
    if (cdb[0] == kOrWrite16) cdb = {kOrWrite16, 0, 0, 0, 0, 0, 0, 0, 0, block, 0, 0, 0, 2, 0, 0};
    tags_[which] = kernel_.queue({.cdb = std::move(cdb), .data_out = data});
  }

  std::vector<Event> possible() {
    std::vector<Event> events;
    const auto add = [&](bool can, Kind kind) {
      if (can) events.push_back({kind});
    };
    add(tags_[1] == 0, Kind::kSecondWrite);
    add(left_.aborts != 0 && results_[0].empty(), Kind::kAbort);
    add(left_.resets != 0, Kind::kReset);
    add(left_.blocklistings != 0 && !mine_->blocklisted(), Kind::kBlocklisted);
    add(left_.pauses != 0, Kind::kPause);
    add(action_ == lock::Action::kFence, Kind::kFenced);
    add(action_ == lock::Action::kFence && left_.fence_failures != 0, Kind::kFenceFails);
    add(action_ == lock::Action::kFence && left_.fence_failures != 0, Kind::kFenceUnconfirmed);
    add(action_ == lock::Action::kReopen, Kind::kReopened);
    for (FakeInstance& instance : cluster_.instances()) {
      for (size_t op = 0; op < instance.pending(); ++op) {
        if (instance.first_part_left(op)) events.push_back({Kind::kFirstPart, &instance, op});
        events.push_back({Kind::kEnds, &instance, op});
        if (instance.blocklisted()) events.push_back({Kind::kEndsDisowned, &instance, op});
        if (instance.blocklisted()) events.push_back({Kind::kEndsRefused, &instance, op});
        if (left_.time_outs != 0) events.push_back({Kind::kTimesOut, &instance, op});
      }
    }
    const bool nothing_else = events.empty();
    for (FakeInstance& instance : cluster_.instances()) {
      for (size_t op = 0; op < instance.gave_up(); ++op)
        events.push_back({Kind::kLands, &instance, op});
    }
    add(nothing_else && !events.empty(), Kind::kNeverLands);
    return events;
  }

  void happen(const Event& event) {
    switch (event.kind) {
      case Kind::kSecondWrite:
        second_is_younger_ = !results_[0].empty();
        return write(1, kShared);
      case Kind::kAbort:
        --left_.aborts;
        return kernel_.abort(tags_[0]);
      case Kind::kReset:
        --left_.resets;
        return kernel_.lun_reset();
      case Kind::kBlocklisted:
        --left_.blocklistings;
        return cluster_.blocklist(*mine_);
      case Kind::kPause:
        --left_.pauses;
        return pause();
      case Kind::kFenced:
      case Kind::kFenceFails:
      case Kind::kFenceUnconfirmed:
        return fence(event.kind);
      case Kind::kReopened:
        return reopen();
      default:
        return happen_to_op(event);
    }
  }

  void happen_to_op(const Event& event) {
    switch (event.kind) {
      case Kind::kFirstPart:
        return event.instance->do_first_part(event.op);
      case Kind::kEndsRefused:
        for (uint32_t block = 0, id = 0; block < 4; ++block)
          cluster_.read(block, id, {cluster_.epoch()});
        [[fallthrough]];
      case Kind::kEnds:
        return device_.on_done(event.instance->finish(event.op, false), now_);
      case Kind::kEndsDisowned:
        return device_.on_done(event.instance->finish(event.op, true), now_);
      case Kind::kTimesOut:
        --left_.time_outs;
        return device_.on_done(event.instance->time_out(event.op), now_);
      default:
        return event.instance->late(event.op);
    }
  }

  void pause() {
    now_ += std::chrono::seconds(5);
    device_.on_time(now_);
  }
  void fence(Kind how) {
    action_ = lock::Action::kNone;
    left_.fence_failures -= how != Kind::kFenced;
    if (how != Kind::kFenceFails) cluster_.blocklist(*mine_);
    device_.on_lock_event(
        how == Kind::kFenced ? lock::Outcome::kFenced : lock::Outcome::kFenceFailed, now_);
  }
  void reopen() {
    action_ = lock::Action::kNone;
    EXPECT_TRUE(mine_->blocklisted());
    mine_ = &cluster_.open();
    device_.on_reopened(*mine_, now_);
  }

  // The device runs, and irrelevant actions succeed at once.
  void run_device() {
    for (;;) {
      while (device_.on_ring(now_)) {
      }
      const lock::Action action = effects_.take_action(device_);
      if (action == lock::Action::kNone) break;
      if (action == lock::Action::kFence || action == lock::Action::kReopen) {
        EXPECT_EQ(action_, lock::Action::kNone) << "two actions at a time";
        action_ = action;
      } else if (action == lock::Action::kRelease) {
        EXPECT_FALSE(mine_->changes_pending()) << "released over a write that may still land";
        cluster_.lock_owner = nullptr;
        device_.on_lock_event(lock::Outcome::kReleased, now_);
      } else if (mine_->blocklisted()) {
        device_.on_lock_event(lock::Outcome::kAcquireLost, now_);
      } else {
        cluster_.lock_owner = mine_;
        mine_->take_newest_map();
        device_.on_lock_event(lock::Outcome::kAcquired, now_);
      }
    }
    if (device_.publish()) kernel_.doorbell();
    for (size_t i = 0; i < 2; ++i) {
      if (tags_[i] == 0) continue;
      if (auto result = kernel_.take_result(tags_[i])) results_[i].push_back(std::move(*result));
    }
  }

  // All pending events come and succeed; ops that timed out and are not applied never are.
  void heal() {
    for (int round = 0; round < 20 && !(device_.idle() && action_ == lock::Action::kNone);
         ++round) {
      for (FakeInstance& instance : cluster_.instances()) {
        while (instance.pending() != 0) device_.on_done(instance.finish(0, false), now_);
      }
      for (uint32_t closed = 1; closed < device_.instance(); ++closed)
        device_.on_instance_closed(closed, now_);
      if (action_ == lock::Action::kFence) {
        fence(Kind::kFenced);
      } else if (action_ == lock::Action::kReopen) {
        reopen();
      } else {
        pause();
      }
      run_device();
    }
  }

  bool good(size_t which) const {
    return results_[which].size() == 1 &&
           results_[which].front().how == FakeResult::How::kAnswered &&
           results_[which].front().status == 0;
  }

  void check() {
    EXPECT_EQ(results_[0].size(), 1u) << "not answered once";
    EXPECT_EQ(results_[1].size(), 1u) << "not answered once";
    const uint32_t content = cluster_.content()[kShared];
    EXPECT_TRUE(!second_counts() || content == 2u) << "an acknowledged write was undone";
    // More than guaranteed: the first write arrived first, so it never overwrites the second.
    EXPECT_TRUE(!good(1) || content == 2u);
    EXPECT_TRUE(!good(0) || content != 0u) << "an acknowledged write is not there";
    EXPECT_FALSE(cluster_.torn) << "something came between the parts of one that ended well";
    EXPECT_FALSE(cluster_.overlap_seen) << "overlapping ops were with one instance at once";
    EXPECT_FALSE(cluster_.unlocked_change) << "a change was given to librbd without the lock";
    EXPECT_TRUE(device_.idle());
    EXPECT_EQ(device_.detached(), 0u);
    EXPECT_EQ(device_.broken_reason(), "");
    EXPECT_FALSE(kernel_.broken()) << kernel_.broken_reason();
    EXPECT_EQ(kernel_.on_ring(), 0u);
    EXPECT_EQ(kernel_.kept(), 0u);
    EXPECT_TRUE(kernel_.violations().empty());
  }

  Budget left_;
  Choices& choices_;
  FakeKernel kernel_{
      FakeKernel::Options{.ring_bytes = 2048 - 128, .block_bytes = 512, .blocks = 8}};
  FakeCluster cluster_{4, 1};  // Each block in a placement group of its own.
  FakeInstance* mine_ = &cluster_.open();
  TimePoint now_{std::chrono::hours(1)};
  Device device_{ring::Ring::attach(kernel_.map()).value(), *mine_,
                 scsi::DiskFacts{.block_size = kBlockBytes, .blocks = 4}};
  TakenEffects effects_;
  lock::Action action_ = lock::Action::kNone;
  uint64_t tags_[2] = {};  // 0: not sent yet.
  std::vector<FakeResult> results_[2];
  bool second_is_younger_ = false;  // It was submitted after the first was answered.
  std::string story_;
};

void PrintTo(const Budget& budget, std::ostream* out) { *out << budget.name; }

// Sanitizers cost two orders of magnitude here, and look at something else: the first paths do.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr size_t kPathsMax = 4000;
#else
constexpr size_t kPathsMax = SIZE_MAX;
#endif

class Interleavings : public ::testing::TestWithParam<Budget> {};

TEST_P(Interleavings, TheSecondWriteIsNeverUndone) {
  Choices choices;
  size_t paths = 0;
  size_t counting = 0;
  do {
    Path path(GetParam(), choices);
    path.walk();
    ++paths;
    counting += path.second_counts();
    ASSERT_FALSE(HasFailure()) << "path " << paths << ": " << path.story();
    if (paths == kPathsMax) return;
  } while (choices.next());
  EXPECT_EQ(paths, GetParam().paths) << "something became possible, or is not any more";
  EXPECT_GT(counting, 1000u) << "few of them show anything";
}

const Budget kCases[]{
    {.name = "Abort", .paths = 8171, .aborts = 1, .pauses = 2, .time_outs = 2, .fence_failures = 1},
    {.name = "Reset",
     .paths = 17275,
     .resets = 1,
     .pauses = 2,
     .time_outs = 1,
     .fence_failures = 1},
    {.name = "Lost", .paths = 4393, .aborts = 1, .blocklistings = 1, .pauses = 1, .time_outs = 2},
    // ORWRITE, and WRITE AND VERIFY with BYTCHK.
    {.name = "OrWriteAbort",
     .paths = 40131,
     .aborts = 1,
     .pauses = 2,
     .time_outs = 1,
     .fence_failures = 1,
     .opcode = 0x8b},
    {.name = "OrWriteLost",
     .paths = 20415,
     .aborts = 1,
     .blocklistings = 1,
     .pauses = 1,
     .time_outs = 1,
     .opcode = 0x8b},
    {.name = "WriteAndVerifyLost",
     .paths = 20415,
     .aborts = 1,
     .blocklistings = 1,
     .pauses = 1,
     .time_outs = 1,
     .opcode = 0x2e,
     .flags = 0x02},
    {.name = "FencesFail",
     .paths = 13219,
     .aborts = 1,
     .pauses = 2,
     .time_outs = 1,
     .fence_failures = 2},
    {.name = "AbortResetLost",
     .paths = 34304,
     .aborts = 1,
     .resets = 1,
     .blocklistings = 1,
     .pauses = 1,
     .time_outs = 1},
};

INSTANTIATE_TEST_SUITE_P(All, Interleavings, ::testing::ValuesIn(kCases),
                         [](const auto& budget) { return std::string(budget.param.name); });

}  // namespace
}  // namespace tcmurbd::testing
