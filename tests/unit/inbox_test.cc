// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/reactor/inbox.h"

#include <gtest/gtest.h>
#include <poll.h>

#include <semaphore>
#include <thread>
#include <vector>

namespace tcmurbd::reactor {
namespace {

bool readable(const Inbox& inbox, int timeout_ms) {
  pollfd entry{inbox.fd(), POLLIN, 0};
  return poll(&entry, 1, timeout_ms) == 1;
}

TEST(Inbox, WakesOnceForABatch) {
  Inbox inbox;
  EXPECT_FALSE(readable(inbox, 0));
  inbox.push({1, 0});
  inbox.push({2, -5});
  EXPECT_TRUE(readable(inbox, 0));
  inbox.clear_event();
  EXPECT_FALSE(readable(inbox, 0));
  std::vector<OpToken> tokens;
  EXPECT_EQ(inbox.drain([&](OpDone done) { tokens.push_back(done.token); }), 2u);
  EXPECT_EQ(tokens, (std::vector<OpToken>{1, 2}));
  EXPECT_EQ(inbox.drain([](OpDone) {}), 0u);
}

TEST(Inbox, WakesAgainAfterADrainWithoutTheEvent) {
  Inbox inbox;
  inbox.push({1, 0});
  EXPECT_EQ(inbox.drain([](OpDone) {}), 1u);  // As polling does.
  inbox.push({2, 0});
  EXPECT_TRUE(readable(inbox, 0));
  inbox.clear_event();
  EXPECT_EQ(inbox.drain([](OpDone) {}), 1u);
}

// Two pushers (librbd's threads may change) against one reader that only drains when it was woken:
// if an item is lost, this waits forever.
TEST(Inbox, LosesNothingBetweenThreads) {
  constexpr uint32_t kEach = 20000;
  Inbox inbox;
  std::counting_semaphore<> room(kImageOpsMax);  // The core's bound on ops in flight.
  const auto pusher = [&](uint32_t base) {
    for (uint32_t i = 0; i < kEach; ++i) {
      room.acquire();
      inbox.push({base + i, 0});
    }
  };
  std::jthread first(pusher, 0);
  std::jthread second(pusher, kEach);
  std::vector<int> seen(2 * kEach, 0);
  for (uint32_t total = 0; total < 2 * kEach;) {
    ASSERT_TRUE(readable(inbox, 30000)) << "a wake-up was lost after " << total;
    inbox.clear_event();
    total += static_cast<uint32_t>(inbox.drain([&](OpDone done) {
      ++seen[done.token];
      room.release();
    }));
  }
  for (const int count : seen) ASSERT_EQ(count, 1);
}

}  // namespace
}  // namespace tcmurbd::reactor
