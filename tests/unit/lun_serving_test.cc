// SPDX-License-Identifier: Apache-2.0
// A LUN that is taken over from a dead predecessor, and what happens to one that serves.
#include <algorithm>
#include <cerrno>

#include "tests/unit/lun_fixture.h"

namespace tcmurbd {
namespace {

using std::chrono::seconds;
using testing::CephStep;
using testing::FakeResult;
using testing::FakeServed;
using State = Lun::State;

constexpr uint8_t kBusy = 0x08;

class LunServingTest : public testing::LunFixture {
 protected:
  // The device refuses commands, as one does whose LUN is not served yet.
  void initiators_get_busy() {
    const FakeResult refused = result(device().write(1));
    EXPECT_EQ(refused.how, FakeResult::How::kReset);
    EXPECT_EQ(refused.status, kBusy);
  }
  // With the lock, and a read in the image that does not end by itself.
  FakeServed& serve_with_a_hung_read() {
    FakeServed& image = serve();
    serves_a_write();
    device().read(3);
    until([&] { return !image.pending.empty(); });
    return image;
  }
  void abort_a_hung_read() {
    const uint64_t tag = device().read(3);
    until([&] { return !ceph_->served("disk1")->pending.empty(); });
    device().kernel().abort(tag);
    device().wake();
  }
  void until_begun(CephStep step, size_t count) {
    until([&] { return ceph_->begun(step) >= count; });
  }
  // The first character of the unit serial number (VPD page 80h).
  char serial() {
    const FakeResult reply =
        result(device().queue({.cdb = {0x12, 1, 0x80, 0, 64, 0}, .data_in_bytes = 64}));
    EXPECT_EQ(reply.status, 0);
    return reply.data_in.size() < 5 ? ' ' : static_cast<char>(reply.data_in[4]);
  }
};

TEST_F(LunServingTest, TakenOverItIsBlockedUntilItServes) {
  ceph_->hang(CephStep::kOpenImage);
  const Status opened = open(Origin::kTakenOver);
  EXPECT_TRUE(device().was_reset());
  until_begun(CephStep::kOpenImage, 1);
  initiators_get_busy();
  EXPECT_FALSE(opened->has_value());
  ceph_->release(CephStep::kOpenImage);
  ends(opened, 0);
  EXPECT_FALSE(device().blocked());
  serves_a_write();
}

TEST_F(LunServingTest, ATakeOverThatFailsIsTriedAgainEverMoreSeldom) {
  ceph_->refuse(CephStep::kOpenImage, "does not exist");
  ends(open(Origin::kTakenOver), -EIO);
  EXPECT_EQ(status().state, State::kOpening);
  initiators_get_busy();
  until_begun(CephStep::kOpenImage, 3);
  const auto times = ceph_->times(CephStep::kOpenImage);
  EXPECT_GE(times.at(1) - times.at(0), seconds(1));
  EXPECT_GE(times.at(2) - times.at(1), seconds(2));
  EXPECT_TRUE(device().blocked());
}

TEST_F(LunServingTest, ATakeOverThatFailedFirstServesInTheEnd) {
  ceph_->refuse(CephStep::kConnect, "no monitor");
  ends(open(Origin::kTakenOver), -EIO);
  ceph_->allow(CephStep::kConnect);
  until_state(State::kServing);
  until([&] { return !device().blocked(); });
  serves_a_write();
}

TEST_F(LunServingTest, ATakeOverThatHangsIsToldAndServesInTheEnd) {
  config_.device.open_timeout = seconds(0);
  ceph_->hang(CephStep::kOpenImage);
  ends(open(Origin::kTakenOver), -ETIMEDOUT);
  EXPECT_EQ(status().state, State::kOpening);
  initiators_get_busy();
  ceph_->release(CephStep::kOpenImage);
  until_state(State::kServing);
  until([&] { return !device().blocked(); });
  EXPECT_EQ(ceph_->begun(CephStep::kOpenImage), 1U);
}

// Linux 5.9 to 5.14 have no action/free_kept_buf either.
TEST_F(LunServingTest, AKernelWithoutKeptBuffersIsServed) {
  capabilities_ = testing::FakeDevice::kLinux5_9;
  FakeServed& image = serve();
  serves_a_write();
  const uint64_t hung = device().read(3);
  until([&] { return !image.pending.empty(); });
  device().kernel().abort(hung);
  device().wake();
  EXPECT_EQ(result(hung).how, FakeResult::How::kAborted) << "must not wait for the image";
  image.finish();
  serves_a_write();
}

// The predecessor has not ended yet, or this process is out of descriptors for a while.
TEST_F(LunServingTest, ADeviceThatCannotBeOpenedIsTakenOverLater) {
  {
    const auto other = device().open();
    ASSERT_TRUE(other.has_value());
    ends(open(Origin::kTakenOver), -ENODEV);
    EXPECT_EQ(status().state, State::kOpening);
    EXPECT_FALSE(device().blocked()) << "another process may serve it";
  }
  until_state(State::kServing);
  until([&] { return !device().blocked(); });
  serves_a_write();
}

// For lack of descriptors, for example.
TEST_F(LunServingTest, KeptBuffersThatCannotBeOpenedAreTriedAgain) {
  device().remove_file("action/free_kept_buf");
  ends(open(Origin::kTakenOver), -ENODEV);
  EXPECT_EQ(status().state, State::kOpening);
  initiators_get_busy();
  device().set_file("action/free_kept_buf", "");
  until_state(State::kServing);
  until([&] { return !device().blocked(); });
  serves_a_write();
}

TEST_F(LunServingTest, AnUnblockThatFailsIsTriedAgain) {
  ceph_->hang(CephStep::kOpenImage);
  const Status opened = open(Origin::kTakenOver);
  until_begun(CephStep::kOpenImage, 1);
  device().remove_file("action/block_dev");
  ceph_->release(CephStep::kOpenImage);
  ends(opened, 0);
  device().set_file("action/block_dev", "1\n");
  until([&] { return !device().blocked(); });
  serves_a_write();
}

TEST_F(LunServingTest, RemovedBeforeItCouldBeOpened) {
  const auto other = device().open();
  ASSERT_TRUE(other.has_value());
  ends(open(Origin::kTakenOver), -ENODEV);
  ends(remove(), 0);
  until_state(State::kClosed);
}

TEST_F(LunServingTest, RemovedBetweenTwoAttempts) {
  ceph_->refuse(CephStep::kOpenImage, "does not exist");
  ends(open(Origin::kTakenOver), -EIO);
  ends(remove(), 0);
  EXPECT_FALSE(device().is_open());
  until_state(State::kClosed);
}

TEST_F(LunServingTest, LeftBetweenTwoAttemptsItStaysBlocked) {
  ceph_->refuse(CephStep::kOpenImage, "does not exist");
  ends(open(Origin::kTakenOver), -EIO);
  ends(leave(), 0);
  until_state(State::kClosed);
  EXPECT_TRUE(device().blocked());
  EXPECT_FALSE(device().is_open());
}

TEST_F(LunServingTest, ANewSizeIsServedAtOnce) {
  ceph_->hang(CephStep::kRefreshSize);
  FakeServed& image = serve();
  ends(resize(1U << 19U), 0);
  EXPECT_EQ(status().bytes, 1U << 19U);
  const FakeResult reply = result(device().read(1));
  EXPECT_EQ(reply.status, 2);
  EXPECT_EQ(reply.sense[2] & 0xfU, 6) << "UNIT ATTENTION";
  EXPECT_EQ(reply.sense[12], 0x2a);
  EXPECT_EQ(reply.sense[13], 0x09);
  const uint64_t beyond =
      device().queue({.cdb = {0x28, 0, 0, 0, 0x04, 0x00, 0, 0, 1, 0}, .data_in_bytes = 512});
  EXPECT_EQ(result(beyond).sense[12], 0x21) << "the first block behind the new end";
  EXPECT_TRUE(image.pending.empty());
  until_begun(CephStep::kRefreshSize, 1);
}

TEST_F(LunServingTest, ASizeThatCameWhileItOpensIsServed) {
  ceph_->hang(CephStep::kConnect);
  const Status opened = open();
  until_begun(CephStep::kConnect, 1);
  ends(resize(1U << 19U), 0);
  ceph_->release(CephStep::kConnect);
  ends(opened, 0);
  EXPECT_EQ(status().bytes, 1U << 19U);
}

TEST_F(LunServingTest, ABrokenRingIsResetWhenNothingWritesToItsDataAnyMore) {
  FakeServed& image = serve_with_a_hung_read();
  // By an operator.
  device().kernel().reset_ring();
  device().write(4);
  until([&] { return device().blocked(); });
  initiators_get_busy();
  settle();
  EXPECT_FALSE(device().was_reset()) << "a read may still write to it";
  EXPECT_EQ(image.pending.size(), 1U) << "of a ring that was reset nothing may begin";
  device().kernel().reset_ring();
  image.finish();
  until([&] { return !device().blocked(); });
  EXPECT_TRUE(device().was_reset());
  EXPECT_EQ(status().state, State::kServing);
  serves_a_write();
  EXPECT_FALSE(device().kernel().broken()) << device().kernel().broken_reason();
}

TEST_F(LunServingTest, ARingThatCannotBeResetStaysBlocked) {
  FakeServed& image = serve_with_a_hung_read();
  device().remove_file("action/reset_ring");
  device().kernel().reset_ring();
  device().write(4);
  until([&] { return device().blocked(); });
  image.finish();
  ends(remove(), 0);
  EXPECT_TRUE(device().blocked());
  EXPECT_EQ(ceph_->images_open(), 0U);
}

TEST_F(LunServingTest, AResetThatFailsIsTriedAgain) {
  FakeServed& image = serve_with_a_hung_read();
  device().remove_file("action/reset_ring");
  device().kernel().reset_ring();
  device().write(4);
  until([&] { return device().blocked(); });
  device().kernel().reset_ring();
  image.finish();
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(300);
  until([&] { return std::chrono::steady_clock::now() > end; });
  EXPECT_TRUE(device().blocked());
  device().set_file("action/reset_ring", "");
  until([&] { return !device().blocked(); });
  EXPECT_TRUE(device().was_reset());
  serves_a_write();
}

TEST_F(LunServingTest, AnUnblockIsNotTriedAgainWhenTheRingBreaks) {
  ceph_->hang(CephStep::kOpenImage);
  const Status opened = open(Origin::kTakenOver);
  until_begun(CephStep::kOpenImage, 1);
  device().remove_file("action/block_dev");
  ceph_->release(CephStep::kOpenImage);
  ends(opened, 0);
  serves_a_write();
  FakeServed& image = *ceph_->served("disk1");
  device().read(3);
  until([&] { return !image.pending.empty(); });
  device().kernel().reset_ring();
  device().write(4);
  settle();
  device().set_file("action/block_dev", "1\n");
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(2500);
  until([&] { return std::chrono::steady_clock::now() > end; });
  EXPECT_TRUE(device().blocked()) << "a read may still write into the data area";
  device().kernel().reset_ring();
  image.finish();
  until([&] { return !device().blocked(); });
}

TEST_F(LunServingTest, RemovedWithABrokenRing) {
  FakeServed& image = serve_with_a_hung_read();
  device().kernel().reset_ring();
  device().write(4);
  until([&] { return device().blocked(); });
  const Status removed = remove();
  settle();
  EXPECT_FALSE(removed->has_value()) << "a read may still write to its data area";
  image.finish();
  ends(removed, 0);
  EXPECT_FALSE(device().is_open());
}

TEST_F(LunServingTest, AfterTheDaemonWasAwayChangesGetBusyAndReadsAreServed) {
  FakeServed& image = serve();
  lun().on_away(seconds(3));
  EXPECT_EQ(result(device().write(1)).status, kBusy);
  EXPECT_TRUE(image.pending.empty());
  const uint64_t read = device().read(1);
  until([&] { return !image.pending.empty(); });
  image.finish();
  EXPECT_EQ(result(read).status, 0);
}

TEST_F(LunServingTest, AGapBeforeItWasThereIsNotItsOwn) {
  const TimePoint now = reactor::Heartbeat::now();
  heartbeat_.longest_gap(now, now - seconds(10));
  heartbeat_.longest_gap(now, now);  // The reactor stood still for 10 s, and runs again.
  serve();
  serves_a_write();
}

TEST_F(LunServingTest, AwayWhileNothingIsServedIsNobodysBusiness) {
  ceph_->hang(CephStep::kOpenImage);
  const Status opened = open();
  lun().on_away(seconds(3));
  ceph_->release(CephStep::kOpenImage);
  ends(opened, 0);
  ends(remove(), 0);
  lun().on_away(seconds(3));
  EXPECT_EQ(status().state, State::kClosed);
}

TEST_F(LunServingTest, TheIdentityIsReadAnewForEachThatAsks) {
  serve();
  EXPECT_EQ(serial(), '1');
  device().set_file("wwn/vpd_unit_serial", "T10 VPD Unit Serial Number: 7777777777777\n");
  EXPECT_EQ(serial(), '7');
  EXPECT_EQ(lun().known().identity.unit_serial, "7777777777777");
}

TEST_F(LunServingTest, AnIdentityThatCannotBeReadIsAnsweredAllTheSame) {
  serve();
  device().set_file("wwn/vpd_unit_serial", "something else\n");
  const uint64_t tag = device().queue({.cdb = {0x12, 0, 0, 0, 64, 0}, .data_in_bytes = 64});
  EXPECT_EQ(result(tag).status, 0);
}

TEST_F(LunServingTest, AnIdentityThatCannotBeReadAnyMoreIsTheLastOne) {
  serve();
  ASSERT_EQ(serial(), '1');
  device().set_file("wwn/vpd_unit_serial", "something else\n");
  EXPECT_EQ(serial(), '1') << "multipath would take it for another disk";
}

TEST_F(LunServingTest, ALunThatDoesNotServeIsNoDiskForCopies) {
  ceph_->hang(CephStep::kOpenImage);
  const Status opened = open();
  EXPECT_FALSE(lun().copy_disk());
  EXPECT_FALSE(lun().known().disk);
  ceph_->release(CephStep::kOpenImage);
  ends(opened, 0);
  ASSERT_TRUE(lun().copy_disk());
  EXPECT_EQ(lun().known().disk->blocks, 2048U);
  ends(remove(), 0);
  EXPECT_FALSE(lun().copy_disk());
  EXPECT_FALSE(lun().known().disk);
}

TEST_F(LunServingTest, ItsMetricsTellWhichOsdHangsACommand) {
  serve();
  abort_a_hung_read();
  HungByOsd hung;
  until([&] {
    std::optional<LunMetrics> shown;
    EXPECT_TRUE(lun().measure([&](LunMetrics metrics) { shown = std::move(metrics); }));
    until([&] { return shown.has_value(); });
    hung = shown->hung;
    return hung.contains(HungOsd{.osd = 2});
  });
  EXPECT_EQ(hung, (HungByOsd{{HungOsd{2, true}, 1}, {HungOsd{0, false}, 1}}));
}

TEST_F(LunServingTest, ItsMetricsDoNotWaitForTheMonitors) {
  ceph_->hang(CephStep::kLocate);
  serve();
  abort_a_hung_read();
  until_begun(CephStep::kLocate, 1);  // For the log.
  HungByOsd hung;
  until([&] {
    std::optional<LunMetrics> shown;
    lun().measure([&](LunMetrics metrics) { shown = std::move(metrics); });
    until([&] { return shown.has_value(); });
    hung = shown->hung;
    return !hung.empty();
  });
  EXPECT_EQ(hung, (HungByOsd{{HungOsd{}, 1}})) << "its OSD is not known";
}

}  // namespace
}  // namespace tcmurbd
