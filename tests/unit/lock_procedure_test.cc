// SPDX-License-Identifier: Apache-2.0
// The procedure that acquires the exclusive lock, with a fake cluster. Checks the outcome and the
// exact sequence of calls: their order prevents older writes from being applied over newer ones.
#include "rbd_handler/ceph/lock_procedure.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <string>
#include <vector>

namespace tcmurbd::ceph {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using Calls = std::vector<std::string>;
using Holder = std::optional<LockHolder>;

const LockHolder kOurs{"client.1", "c1", "10.0.0.1:0/1"};
const LockHolder kOther{"client.2", "c2", "10.0.0.2:0/2"};
const LockHolder kThird{"client.3", "c3", "10.0.0.3:0/3"};

LockFailure failure(int error) { return {"refused", error}; }

// Each kind of question has a queue of answers; the last one stays.
class FakeLockCluster final : public LockCluster {
 public:
  std::string address() const override { return kOurs.address; }
  OwnWatch own_watch() override {
    calls.emplace_back("watch");
    return next(watches);
  }
  std::expected<Holder, int> holder() override {
    calls.emplace_back("holder");
    return next(holders);
  }
  std::expected<bool, int> remove(const LockHolder& holder) override {
    calls.push_back("remove " + holder.address);
    return next(removed);
  }
  Fencing fencing_of(const std::string& address) override {
    calls.push_back("fenced? " + address);
    return fencing;
  }
  std::expected<Asked, std::string> ask(const std::string& holder,
                                        std::chrono::seconds /*patience*/) override {
    calls.push_back("ask " + holder);
    return next(answers);
  }
  std::expected<void, LockFailure> blocklist(const std::string& address) override {
    calls.push_back("blocklist " + address);
    return blocklisting;
  }
  std::expected<void, LockFailure> reach_header() override {
    calls.emplace_back("header");
    return header;
  }
  std::expected<void, LockFailure> wait_for_latest_map() override {
    calls.emplace_back("map");
    return next(maps);
  }
  std::expected<void, LockFailure> take_free_lock() override {
    calls.emplace_back("take");
    return next(takes);
  }

  Calls calls;
  Fencing fencing = Fencing::kNone;
  std::expected<void, LockFailure> blocklisting;
  std::expected<void, LockFailure> header;
  std::deque<OwnWatch> watches{OwnWatch::kThere};
  std::deque<std::expected<Holder, int>> holders{Holder{}};
  std::deque<std::expected<bool, int>> removed{true};
  std::deque<std::expected<Asked, std::string>> answers{Asked::kReleased};
  std::deque<std::expected<void, LockFailure>> maps{{}};
  std::deque<std::expected<void, LockFailure>> takes{{}};

 private:
  template <typename T>
  static T next(std::deque<T>& queue) {
    T first = queue.front();
    if (queue.size() > 1) queue.pop_front();
    return first;
  }
};

class LockProcedure : public testing::Test {
 protected:
  Acquired taken() {
    auto done = acquire_lock(cluster);
    EXPECT_TRUE(done.has_value()) << done.error().text;
    if (!done) return Acquired::kFree;
    detail = done->detail;
    return done->how;
  }
  int failed() {
    auto done = acquire_lock(cluster);
    EXPECT_FALSE(done.has_value());
    if (done) return 0;
    detail = done.error().text;
    return done.error().error;
  }

