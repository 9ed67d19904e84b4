// SPDX-License-Identifier: Apache-2.0
// The life of a LUN: how it opens, serves, is resized and repaired, and ends.
#include "rbd_handler/lun/lun.h"

#include <cerrno>

#include "tests/unit/lun_fixture.h"

namespace tcmurbd {
namespace {

using std::chrono::seconds;
using std::chrono::steady_clock;
using testing::CephStep;
using ::testing::ElementsAre;
using testing::FakeResult;
using testing::FakeServed;
using ::testing::IsEmpty;
using State = Lun::State;

class LunTest : public testing::LunFixture {};

TEST_F(LunTest, ServesAfterItIsOpen) {
  const Status opened = open();
  EXPECT_FALSE(opened->has_value()) << "before the image was";
  ends(opened, 0);
  EXPECT_EQ(status().state, State::kServing);
  EXPECT_EQ(status().bytes, 1U << 20U);
  serves_a_write();
  EXPECT_EQ(device().file("attrib/tmr_notification"), "1\n");
  EXPECT_FALSE(device().blocked());
  EXPECT_FALSE(device().was_reset());
}

TEST_F(LunTest, WhatWasQueuedBeforeIsServed) {
  const uint64_t early = device().write(1);
  FakeServed& image = serve();
  until([&] { return !image.pending.empty(); });
  image.finish();
  EXPECT_EQ(result(early).status, 0);
}

TEST_F(LunTest, AnErrorOfTheOpenIsTheWritersAndNothingStaysOpen) {
  ceph_->refuse(CephStep::kOpenFences, "no such pool");
  ends(open(), -EIO);
  until_state(State::kClosed);
  EXPECT_EQ(ceph_->images_open(), 0U);
  EXPECT_EQ(ceph_->others_open(), 0U);
  EXPECT_FALSE(device().is_open());
  EXPECT_EQ(ceph_->begun(CephStep::kOpenImage), 1U) << "tried again though it was answered";
}

TEST_F(LunTest, ADeviceThatAnotherHandlerHasIsRefused) {
  const auto other = device().open();
  ends(open(), -ENODEV);
  until_state(State::kClosed);
  EXPECT_EQ(ceph_->begun(CephStep::kConnect), 0U);
}

TEST_F(LunTest, ADeviceThatGoesAwayWhileItOpensIsClosed) {
  device().remove_file("action/free_kept_buf");
  ends(open(), -ENODEV);
  until_state(State::kClosed);
  EXPECT_EQ(ceph_->images_open(), 0U);
  EXPECT_FALSE(device().is_open());
}

TEST_F(LunTest, AnOpenThatHangsIsAnsweredAndWhatItBringsIsClosed) {
  config_.device.open_timeout = seconds(0);
  ceph_->hang(CephStep::kOpenImage);
  ends(open(), -ETIMEDOUT);
  EXPECT_EQ(ceph_->images_open(), 0U);
  ceph_->release(CephStep::kOpenImage);
  until([&] { return ceph_->begun(CephStep::kCloseImage) == 1; });
  until([&] { return ceph_->images_open() == 0 && ceph_->others_open() == 0; });
  until_state(State::kClosed);
  EXPECT_FALSE(device().is_open());
  const uint64_t tag = device().write(1);
  settle();
  EXPECT_EQ(device().kernel().take_result(tag), std::nullopt) << "served though refused";
}

TEST_F(LunTest, RemovedWhileItOpens) {
  ceph_->hang(CephStep::kOpenImage);
  const Status opened = open();
  until([&] { return ceph_->begun(CephStep::kOpenImage) == 1; });
  const Status removed = remove();
  ends(opened, -ESHUTDOWN);
  ends(removed, 0);
  ceph_->release(CephStep::kOpenImage);
  until([&] { return ceph_->begun(CephStep::kCloseImage) == 1; });
  until([&] { return ceph_->images_open() == 0 && ceph_->others_open() == 0; });
  EXPECT_NE(status().state, State::kServing);
}

TEST_F(LunTest, AnOpenThatFailsAfterTheRemovalHasNothingToClose) {
  ceph_->hang(CephStep::kOpenImage);
  ceph_->refuse(CephStep::kOpenImage, "does not exist");
  const Status opened = open();
  until([&] { return ceph_->begun(CephStep::kOpenImage) == 1; });
  const Status removed = remove();
  ends(removed, 0);
  ends(opened, -ESHUTDOWN);
  ceph_->release(CephStep::kOpenImage);
  until_state(State::kClosed);
  EXPECT_EQ(ceph_->begun(CephStep::kCloseImage), 0U);
}

TEST_F(LunTest, RemovedItClosesAllAndForgetsItsInstance) {
  FakeServed& image = serve();
  const uint64_t tag = device().write(1);
  until([&] { return !image.pending.empty(); });
  ASSERT_TRUE(record().write(image.address()));
  const Status removed = remove();
  settle();
  EXPECT_FALSE(removed->has_value()) << "an op runs";
  image.finish();
  ends(removed, 0);
  EXPECT_EQ(result(tag).status, 0);
  EXPECT_EQ(status().state, State::kClosed);
  EXPECT_EQ(ceph_->images_open(), 0U);
  EXPECT_EQ(ceph_->others_open(), 0U);
  EXPECT_FALSE(device().is_open());
  EXPECT_EQ(record().read().value().address, "");
  EXPECT_THAT(ceph_->blocklisted(), IsEmpty());
}

TEST_F(LunTest, ARemovalDoesNotWaitForAHungOpAndFencesTheInstance) {
  config_.device.drain_timeout = seconds(0);
  FakeServed& image = serve();
  const std::string address = image.address();
  ASSERT_TRUE(record().write(address));
  device().write(1);
  until([&] { return !image.pending.empty(); });
  ends(remove(), 0);
  EXPECT_THAT(ceph_->blocklisted(), ElementsAre(address));
  EXPECT_EQ(record().read().value().address, "") << "a successor needs not fence it";
  EXPECT_EQ(ceph_->images_open(), 1U) << "an op has it";
  EXPECT_TRUE(device().is_open()) << "a read may still write into its data area";
  // Late: whose device is gone.
  image.finish();
  until_state(State::kClosed);
  EXPECT_EQ(ceph_->images_open(), 0U);
  EXPECT_FALSE(device().is_open());
}

TEST_F(LunTest, ARemovalDoesNotWaitForACloseThatHangs) {
  config_.device.drain_timeout = seconds(1);
  const std::string address = serve().address();
  ceph_->hang(CephStep::kCloseImage);
  ends(remove(), 0);
  EXPECT_THAT(ceph_->blocklisted(), ElementsAre(address));
  EXPECT_EQ(status().state, State::kClosing);
  ceph_->release(CephStep::kCloseImage);
  until_state(State::kClosed);
}

TEST_F(LunTest, LeavingBlocksTheDeviceAndKeepsTheInstancesRecord) {
  config_.device.drain_timeout = seconds(1);
  FakeServed& image = serve();
  const std::string address = image.address();
  ASSERT_TRUE(record().write(address));
  device().write(1);
  until([&] { return !image.pending.empty(); });
  ends(leave(), 0);
  EXPECT_TRUE(device().blocked());
  EXPECT_EQ(device().file("attrib/tmr_notification"), "0\n");
  EXPECT_THAT(ceph_->blocklisted(), IsEmpty()) << "that is for the successor";
  EXPECT_EQ(record().read().value().address, address);
  const uint64_t tag = device().write(2);
  EXPECT_EQ(result(tag).how, FakeResult::How::kReset) << "BUSY";
}

TEST_F(LunTest, LeavingIdleClosesAll) {
  serve();
  ends(leave(), 0);
  EXPECT_TRUE(device().blocked());
  EXPECT_EQ(status().state, State::kClosed);
  EXPECT_EQ(ceph_->images_open(), 0U);
  EXPECT_FALSE(device().is_open());
}

TEST_F(LunTest, LeavingWhileItOpens) {
  ceph_->hang(CephStep::kOpenImage);
  const Status opened = open();
  until([&] { return ceph_->begun(CephStep::kOpenImage) == 1; });
  const Status left = leave();
  ends(opened, -ESHUTDOWN);
  ends(left, 0);
  EXPECT_TRUE(device().blocked());
  ceph_->release(CephStep::kOpenImage);
  until([&] { return ceph_->begun(CephStep::kCloseImage) == 1; });
  until([&] { return ceph_->images_open() == 0 && ceph_->others_open() == 0; });
}

TEST_F(LunTest, ADeviceThatCannotBeBlockedIsLeftAllTheSame) {
  serve();
  device().remove_file("action/block_dev");
  ends(leave(), 0);
  EXPECT_EQ(status().state, State::kClosed);
}

}  // namespace
}  // namespace tcmurbd
