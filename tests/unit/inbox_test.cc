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
  const TurnLock turn(inbox.turn);
  EXPECT_EQ(inbox.drain([&](OpDone done) { tokens.push_back(done.token); }), 2u);
  EXPECT_EQ(tokens, (std::vector<OpToken>{1, 2}));
  EXPECT_EQ(inbox.drain([](OpDone) {}), 0u);
}

TEST(Inbox, WakesAgainAfterADrainWithoutTheEvent) {
  Inbox inbox;
  const TurnLock turn(inbox.turn);
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
    const TurnLock turn(inbox.turn);
    total += static_cast<uint32_t>(inbox.drain([&](OpDone done) {
      ++seen[done.token];
      room.release();
    }));
  }
  for (const int count : seen) ASSERT_EQ(count, 1);
}

// --- draining on the thread that pushes ---

class DrainHereTest : public ::testing::Test {
 protected:
  DrainHereTest() {
    inbox_.invite(true);
    const TurnLock turn(inbox_.turn);
    inbox_.set_drain_here([this]() REQUIRES_LOCK(inbox_.turn) {
      if (refuses_) return false;
      inbox_.drain([this](OpDone done) { seen_.push_back(done.token); });
      return true;
    });
  }
  bool woken() { return readable(inbox_, 0); }

  Inbox inbox_;
  bool refuses_ = false;
  std::vector<OpToken> seen_;
};

TEST_F(DrainHereTest, ThePusherDrainsAndWakesNobody) {
  inbox_.push({1});
  EXPECT_EQ(seen_, (std::vector<OpToken>{1}));
  EXPECT_FALSE(woken());
}

TEST_F(DrainHereTest, WithoutAnInvitationTheReactorIsWoken) {
  inbox_.invite(false);
  inbox_.push({1});
  EXPECT_TRUE(seen_.empty());
  EXPECT_TRUE(woken());
}

TEST_F(DrainHereTest, WhatIsRefusedWakesTheReactor) {
  refuses_ = true;
  inbox_.push({1});
  EXPECT_TRUE(woken());
}

TEST_F(DrainHereTest, WhenNothingDrainsAnyMoreTheReactorIsWoken) {
  {
    const TurnLock turn(inbox_.turn);
    inbox_.set_drain_here({});
  }
  inbox_.push({1});
  EXPECT_TRUE(woken());
}

TEST_F(DrainHereTest, WhoHasTheTurnOnlyQueues) {
  {
    const TurnLock turn(inbox_.turn);
    inbox_.push({1});  // As an Image may from within submit.
    EXPECT_TRUE(seen_.empty());
    std::jthread([this] { inbox_.push({2}); }).join();
    EXPECT_TRUE(seen_.empty());
  }
  EXPECT_TRUE(woken());
}

// Two pushers that drain or refuse, and a reactor that only looks when it was woken. If an item is
// lost, this waits for ever; if two threads have the turn, TSan reports `seen`.
TEST(Inbox, LosesNothingWhenPushersDrain) {
  constexpr uint32_t kEach = 20000;
  Inbox inbox;
  Inbox end;  // Readable when all were seen.
  std::counting_semaphore<> room(kImageOpsMax);
  std::vector<int> seen(2 * kEach, 0);
  uint32_t total = 0;
  const auto take_all = [&] {
    inbox.drain([&](OpDone done) {
      ++seen[done.token];
      room.release();
      if (++total == 2 * kEach) end.push({});
    });
  };
  uint32_t calls = 0;
  {
    const TurnLock turn(inbox.turn);
    inbox.set_drain_here([&] {
      if (++calls % 3 == 0) return false;
      take_all();
      return true;
    });
  }
  const auto pusher = [&](uint32_t base) {
    for (uint32_t i = 0; i < kEach; ++i) {
      room.acquire();
      inbox.push({base + i});
    }
  };
  std::jthread first(pusher, 0);
  std::jthread second(pusher, kEach);
  pollfd entries[] = {{inbox.fd(), POLLIN, 0}, {end.fd(), POLLIN, 0}};
  for (uint32_t round = 0; entries[1].revents == 0; ++round) {
    inbox.invite(round % 4 != 0);
    ASSERT_GT(poll(entries, 2, 30000), 0) << "a wake-up was lost";
    inbox.clear_event();
    const TurnLock turn(inbox.turn);
    take_all();
  }
  for (const int count : seen) ASSERT_EQ(count, 1);
}

}  // namespace
}  // namespace tcmurbd::reactor
