// SPDX-License-Identifier: Apache-2.0
// A scrape takes what the reactors say, and does not wait for one that hangs.
#include "rbd_handler/daemon/scrape.h"

#include "tests/unit/lun_fixture.h"

namespace tcmurbd {
namespace {

using testing::CephStep;
using testing::LunFixture;

class ScrapeTest : public LunFixture {
 protected:
  std::vector<std::shared_ptr<Lun>> luns() const {
    std::vector<std::shared_ptr<Lun>> all;
    for (const auto& [name, lun] : luns_) all.push_back(lun);
    return all;
  }
};

TEST_F(ScrapeTest, TellsOfEachLun) {
  serve("disk1");
  serves_a_write("disk1");
  ceph_->hang(CephStep::kOpenImage);
  open(Origin::kAdded, "disk2");
  std::optional<metrics::Sample> shown;
  scrape(loop_, luns(), {.version = "1", .kernel = "2"},
         [&](metrics::Sample sample) { shown = std::move(sample); });
  EXPECT_FALSE(shown) << "the reactor was not asked";
  until([&] { return shown.has_value(); });
  EXPECT_EQ(shown->version, "1");
  EXPECT_EQ(shown->luns_unanswered, 0U);
  ASSERT_EQ(shown->luns.size(), 2U);
  EXPECT_EQ(shown->luns[0].lun, "user_0/disk1");
  EXPECT_EQ(shown->luns[0].pool, "pool");
  EXPECT_EQ(shown->luns[0].image, "disk1");
  EXPECT_EQ(shown->luns[0].state, "serving");
  ASSERT_TRUE(shown->luns[0].device);
  EXPECT_EQ(shown->luns[0].device->counters.writes, 1U);
  EXPECT_EQ(shown->luns[0].device->bytes, 1U << 20U);
  EXPECT_EQ(shown->luns[1].lun, "user_0/disk2");
  EXPECT_EQ(shown->luns[1].state, "opening");
  EXPECT_FALSE(shown->luns[1].device);
}

TEST_F(ScrapeTest, WithoutLunsItEndsAtOnce) {
  bool ended = false;
  scrape(loop_, {}, {.version = "1", .kernel = "2"}, [&](const metrics::Sample&) { ended = true; });
  EXPECT_TRUE(ended);
}

// The LUN's loop does not run until the scrape has ended on one of its own.
TEST_F(ScrapeTest, AReactorThatHangsIsNotWaitedFor) {
  serve("disk1");
  boost::asio::io_context control;
  int answers = 0;
  std::optional<metrics::Sample> shown;
  scrape(control, luns(), {.version = "1", .kernel = "2"}, [&](metrics::Sample sample) {
    ++answers;
    shown = std::move(sample);
  });
  control.run();
  ASSERT_TRUE(shown);
  EXPECT_EQ(shown->luns_unanswered, 1U);
  EXPECT_EQ(shown->luns.at(0).state, "serving") << "what is known all the same";
  EXPECT_FALSE(shown->luns.at(0).device);
  settle();
  settle();  // Its answer goes from the reactor to the control loop, and holds a timer of
             // `control`.
  EXPECT_EQ(answers, 1) << "its answer came too late";
}

TEST(ProcessFacts, AreOfThisProcess) {
  const auto before = read_process();
  ASSERT_TRUE(before);
  EXPECT_GT(before->resident_bytes, 1U << 20U);
  EXPECT_LT(before->resident_bytes, uint64_t{1} << 40U);
  EXPECT_GE(before->threads, 1U);
  EXPECT_GT(before->open_fds, 2U);
  EXPECT_GT(before->max_fds, before->open_fds);
  std::jthread another([](const std::stop_token& stop) {
    while (!stop.stop_requested()) std::this_thread::yield();
  });
  const auto after = read_process();
  EXPECT_GT(after->threads, before->threads);
  EXPECT_GE(after->cpu_seconds, before->cpu_seconds);
}

}  // namespace
}  // namespace tcmurbd
