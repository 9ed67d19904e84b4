// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/reactor/jobs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/executor_work_guard.hpp>
#include <cerrno>
#include <latch>
#include <system_error>
#include <thread>
#include <vector>

namespace tcmurbd::reactor {
namespace {

TEST(Jobs, RunInOrderOneAtATimeAndReportOnTheControlThread) {
  boost::asio::io_context control;
  auto busy = boost::asio::make_work_guard(control);
  auto jobs = std::make_shared<Jobs>(control);
  const auto control_thread = std::this_thread::get_id();
  std::vector<int>
      order;  // Unguarded: TSan finds it if two jobs, or a job and a report, run side by side.
  for (int i = 0; i < 50; ++i) {
    jobs->run(
        [&, i] {
          EXPECT_NE(std::this_thread::get_id(), control_thread);
          order.push_back(2 * i);
        },
        [&, i] {
          EXPECT_EQ(std::this_thread::get_id(), control_thread);
          if (i == 49) busy.reset();
        });
  }
  control.run();
  ASSERT_EQ(order.size(), 50u);
  for (int i = 0; i < 50; ++i) EXPECT_EQ(order[static_cast<size_t>(i)], 2 * i);
}

TEST(Jobs, AHungJobHoldsUpNobodyElse) {
  boost::asio::io_context control;
  auto busy = boost::asio::make_work_guard(control);
  auto hung = std::make_shared<Jobs>(control);
  auto healthy = std::make_shared<Jobs>(control);
  std::latch osd_is_back(1);
  bool hung_ended = false;
  hung->run([&] { osd_is_back.wait(); },
            [&] {
              hung_ended = true;
              busy.reset();
            });
  healthy->run([] {},
               [&] {
                 EXPECT_FALSE(hung_ended);
                 osd_is_back.count_down();
               });
  control.run();
  EXPECT_TRUE(hung_ended);
}

TEST(Jobs, AReportMayStartTheNextJob) {
  boost::asio::io_context control;
  auto busy = boost::asio::make_work_guard(control);
  auto jobs = std::make_shared<Jobs>(control);
  int runs = 0;
  jobs->run([&] { ++runs; }, [&] { jobs->run([&] { ++runs; }, [&] { busy.reset(); }); });
  control.run();
  EXPECT_EQ(runs, 2);
}

// The thread limit is reached for some time: no job is lost or reordered, and the process survives.
TEST(Jobs, WaitForAThreadThatCantBeStarted) {
  boost::asio::io_context control;
  auto busy = boost::asio::make_work_guard(control);
  int failures = 3;
  auto jobs = std::make_shared<Jobs>(control, [&](std::move_only_function<void()> body) {
    if (failures-- > 0) throw std::system_error(EAGAIN, std::generic_category());
    return std::thread(std::move(body));
  });
  std::vector<int> order;
  jobs->run([&] { order.push_back(1); }, [&] { order.push_back(2); });
  EXPECT_THAT(jobs->obstacle(), ::testing::HasSubstr("temporarily unavailable"));
  jobs->run([&] { order.push_back(3); },
            [&] {
              order.push_back(4);
              busy.reset();
            });
  control.run();
  EXPECT_THAT(order, ::testing::ElementsAre(1, 2, 3, 4));
  EXPECT_EQ(jobs->obstacle(), "");
  EXPECT_LT(failures, 0);
}

}  // namespace
}  // namespace tcmurbd::reactor
