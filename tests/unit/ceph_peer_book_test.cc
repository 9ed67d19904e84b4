// SPDX-License-Identifier: Apache-2.0
// Which gateways are considered dead.
#include <gtest/gtest.h>

#include "rbd_handler/ceph/peer_book.h"

namespace tcmurbd::ceph {
namespace {

using std::chrono::milliseconds;
using Dead = std::vector<std::string>;

class PeerBookTest : public ::testing::Test {
 protected:
  // Notifies of a second each, which begins when that many milliseconds have passed.
  void miss(uint64_t client, std::initializer_list<int> begins) {
    for (const int begin : begins) {
      const PeerBook::Time sent = start_ + milliseconds(begin);
      book_.missed(client, {sent, sent + kPatience, kPatience});
    }
  }
  Dead dead() { return book_.take_dead(PeerBook::kSilence); }

  static constexpr milliseconds kPatience{1000};
  const PeerBook::Time start_{std::chrono::hours(1)};
  PeerBook book_;
};

TEST_F(PeerBookTest, OneThatIsSilentForTwoSecondsIsDeadAndToldOnce) {
  book_.heard(7, "10.0.0.1:0/5");
  miss(7, {0});
  EXPECT_EQ(dead(), Dead{});
  miss(7, {1000});
  EXPECT_EQ(dead(), Dead{"10.0.0.1:0/5"});
  miss(7, {2000, 3000});
  EXPECT_EQ(dead(), Dead{});
}

TEST_F(PeerBookTest, WhileNobodyWaitsOneMayBeSilentForSixSeconds) {
  book_.heard(7, "10.0.0.1:0/5");
  miss(7, {0, 1000, 2000, 3000, 4000});
  EXPECT_EQ(book_.take_dead(PeerBook::kSilenceInPeace), Dead{});
  miss(7, {5000});
  EXPECT_EQ(book_.take_dead(PeerBook::kSilenceInPeace), Dead{"10.0.0.1:0/5"});
}

// What was known in peace counts at once when the lock is to change hands.
TEST_F(PeerBookTest, OneThatIsKnownToBeSilentIsDeadWhenSomebodyWaits) {
  book_.heard(7, "10.0.0.1:0/5");
  miss(7, {0, 1000, 2000});
  EXPECT_EQ(book_.take_dead(PeerBook::kSilenceInPeace), Dead{});
  EXPECT_EQ(dead(), Dead{"10.0.0.1:0/5"});
}

// An OSD that hung sends all that waited at once: it was silent for a second.
TEST_F(PeerBookTest, NotifiesThatOverlapCountOnce) {
  book_.heard(7, "10.0.0.1:0/5");
  miss(7, {0, 10, 500, 999});
  EXPECT_EQ(dead(), Dead{});
  miss(7, {1000});
  EXPECT_EQ(dead(), Dead{"10.0.0.1:0/5"});
}

TEST_F(PeerBookTest, OneThatAnswersInBetweenIsNot) {
  book_.heard(7, "10.0.0.1:0/5");
  miss(7, {0});
  book_.heard(7, "");
  miss(7, {1000});
  EXPECT_EQ(dead(), Dead{});
}

TEST_F(PeerBookTest, ASuspectIsAskedAgainWhenTheNotifyHasEnded) {
  book_.heard(7, "10.0.0.1:0/5");
  EXPECT_EQ(book_.suspected_until(), std::nullopt);
  miss(7, {0, 500});
  EXPECT_EQ(book_.suspected_until(), start_ + kPatience);
  book_.heard(7, "");
  EXPECT_EQ(book_.suspected_until(), std::nullopt);
}

TEST_F(PeerBookTest, OneThatIsDeadIsNoSuspect) {
  book_.heard(7, "10.0.0.1:0/5");
  miss(7, {0, 1000});
  EXPECT_EQ(dead().size(), 1u);
  EXPECT_EQ(book_.suspected_until(), std::nullopt);
}

TEST_F(PeerBookTest, WhoNeverToldItsInstanceCanNotBeNamed) {
  book_.heard(7, "");
  miss(7, {0, 1000, 2000});
  EXPECT_EQ(dead(), Dead{});
  EXPECT_EQ(book_.suspected_until(), std::nullopt);
}

TEST_F(PeerBookTest, OneThatOpenedAFreshInstanceIsNamedByThat) {
  book_.heard(7, "10.0.0.1:0/5");
  miss(7, {0, 1000});
  EXPECT_EQ(dead(), Dead{"10.0.0.1:0/5"});
  book_.heard(7, "10.0.0.1:0/6");
  miss(7, {4000, 5000});
  EXPECT_EQ(dead(), Dead{"10.0.0.1:0/6"});
}

TEST_F(PeerBookTest, ItHasABound) {
  for (uint64_t client = 0; client < 1000; ++client) book_.heard(client, "10.0.0.1:0/5");
  for (uint64_t client = 0; client < 1000; ++client) miss(client, {0, 1000});
  EXPECT_EQ(dead().size(), 64u);
}

// Else the book would be full one day.
TEST_F(PeerBookTest, WhoWatchesNoMoreIsForgotten) {
  for (uint64_t client = 0; client < 64; ++client) book_.heard(client, "10.0.0.1:0/5");
  const std::vector<uint64_t> left{3, 99};
  book_.watching(left);
  miss(2, {0, 1000});
  EXPECT_EQ(dead(), Dead{});
  book_.heard(99, "10.0.0.1:0/6");
  miss(99, {0, 1000});
  EXPECT_EQ(dead(), Dead{"10.0.0.1:0/6"});
}

}  // namespace
}  // namespace tcmurbd::ceph
