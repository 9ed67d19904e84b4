// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "rbd_handler/ceph/heap_trim.h"

namespace tcmurbd::ceph {
namespace {

using std::chrono::milliseconds;

TEST(HeapTrim, IsDueOnceASecondWhileClientsEndOneAfterTheOther) {
  HeapTrim trims;
  TimePoint now{};
  int due = 0;
  for (int i = 0; i < 250; ++i, now += milliseconds(10)) due += trims.due(now);
  EXPECT_EQ(due, 3);  // At 0, 1 and 2 s.
}

TEST(HeapTrim, IsDueForOneOfManyThatEndAtATime) {
  HeapTrim trims;
  std::atomic<int> due = 0;
  {
    std::vector<std::jthread> threads(8);
    for (auto& thread : threads) thread = std::jthread([&] { due += trims.due(TimePoint{}); });
  }
  EXPECT_EQ(due, 1);
}

}  // namespace
}  // namespace tcmurbd::ceph
