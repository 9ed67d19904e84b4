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
  PeerBook book_;
  PeerBook::Time now_{std::chrono::hours(1)};
};

TEST_F(PeerBookTest, OneThatIsSilentForTwoSecondsIsDeadAndToldOnce) {
  book_.heard(7, "10.0.0.1:0/5");
  book_.missed(7, now_);
  book_.missed(7, now_ + milliseconds(1999));
  EXPECT_EQ(book_.take_dead(), Dead{});
  book_.missed(7, now_ + milliseconds(2000));
  EXPECT_EQ(book_.take_dead(), Dead{"10.0.0.1:0/5"});
  book_.missed(7, now_ + milliseconds(9000));
  EXPECT_EQ(book_.take_dead(), Dead{});
}

TEST_F(PeerBookTest, OneThatAnswersInBetweenIsNot) {
  book_.heard(7, "10.0.0.1:0/5");
  book_.missed(7, now_);
  book_.heard(7, "");
  book_.missed(7, now_ + milliseconds(3000));
  EXPECT_EQ(book_.take_dead(), Dead{});
}

TEST_F(PeerBookTest, WhoNeverToldItsInstanceCanNotBeNamed) {
  book_.heard(7, "");
  book_.missed(7, now_);
  book_.missed(7, now_ + milliseconds(5000));
  EXPECT_EQ(book_.take_dead(), Dead{});
}

TEST_F(PeerBookTest, OneThatOpenedAFreshInstanceIsNamedByThat) {
  book_.heard(7, "10.0.0.1:0/5");
  book_.missed(7, now_);
  book_.missed(7, now_ + milliseconds(2000));
  EXPECT_EQ(book_.take_dead(), Dead{"10.0.0.1:0/5"});
  book_.heard(7, "10.0.0.1:0/6");
  book_.missed(7, now_ + milliseconds(4000));
  book_.missed(7, now_ + milliseconds(6000));
  EXPECT_EQ(book_.take_dead(), Dead{"10.0.0.1:0/6"});
}

TEST_F(PeerBookTest, ItHasABound) {
  for (uint64_t client = 0; client < 1000; ++client) book_.heard(client, "10.0.0.1:0/5");
  for (uint64_t client = 0; client < 1000; ++client) {
    book_.missed(client, now_);
    book_.missed(client, now_ + milliseconds(2000));
  }
  EXPECT_EQ(book_.take_dead().size(), 64u);
}

}  // namespace
}  // namespace tcmurbd::ceph
