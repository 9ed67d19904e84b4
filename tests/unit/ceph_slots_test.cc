// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <set>
#include <thread>
#include <vector>

#include "rbd_handler/ceph/op_slots.h"

namespace tcmurbd::ceph {
namespace {

TEST(OpSlots, AsManyAsOpsMayBeInFlight) {
  OpSlots slots(nullptr);
  std::set<OpSlot*> taken;
  while (OpSlot* slot = slots.take()) EXPECT_TRUE(taken.insert(slot).second);
  EXPECT_EQ(taken.size(), kImageOpsMax);
  slots.put_back(**taken.begin());
  EXPECT_EQ(slots.take(), *taken.begin());
  EXPECT_EQ(slots.take(), nullptr);
}

TEST(OpSlots, PuttingBackDropsTheBounce) {
  OpSlots slots(nullptr);
  OpSlot* slot = slots.take();
  slot->bounce = std::make_unique<uint8_t[]>(10);
  slots.put_back(*slot);
  EXPECT_EQ(slot->bounce, nullptr);
}

// One taker, several that put back, as the reactor and the threads of librbd and of the image do.
TEST(OpSlots, NoSlotIsHandedOutTwice) {
  OpSlots slots(nullptr);
  constexpr uint32_t kRounds = 10000;
  std::array<std::atomic<OpSlot*>, 3> mailboxes{};
  std::vector<std::jthread> threads;
  for (auto& mailbox : mailboxes)
    threads.emplace_back([&](std::stop_token stop) {
      while (!stop.stop_requested()) {
        OpSlot* slot = mailbox.exchange(nullptr);
        if (slot == nullptr) {
          std::this_thread::yield();
          continue;
        }
        EXPECT_EQ(slot->token, 1U);
        slot->token = 0;
        slots.put_back(*slot);
      }
    });
  for (uint32_t i = 0; i < kRounds; ++i) {
    OpSlot* slot = slots.take();
    ASSERT_NE(slot, nullptr);
    ASSERT_EQ(slot->token, 0U) << "in use";
    slot->token = 1;
    auto& mailbox = mailboxes[i % mailboxes.size()];
    OpSlot* empty = nullptr;
    while (!mailbox.compare_exchange_weak(empty, slot)) {
      empty = nullptr;
      std::this_thread::yield();
    }
  }
}

}  // namespace
}  // namespace tcmurbd::ceph
