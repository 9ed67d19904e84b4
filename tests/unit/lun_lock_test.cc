// SPDX-License-Identifier: Apache-2.0
// A LUN and the other gateways of its image: the exclusive lock, the record of the instance, peers
// that ask, are silent or fenced, and this gateway's own fences. Real but for the cluster and the
// kernel.
#include "tests/unit/lun_fixture.h"

namespace tcmurbd::testing {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;

constexpr uint8_t kBusy = 8;
constexpr const char* kPeer = "10.0.0.2:0/1";

class LunLockTest : public LunFixture {
 protected:
  // A write that waits in the image.
  uint64_t begin_a_write(uint8_t lba = 1) {
    const uint64_t tag = device().write(lba);
    until([&] { return ceph_->served("disk1") && !ceph_->served("disk1")->pending.empty(); });
    return tag;
  }
  uint64_t away() { return status().counters.value_or(DeviceCounters{}).away; }
  std::string owner() const { return ceph_->owner("disk1"); }
};

TEST_F(LunLockTest, TheInstanceIsRecordedBeforeTheLockIsAcquired) {
  const FakeServed& image = serve();
  EXPECT_EQ(record().read().value().address, "") << "it has written nothing";
  EXPECT_EQ(owner(), "");
  const uint64_t write = begin_a_write();
  EXPECT_EQ(owner(), image.address());
  EXPECT_EQ(record().read().value().address, image.address());
  EXPECT_THAT(ceph_->channel().served_as, Contains(image.address()));
  EXPECT_EQ(ceph_->fences_refreshed(), 1U) << "what other gateways fenced before";
  ceph_->served("disk1")->finish();
  EXPECT_EQ(result(write).status, 0);
}

// A successor would not know whom to fence.
TEST_F(LunLockTest, WithoutARecordNothingIsWritten) {
  root_.write("/state", "a file where a directory should be");
  const FakeServed& image = serve();
  EXPECT_EQ(result(device().write(1)).status, kBusy);
  EXPECT_THAT(image.pending, IsEmpty());
  EXPECT_EQ(owner(), "");
}

TEST_F(LunLockTest, AHealthyOwnerIsAskedForTheLock) {
  ceph_->give_lock("disk1", kPeer);
  const FakeServed& image = serve();
  begin_a_write();
  EXPECT_THAT(ceph_->channel().asked, ElementsAre(kPeer));
  EXPECT_EQ(owner(), image.address());
  EXPECT_THAT(ceph_->blocklisted(), IsEmpty());
  EXPECT_THAT(image.published, Contains(ceph::ServiceStatus{.lock_owner = true}));
}

TEST_F(LunLockTest, AnOwnerThatDoesNotAnswerIsFencedAndListed) {
  ceph_->give_lock("disk1", kPeer);
  ceph_->set_answer(ceph::Asked::kNoAnswer);
  const FakeServed& image = serve();
  begin_a_write();
  EXPECT_EQ(owner(), image.address());
  EXPECT_THAT(ceph_->blocklisted(), ElementsAre(kPeer));
  EXPECT_THAT(ceph_->fences(), ElementsAre(kPeer));
}

// It was fenced by another gateway, which may have been this host's tcmu-runner.
TEST_F(LunLockTest, AnOwnerThatWasFencedElsewhereIsNotAsked) {
  ceph_->give_lock("disk1", kPeer);
  ceph_->fence_elsewhere(kPeer);
  const FakeServed& image = serve();
  begin_a_write();
  EXPECT_EQ(owner(), image.address());
  EXPECT_THAT(ceph_->channel().asked, IsEmpty());
  EXPECT_THAT(ceph_->blocklisted(), ElementsAre(kPeer)) << "its entry was removed";
}

TEST_F(LunLockTest, AnOwnerThatCannotBeFencedKeepsTheLock) {
  ceph_->give_lock("disk1", kPeer);
  ceph_->set_answer(ceph::Asked::kNoAnswer);
  ceph_->refuse(CephStep::kBlocklist, "not permitted");
  const FakeServed& image = serve();
  EXPECT_EQ(result(device().write(1)).status, kBusy);
  EXPECT_THAT(image.pending, IsEmpty());
  EXPECT_EQ(owner(), kPeer);
  EXPECT_THAT(ceph_->fences(), IsEmpty());
}

TEST_F(LunLockTest, APeerGetsTheLockOnceWhatRunsHasEnded) {
  serve();
  const uint64_t write = begin_a_write();
  ceph_->handlers().on_request({.nonce = 77});
  settle();
  EXPECT_THAT(ceph_->channel().answers, IsEmpty());
  ceph_->served("disk1")->finish();
  EXPECT_EQ(result(write).status, 0);
  until([&] { return !ceph_->channel().answers.empty(); });
  EXPECT_THAT(ceph_->channel().answers, ElementsAre(Pair(77, lock::PeerAnswer::kReleased)));
  EXPECT_EQ(owner(), "");
  EXPECT_THAT(ceph_->served("disk1")->published.back(), ceph::ServiceStatus{});
  serves_a_write();
  EXPECT_NE(owner(), "");
}

TEST_F(LunLockTest, AGatewayWithoutTheLockAnswersAtOnce) {
  serve();
  ceph_->handlers().on_request({.nonce = 5});
  until([&] { return !ceph_->channel().answers.empty(); });
  EXPECT_THAT(ceph_->channel().answers, ElementsAre(Pair(5, lock::PeerAnswer::kNotOwner)));
}

TEST_F(LunLockTest, AGatewayThatWasAwayDoesNotAcquire) {
  ceph_->set_own_watch(ceph::OwnWatch::kGone);
  const FakeServed& image = serve();
  EXPECT_EQ(result(device().write(1)).status, kBusy);
  EXPECT_THAT(image.pending, IsEmpty());
  EXPECT_EQ(owner(), "");
  EXPECT_EQ(away(), 1U);
}

TEST_F(LunLockTest, ALostWatchMakesChangesBusy) {
  const FakeServed& image = serve();
  ceph_->handlers().on_watch_lost();
  until([&] { return away() == 1; });
  EXPECT_EQ(result(device().write(1)).status, kBusy);
  EXPECT_THAT(image.pending, IsEmpty());
  EXPECT_EQ(image.published.back().connections_lost, 1U);
}

TEST_F(LunLockTest, SilentPeersAreFencedOnce) {
  serve();
  ceph_->fence_elsewhere("10.0.0.3:0/1");
  ceph_->handlers().on_silent({"10.0.0.3:0/1", kPeer});
  until([&] { return ceph_->fences().contains(kPeer); });
  EXPECT_THAT(ceph_->blocklisted(), ElementsAre(kPeer)) << "the other one was fenced elsewhere";
}

TEST_F(LunLockTest, AChangedListOfFencesIsReadAgain) {
  serve();
  ceph_->handlers().on_fenced();
  until([&] { return ceph_->fences_refreshed() == 1; });
}

// tcmu-runner breaks a lock without asking, and this gateway is idle. The next write must not be
// what notices it: it would get BUSY for seconds.
TEST_F(LunLockTest, AnIdleGatewayThatWasFencedOpensAnotherInstance) {
  serve();
  serves_a_write();
  const std::string old = ceph_->served("disk1")->address();
  ceph_->give_lock("disk1", kPeer);
  ceph_->hang(CephStep::kCloseImage);
  ceph_->fence_instance(old);
  until([&] { return ceph_->begun(CephStep::kCloseImage) == 1; });
  EXPECT_THAT(ceph_->fences(), ElementsAre(old)) << "its entry must stay until its ops have ended";
  ceph_->release(CephStep::kCloseImage);
  until([&] { return ceph_->images_open() == 1 && ceph_->served("disk1")->address() != old; });
  until([&] { return status().lock == lock::State::kUnowned; });
  EXPECT_EQ(away(), 1U);
  EXPECT_THAT(ceph_->blocklisted(), ElementsAre(old)) << "it needs no fence of its own";
  EXPECT_EQ(owner(), kPeer);
  // Of the one that is closed.
  ceph_->hang(CephStep::kOpenImage);
  ceph_->report_fenced(old);
  settle();
  EXPECT_EQ(status().lock, lock::State::kUnowned);
  EXPECT_EQ(ceph_->begun(CephStep::kOpenImage), 2U);
  ceph_->release(CephStep::kOpenImage);
}

class LunFenceTest : public LunLockTest, public ::testing::WithParamInterface<bool> {};

// An op whose outcome is not known, because RADOS gave it up. Its instance stays in the list if it
// may still be applied.
TEST_P(LunFenceTest, AFencedInstanceIsListedUntilItsOpsHaveEnded) {
  const std::string old = serve().address();
  const uint64_t write = begin_a_write();
  ceph_->hang(CephStep::kOpenImage);
  ceph_->hang(CephStep::kCloseImage);
  if (GetParam()) ceph_->served("disk1")->lose_track();
  ceph_->served("disk1")->finish(-ETIMEDOUT);
  EXPECT_EQ(result(write).status, kBusy);
  until([&] { return ceph_->begun(CephStep::kOpenImage) == 2; });
  EXPECT_THAT(ceph_->fences(), ElementsAre(old)) << "before anything else can fail";
  ASSERT_EQ(traces_.size(), 1U) << "what led to the fence";
  EXPECT_EQ(traces_[0].label.name, "user_0/disk1");
  EXPECT_TRUE(std::ranges::any_of(tell_stories(traces_[0].record), [](const FlightStory& story) {
    return std::ranges::find(story.steps, "image op ended with -110", &FlightStep::text) !=
           story.steps.end();
  }));
  ceph_->release(CephStep::kOpenImage);
  until([&] { return ceph_->begun(CephStep::kCloseImage) == 1; });
  EXPECT_THAT(ceph_->blocklisted(), ElementsAre(old));
  EXPECT_THAT(ceph_->fences(), ElementsAre(old));
  until([&] { return status().lock == lock::State::kUnowned; });
  EXPECT_EQ(ceph_->channel().served_as.back(), ceph_->served("disk1")->address());
  EXPECT_NE(ceph_->served("disk1")->address(), old);
  ceph_->release(CephStep::kCloseImage);
  until([&] { return ceph_->images_open() == 1; });
  serves_a_write();
  if (!GetParam()) until([&] { return ceph_->fences().empty(); });
  EXPECT_EQ(ceph_->fences().contains(old), GetParam());
}
INSTANTIATE_TEST_SUITE_P(OpsThatRadosGaveUp, LunFenceTest, ::testing::Bool(),
                         [](const auto& test) { return test.param ? "Remain" : "Ended"; });

}  // namespace
}  // namespace tcmurbd::testing
