// SPDX-License-Identifier: Apache-2.0
// What a LUN tells an operator while it serves, and while the cluster hangs.
#include <gmock/gmock.h>

#include "rbd_handler/lun/explain.h"
#include "tests/unit/lun_fixture.h"

namespace tcmurbd {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::CephStep;
using ::testing::ElementsAre;
using testing::FakeServed;
using ::testing::HasSubstr;

class LunViews : public testing::LunFixture {
 protected:
  LunSnapshot snapshot() {
    std::optional<LunSnapshot> shown;
    lun().snapshot([&](LunSnapshot snapshot) { shown = std::move(snapshot); });
    until([&] { return shown.has_value(); });
    return shown.value_or(LunSnapshot{});
  }
  std::optional<lock::PeerAnswer> release() {
    std::optional<std::optional<lock::PeerAnswer>> shown;
    lun().release_lock([&](std::optional<lock::PeerAnswer> answer) { shown = answer; });
    until([&] { return shown.has_value(); });
    return *shown;
  }
  // A write whose op has been with the image for more than a second.
  void hang_a_write() {
    serve();
    device().write(9);
    until([&] { return !ceph_->served("disk1")->pending.empty(); });
    const auto end = std::chrono::steady_clock::now() + milliseconds(1050);
    until([&] { return std::chrono::steady_clock::now() > end; });
  }
};

TEST_F(LunViews, AHungWriteWithItsOsds) {
  hang_a_write();
  const LunSnapshot shown = snapshot();
  EXPECT_EQ(shown.label.name, "user_0/disk1");
  ASSERT_TRUE(shown.device.has_value());
  ASSERT_EQ(shown.device->ops.size(), 1U);
  EXPECT_EQ(shown.device->ops[0].stage, "in-librbd");
  ASSERT_EQ(shown.places.size(), 1U);
  EXPECT_EQ(shown.places[0].object, "0");
  ASSERT_TRUE(shown.places[0].location.has_value());
  EXPECT_EQ(shown.places[0].location->pg, "1.0");
  EXPECT_THAT(explain(shown), HasSubstr("object 0 in pg 1.0, acting osd.2, osd.0"));
  EXPECT_EQ(status().load.hung, 1U);
  EXPECT_EQ(status().load.in_flight, 1U);
}

TEST_F(LunViews, AHungWriteThatWaitsForTheObjectMap) {
  ceph_->hang_object_map();
  hang_a_write();
  const LunSnapshot shown = snapshot();
  EXPECT_EQ(shown.places.at(0).object, "map");
  EXPECT_THAT(explain(shown), HasSubstr("object map in pg 1.5, acting osd.1. Look at osd.1 first"));
}

TEST_F(LunViews, MonitorsThatHangAreNotWaitedFor) {
  hang_a_write();
  ceph_->hang(CephStep::kLocate);
  const auto begin = std::chrono::steady_clock::now();
  const LunSnapshot shown = snapshot();
  EXPECT_LT(std::chrono::steady_clock::now() - begin, Lun::kPlacesPatience + seconds(2));
  EXPECT_EQ(shown.places.at(0).object, "0");
  EXPECT_FALSE(shown.places.at(0).location.has_value());
}

TEST_F(LunViews, BeforeItServes) {
  ceph_->hang(CephStep::kOpenImage);
  open();
  const LunSnapshot shown = snapshot();
  EXPECT_EQ(shown.state, "opening");
  EXPECT_FALSE(shown.device.has_value());
  EXPECT_EQ(release(), std::nullopt);
  EXPECT_TRUE(lun().fences().fences.empty());
}

TEST_F(LunViews, TheLockIsReleasedAndComesBack) {
  serve();
  EXPECT_EQ(release(), lock::PeerAnswer::kNotOwner);
  serves_a_write();
  EXPECT_EQ(status().lock, lock::State::kOwned);
  EXPECT_EQ(release(), lock::PeerAnswer::kReleased);
  EXPECT_EQ(status().lock, lock::State::kUnowned);
  serves_a_write();
  EXPECT_EQ(status().lock, lock::State::kOwned);
}

TEST_F(LunViews, TheLockIsKeptOverAHungWrite) {
  hang_a_write();
  EXPECT_EQ(release(), lock::PeerAnswer::kWait);
  EXPECT_EQ(status().lock, lock::State::kOwned);
  EXPECT_THAT(ceph_->blocklisted(), ElementsAre());
}

TEST_F(LunViews, AReloadedDeadlineIsThatOfCommandsUnderWayToo) {
  FakeServed& image = serve();
  const uint64_t hung = device().read(1);
  until([&] { return !image.pending.empty(); });
  Config fresh = config_;
  fresh.device.command_deadline = seconds(1);
  lun().reconfigure(fresh);
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(result(hung).status, 0x08) << "BUSY";
  EXPECT_LT(std::chrono::steady_clock::now() - begin, seconds(10)) << "15 s is the old one";
}

TEST_F(LunViews, AReloadedDeadlineIsNotThatOfADeviceWithItsOwn) {
  osd_op_timeout_ = seconds(60);
  FakeServed& image = serve();
  const uint64_t hung = device().read(1);
  until([&] { return !image.pending.empty(); });
  Config fresh = config_;
  fresh.device.command_deadline = seconds(1);
  lun().reconfigure(fresh);
  const auto end = std::chrono::steady_clock::now() + milliseconds(2500);
  until([&] { return std::chrono::steady_clock::now() > end; });
  EXPECT_EQ(device().kernel().take_result(hung), std::nullopt);
  image.finish();
  EXPECT_EQ(result(hung).status, 0);
}

TEST_F(LunViews, SlowCommandsBySettings) {
  config_.device.slow_after = milliseconds(1);
  serve();
  const auto slow = [this] {
    std::optional<LunSlow> shown;
    lun().slow([&](LunSlow answer) { shown = std::move(answer); });
    until([&] { return shown.has_value(); });
    return shown.value_or(LunSlow{});
  };
  EXPECT_EQ(slow().slow.slow_after, milliseconds(1));
  device().write(9);
  until([&] { return !ceph_->served("disk1")->pending.empty(); });
  const auto end = std::chrono::steady_clock::now() + milliseconds(5);
  until([&] { return std::chrono::steady_clock::now() > end; });
  finish_all();
  until([&] { return slow().slow.total == 1; });
  Config fresh = config_;
  fresh.device.slow_after = seconds(7);
  lun().reconfigure(fresh);
  EXPECT_EQ(slow().slow.slow_after, seconds(7));
}

}  // namespace
}  // namespace tcmurbd