  FakeLockCluster cluster;
  std::string detail;
};

TEST_F(LockProcedure, AFreeLockIsTakenAndThenTheNewestMapIsThere) {
  EXPECT_EQ(taken(), Acquired::kFree);
  EXPECT_THAT(cluster.calls, ElementsAre("watch", "holder", "take", "watch", "map"));
}

TEST_F(LockProcedure, OurOwnLockIsTakenOnceMore) {
  cluster.holders = {Holder{kOurs}};
  EXPECT_EQ(taken(), Acquired::kFree);
  EXPECT_THAT(cluster.calls, ElementsAre("watch", "holder", "take", "watch", "map"));
}

TEST_F(LockProcedure, AnOwnerHandsItOver) {
  cluster.holders = {Holder{kOther}, Holder{}};
  EXPECT_EQ(taken(), Acquired::kHandedOver);
  EXPECT_THAT(cluster.calls, ElementsAre("watch", "holder", "header", "fenced? 10.0.0.2:0/2",
                                         "ask 10.0.0.2:0/2", "holder", "take", "watch", "map"));
  EXPECT_EQ(detail, "handed over by 10.0.0.2:0/2");
}

TEST_F(LockProcedure, WhoDoesNotAnswerIsLookedAtAgainThenFencedThenBrokenBehindTheMap) {
  for (const Asked asked : {Asked::kNoAnswer, Asked::kHoldsDetached, Asked::kNobody}) {
    cluster.calls.clear();
    cluster.holders = {Holder{kOther}, Holder{kOther}, Holder{}};
    cluster.answers = {asked};
    EXPECT_EQ(taken(), Acquired::kBroken);
    EXPECT_THAT(cluster.calls,
                ElementsAre("watch", "holder", "header", "fenced? 10.0.0.2:0/2", "ask 10.0.0.2:0/2",
                            "holder", "blocklist 10.0.0.2:0/2", "map", "remove 10.0.0.2:0/2",
                            "holder", "take", "watch", "map"));
  }
  EXPECT_EQ(detail,
            "taken from 10.0.0.2:0/2 (client.2): the owner is not on the lock channel (not "
            "tcmu-rbd, or exited)");
}

TEST_F(LockProcedure, WhoCannotBeAskedIsBrokenTheSameWay) {
  cluster.holders = {Holder{kOther}, Holder{kOther}, Holder{}};
  cluster.answers = {std::unexpected(std::string("no channel"))};
  EXPECT_EQ(taken(), Acquired::kBroken);
  EXPECT_THAT(detail, HasSubstr("the owner could not be asked: no channel"));
  EXPECT_THAT(cluster.calls, testing::Contains("blocklist 10.0.0.2:0/2"));
}

TEST_F(LockProcedure, OneThatIsKnownToBeFencedIsBrokenBehindTheMapUnasked) {
  cluster.holders = {Holder{kOther}, Holder{}};
  cluster.fencing = Fencing::kOnBlocklist;
  EXPECT_EQ(taken(), Acquired::kBroken);
  EXPECT_THAT(cluster.calls, ElementsAre("watch", "holder", "header", "fenced? 10.0.0.2:0/2", "map",
                                         "remove 10.0.0.2:0/2", "holder", "take", "watch", "map"));
}

TEST_F(LockProcedure, AFenceThatSomebodyRemovedIsPutBackBeforeTheLockIsBroken) {
  cluster.holders = {Holder{kOther}, Holder{}};
  cluster.fencing = Fencing::kRemoved;
  EXPECT_EQ(taken(), Acquired::kBroken);
  EXPECT_THAT(cluster.calls, ElementsAre("watch", "holder", "header", "fenced? 10.0.0.2:0/2",
                                         "blocklist 10.0.0.2:0/2", "map", "remove 10.0.0.2:0/2",
                                         "holder", "take", "watch", "map"));
}

TEST_F(LockProcedure, AnOwnerThatMustWaitIsNotBroken) {
  cluster.holders = {Holder{kOther}};
  cluster.answers = {Asked::kMustWait};
  EXPECT_EQ(failed(), kHolderWaits);
  EXPECT_THAT(detail, HasSubstr("its owner 10.0.0.2:0/2 (client.2) has hung writes"));
  EXPECT_THAT(cluster.calls,
              ElementsAre("watch", "holder", "header", "fenced? 10.0.0.2:0/2", "ask 10.0.0.2:0/2"));
}

TEST_F(LockProcedure, ALockThatChangedHandsWhileAskedIsAskedForAnew) {
  cluster.holders = {Holder{kOther}, Holder{kThird}, Holder{kThird}, Holder{}};
  cluster.answers = {Asked::kNoAnswer, Asked::kReleased};
  EXPECT_EQ(taken(), Acquired::kHandedOver);
  EXPECT_THAT(cluster.calls,
              ElementsAre("watch", "holder", "header", "fenced? 10.0.0.2:0/2", "ask 10.0.0.2:0/2",
                          "holder", "holder", "header", "fenced? 10.0.0.3:0/3", "ask 10.0.0.3:0/3",
                          "holder", "take", "watch", "map"));
}

TEST_F(LockProcedure, AnOwnerThatReleasedItAndTookItAgainWhileAskedIsNotFenced) {
  for (const Asked asked : {Asked::kNoAnswer, Asked::kNobody}) {
    LockHolder again = kOther;
    again.version = kOther.version + 2;
    cluster.calls.clear();
    cluster.holders = {Holder{kOther}, Holder{again}, Holder{again}, Holder{}};
    cluster.answers = {asked, Asked::kReleased};
    EXPECT_EQ(taken(), Acquired::kHandedOver);
    EXPECT_EQ(std::ranges::count(cluster.calls, "ask 10.0.0.2:0/2"), 2);
    EXPECT_EQ(std::ranges::count(cluster.calls, "blocklist 10.0.0.2:0/2"), 0);
  }
}

TEST_F(LockProcedure, ALockThatWasReleasedWhileAskedIsNotBroken) {
  cluster.holders = {Holder{kOther}, Holder{}};
  cluster.answers = {Asked::kNoAnswer};
  EXPECT_EQ(taken(), Acquired::kFree);
  EXPECT_THAT(cluster.calls,
              ElementsAre("watch", "holder", "header", "fenced? 10.0.0.2:0/2", "ask 10.0.0.2:0/2",
                          "holder", "holder", "take", "watch", "map"));
}

TEST_F(LockProcedure, AnotherThatIsQuickerIsAskedNext) {
  cluster.takes = {std::unexpected(failure(-EROFS)), {}};
  cluster.holders = {Holder{}, Holder{kOther}, Holder{}};
  EXPECT_EQ(taken(), Acquired::kHandedOver);
  EXPECT_THAT(cluster.calls,
              ElementsAre("watch", "holder", "take", "holder", "header", "fenced? 10.0.0.2:0/2",
                          "ask 10.0.0.2:0/2", "holder", "take", "watch", "map"));
}

TEST_F(LockProcedure, SomebodyElseIsQuickerEachTime) {
  for (const int error : {-EROFS, -EBUSY, -EAGAIN}) {
    cluster.calls.clear();
    cluster.takes = {std::unexpected(failure(error))};
    EXPECT_EQ(failed(), -EAGAIN);
    EXPECT_EQ(cluster.calls.size(), 17U);  // Eight rounds.
  }
}

TEST_F(LockProcedure, ALockThatSomebodyElseBrokeMeanwhileIsNobodysPrey) {
  cluster.holders = {Holder{kOther}, Holder{kOther}, Holder{}};
  cluster.answers = {Asked::kNoAnswer};
  cluster.removed = {false};
  EXPECT_EQ(taken(), Acquired::kFree);
}

TEST_F(LockProcedure, AFenceIsLoggedEvenIfItWasNotNeeded) {
  const std::string fence = "fenced 10.0.0.2:0/2 (client.2): the owner did not answer";
  cluster.holders = {Holder{kOther}, Holder{kOther}, Holder{}};
  cluster.answers = {Asked::kNoAnswer};
  cluster.removed = {false};  // It released the lock at last, or another gateway broke it.
  EXPECT_EQ(taken(), Acquired::kFree);
  EXPECT_EQ(detail, fence);
  cluster.holders = {Holder{kOther}, Holder{kOther}, Holder{kThird}, Holder{}};
  cluster.answers = {Asked::kNoAnswer, Asked::kReleased};
  EXPECT_EQ(taken(), Acquired::kHandedOver);
  EXPECT_EQ(detail, "handed over by 10.0.0.3:0/3; " + fence);
  cluster.holders = {Holder{kOther}};
  cluster.answers = {Asked::kNoAnswer};
  cluster.maps = {std::unexpected(failure(-ETIMEDOUT))};
  EXPECT_EQ(failed(), -ETIMEDOUT);
  EXPECT_EQ(detail, "refused; " + fence);
}

TEST_F(LockProcedure, WithoutTheFenceTheLockStaysWhereItIs) {
  cluster.holders = {Holder{kOther}};
  cluster.answers = {Asked::kNoAnswer};
  cluster.blocklisting = std::unexpected(failure(-EACCES));
  EXPECT_EQ(failed(), -EACCES);
  EXPECT_THAT(cluster.calls, ElementsAre("watch", "holder", "header", "fenced? 10.0.0.2:0/2",
                                         "ask 10.0.0.2:0/2", "holder", "blocklist 10.0.0.2:0/2"));
}

TEST_F(LockProcedure, WithoutTheMapTheLockIsNotBroken) {
  cluster.holders = {Holder{kOther}};
  cluster.fencing = Fencing::kOnBlocklist;
  cluster.maps = {std::unexpected(failure(-ETIMEDOUT))};
  EXPECT_EQ(failed(), -ETIMEDOUT);
  EXPECT_EQ(cluster.calls.back(), "map");
}

TEST_F(LockProcedure, WithoutTheMapALockThatWasTakenDoesNotServe) {
  cluster.maps = {std::unexpected(failure(-ETIMEDOUT))};
  EXPECT_EQ(failed(), -ETIMEDOUT);
  EXPECT_THAT(cluster.calls, ElementsAre("watch", "holder", "take", "watch", "map"));
}

TEST_F(LockProcedure, AnInstanceThatIsFencedItselfDisturbsNobody) {
  cluster.holders = {Holder{kOther}};
  cluster.header = std::unexpected(failure(-ESHUTDOWN));
  EXPECT_EQ(failed(), -ESHUTDOWN);
  EXPECT_THAT(cluster.calls, ElementsAre("watch", "holder", "header"));
}

TEST_F(LockProcedure, AnInstanceThatIsFencedItselfTakesNoFreeLock) {
  cluster.takes = {std::unexpected(failure(-ESHUTDOWN))};
  EXPECT_EQ(failed(), -ESHUTDOWN);
  EXPECT_THAT(cluster.calls, ElementsAre("watch", "holder", "take"));
}

TEST_F(LockProcedure, AnImageThatIsNotPrimaryIsToldAsSuch) {
  cluster.takes = {std::unexpected(failure(-ENOMEDIUM))};
  EXPECT_EQ(failed(), -ENOMEDIUM);
  EXPECT_THAT(cluster.calls, ElementsAre("watch", "holder", "take"));
}

TEST_F(LockProcedure, AGatewayThatWasAwayTakesNothing) {
  cluster.watches = {OwnWatch::kGone};
  EXPECT_EQ(failed(), kWasAway);
  EXPECT_THAT(detail, HasSubstr("this gateway was away"));
  EXPECT_THAT(cluster.calls, ElementsAre("watch"));
}

// A machine that stands still while it takes the lock may have lost its hosts meanwhile. Once it
// has the lock, no other gateway gets it without fencing this instance.
TEST_F(LockProcedure, AGatewayThatWasAwayWhileItTookTheLockDoesNotServe) {
  cluster.watches = {OwnWatch::kThere, OwnWatch::kGone};
  EXPECT_EQ(failed(), kWasAway);
  EXPECT_THAT(cluster.calls, ElementsAre("watch", "holder", "take", "watch"));
}

// Else one hung OSD, that of the channel, would stop the writes to all healthy ones.
TEST_F(LockProcedure, AChannelThatDoesNotAnswerStopsNobody) {
  cluster.watches = {OwnWatch::kUnknown};
  EXPECT_EQ(taken(), Acquired::kFree);
}

TEST_F(LockProcedure, WhatTheHeaderCannotTellIsAFailure) {
  cluster.holders = {std::unexpected(-ETIMEDOUT)};
  EXPECT_EQ(failed(), -ETIMEDOUT);
  EXPECT_THAT(detail, HasSubstr("reading the owner of the exclusive lock"));
  cluster.holders = {Holder{kOther}, std::unexpected(-EIO)};
  cluster.answers = {Asked::kNoAnswer};
  EXPECT_EQ(failed(), -EIO);
  cluster.holders = {Holder{kOther}};
  cluster.removed = {std::unexpected(-EPERM)};
  EXPECT_EQ(failed(), -EPERM);
  EXPECT_THAT(detail, HasSubstr("breaking the exclusive lock"));
}

}  // namespace
}  // namespace tcmurbd::ceph
