// SPDX-License-Identifier: Apache-2.0
// The instances of a LUN: how many there may be, what is reported of fences, and when one is
// closed. The image and the monitors are fakes, the device is real.
#include "rbd_handler/lun/lun_image.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <boost/asio/executor_work_guard.hpp>
#include <cerrno>
#include <filesystem>
#include <functional>
#include <latch>
#include <thread>
#include <utility>

#include "rbd_handler/messages/commands.h"
#include "rbd_handler/reactor/inbox.h"
#include "tests/support/fake_kernel.h"
#include "tests/support/log_capture.h"
#include "tests/support/taken_effects.h"
#include "tests/support/threads.h"

namespace tcmurbd {
namespace {

using ceph::LockFailure;
using lock::State;

std::unexpected<LockFailure> failure(int error) {
  return std::unexpected(LockFailure{"refused", error});
}

class FakeMonitors final : public ceph::Monitors {
 public:
  std::expected<void, LockFailure> blocklist(const std::string& address) const override {
    asked.push_back(address);
    if (refuse) return failure(-EACCES);
    return {};
  }
  std::expected<ceph::Blocklist, LockFailure> blocklisted() const override {
    return failure(-ENOSYS);
  }
  std::expected<ceph::ObjectLocation, std::string> locate(const ceph::ObjectPlace&) const override {
    return ceph::ObjectLocation{.pg = "1.0", .acting = {2, 0}, .in_map = in_map};
  }

  // Used by one job at a time, and looked at between them.
  mutable std::vector<std::string> asked;
  bool refuse = false;
  bool in_map = false;
};

class FakeServed final : public ceph::ServedImage {
 public:
  // `closable`: what closing it waits for, as for ops that hang.
  FakeServed(std::string address, std::shared_ptr<std::latch> closable)
      : address_(std::move(address)), closable_(std::move(closable)) {}
  ~FakeServed() override { closable_->wait(); }

  void submit(const ImageOp&, OpToken token) override { pending.push_back(token); }
  void give_up(OpToken) override {}
  bool timed_out() const override { return true; }
  const ceph::ImageInfo& info() const override { return facts; }
  ceph::ObjectPlace place_of(const ByteRange&) const override {
    return {.pool = "ec", .object = "data.1", .map_object = "map.1", .map_pool = "rbd"};
  }
  const std::string& address() const override { return address_; }
  std::expected<void, std::string> publish(const ceph::ServiceStatus& status) override {
    published.push_back(status);
    return {};
  }
  std::expected<uint64_t, std::string> refresh_size() override { return 0; }
  bool primary() const override { return true; }
  std::expected<void, LockFailure> take_free_lock() override { return {}; }
  std::expected<void, LockFailure> release_lock() override { return {}; }
  std::expected<void, LockFailure> reach_header() override { return {}; }
  std::expected<void, LockFailure> wait_for_latest_map() const override { return {}; }

  std::vector<OpToken> pending;
  std::vector<ceph::ServiceStatus> published;
  ceph::ImageInfo facts{.exclusive_lock = true, .id = "1f2e"};

 private:
  const std::string address_;
  const std::shared_ptr<std::latch> closable_;
};

class LunImageTest : public ::testing::Test {
 protected:
  LunImageTest() {
    log_.take();
    std::thread([] {}).join();  // So that TSan has its own.
    threads_ = testing::threads();
    std::string pattern = ::testing::TempDir() + "backingXXXXXX";
    directory_ = mkdtemp(pattern.data());
    auto image = make_image();
    newest_ = image.get();
    lun_image_ = std::make_shared<LunImage>(
        control_, ImageSpec{.pool = "rbd", .image = "disk"},
        InstanceRecord(directory_, "user_0", "disk"),
        std::make_shared<Log>("user_0/disk", "rbd/disk"), [](OpDone) {},
        [this](const ImageSpec&, const ceph::CompletionSink&, const ceph::NewsSink&) {
          return open();
        });
    OpenedImage opened;
    opened.monitors = monitors_;
    opened.image = std::move(image);
    lun_image_->adopt(std::move(opened), nullptr);
    device_ = std::make_unique<Device>(
        ring::Ring::attach(kernel_.map()).value(), lun_image_->image(),
        scsi::DiskFacts{.block_size = 512, .blocks = 2048}, DeviceSettings{});
    lun_image_->serve([this](const LunImage::DeviceCall& event) { event(*device_, now_); });
  }

  ~LunImageTest() override {
    if (!closable_->try_wait()) closable_->count_down();
    bool closed = false;
    lun_image_->close([&] { closed = true; });
    until([&] { return closed; });
    // Jobs whose end is not observed: their threads end, and then are joined.
    while (testing::threads() > threads_ || control_.poll() != 0) control_.poll();
    std::filesystem::remove_all(directory_);
  }

  std::unique_ptr<FakeServed> make_image() {
    return std::make_unique<FakeServed>("10.0.0.1:0/" + std::to_string(++opened_), closable_);
  }

  std::expected<std::unique_ptr<ceph::ServedImage>, OpenError> open() {
    auto image = make_image();
    newest_ = image.get();
    image->facts = info_;
    return image;
  }

  // The device sees what is new, and its jobs are started.
  void run() {
    while (device_->on_ring(now_)) {
    }
    lun_image_->start(effects_.take_action(*device_));
    if (device_->publish()) kernel_.doorbell();
    for (const auto& [id] : effects_.take<FreeKeptBuffer>(*device_)) kernel_.free_kept_buf(id);
  }

  void until(const std::function<bool()>& done) {
    while (!done()) {
      ASSERT_NE(control_.run_one_for(std::chrono::seconds(30)), 0u) << "it did not come about";
      run();
    }
  }
  bool logged(std::string_view part) {
    for (const LogLine& line : log_.take()) log_text_ += line.text + "\n";
    return log_text_.contains(part);
  }
  void until(State state) {
    until([&] { return device_->lock_state() == state; });
  }

  // A write of one block, whose op RADOS gives up: its outcome is not known, so the device has the
  // instance fenced.
  void lose_a_write() {
    const auto lba = static_cast<uint8_t>(++writes_);
    kernel_.queue(
        {.cdb = {0x2a, 0, 0, 0, 0, lba, 0, 0, 1, 0}, .data_out = std::vector<uint8_t>(512)});
    run();
    until([&] { return !newest_->pending.empty(); });
    const OpToken token = newest_->pending.back();
    newest_->pending.clear();
    device_->on_done({.token = token, .result = -ETIMEDOUT}, now_);
    run();
  }

  boost::asio::io_context control_;
  const boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_{
      control_.get_executor()};
  std::string directory_;
  testing::FakeKernel kernel_;
  const std::shared_ptr<FakeMonitors> monitors_ = std::make_shared<FakeMonitors>();
  const std::shared_ptr<std::latch> closable_ = std::make_shared<std::latch>(1);
  testing::TakenEffects effects_;
  FakeServed* newest_ = nullptr;
  ceph::ImageInfo info_{.exclusive_lock = true, .id = "1f2e"};  // Of what is opened again.
  size_t opened_ = 0;
  testing::LogCapture& log_ = testing::LogCapture::start();
  std::string log_text_;
  size_t threads_ = 0;
  uint32_t writes_ = 0;
  TimePoint now_{std::chrono::hours(1)};
  std::shared_ptr<LunImage> lun_image_;
  std::unique_ptr<Device> device_;
};

TEST_F(LunImageTest, AnInstanceThatWasFencedIsReplacedAndTheNextServes) {
  lose_a_write();
  until(State::kUnowned);
  EXPECT_THAT(monitors_->asked, ::testing::ElementsAre("10.0.0.1:0/1"));
  EXPECT_EQ(lun_image_->image().address(), "10.0.0.1:0/2");
  EXPECT_EQ(device_->instance(), 2u);
  // A fence of our own is no lock that was lost.
  EXPECT_THAT(newest_->published, ::testing::ElementsAre(ceph::ServiceStatus{}));
}

// A fence must not make the LUN another disk: "rbd mv" works on an image that is served.
TEST_F(LunImageTest, AnotherImageOfTheNameIsNotServed) {
  info_.id = "aaaa";
  lose_a_write();
  until([&] { return logged("the name belongs to another image now (id aaaa, not 1f2e)"); });
  EXPECT_EQ(device_->lock_state(), State::kReopening);
  EXPECT_EQ(lun_image_->image().address(), "10.0.0.1:0/1");
  info_.id = "1f2e";
  now_ += std::chrono::seconds(10);
  device_->on_time(now_);
  run();
  until(State::kUnowned);
  EXPECT_EQ(device_->instance(), 2u);
}

// It never used the lock.
TEST_F(LunImageTest, ASnapshotOfAnImageThatLostItsExclusiveLockIsServedAgain) {
  newest_->facts.read_only = info_.read_only = true;
  info_.exclusive_lock = false;
  lose_a_write();
  until(State::kUnowned);
  EXPECT_EQ(device_->instance(), 2u);
}

TEST_F(LunImageTest, AnImageThatLostItsExclusiveLockIsNotServedAgain) {
  info_.exclusive_lock = false;
  lose_a_write();
  until([&] { return logged("the feature exclusive-lock was disabled"); });
  EXPECT_EQ(device_->lock_state(), State::kReopening);
}

TEST_F(LunImageTest, WithoutALockNoOwnerIsPublished) {
  kernel_.queue({.cdb = {0x2a, 0, 0, 0, 0, 1, 0, 0, 1, 0}, .data_out = std::vector<uint8_t>(512)});
  run();
  until([&] { return !newest_->pending.empty(); });
  EXPECT_THAT(newest_->published, ::testing::ElementsAre(ceph::ServiceStatus{}));
  device_->on_done({.token = std::exchange(newest_->pending, {}).back(), .result = 0}, now_);
  run();
}

TEST_F(LunImageTest, AFenceThatFailedIsTold) {
  monitors_->refuse = true;
  lose_a_write();
  until([&] { return device_->lock_state() != State::kFencing; });
  EXPECT_EQ(device_->lock_state(), State::kStuck);
  EXPECT_EQ(opened_, 1u) << "opened beside an instance that is not fenced";
}

TEST_F(LunImageTest, AFenceThatFailedIsTriedAgain) {
  monitors_->refuse = true;
  lose_a_write();
  until(State::kStuck);
  monitors_->refuse = false;
  now_ += std::chrono::seconds(6);
  device_->on_time(now_);
  run();
  until(State::kUnowned);
  EXPECT_EQ(opened_, 2u);
}

// What its successor would have to fence first.
TEST_F(LunImageTest, AnAbandonedInstanceIsForgottenOnlyIfItIsFenced) {
  const std::string address = lun_image_->image().address();
  ASSERT_TRUE(lun_image_->record().write(address).has_value());
  for (const bool refuse : {true, false}) {
    monitors_->refuse = refuse;
    bool done = false;
    lun_image_->abandon([&] { done = true; });
    until([&] { return done; });
    EXPECT_EQ(lun_image_->record().read().value().address, refuse ? address : "");
  }
}

// The inbox has room for the ops of so many instances, and each has its threads.
TEST_F(LunImageTest, AHungOpIsLoggedWithItsPlace) {
  lun_image_->locate({0, 512}, 7);
  std::vector<LogLine> lines;
  until([&] { return !(lines = log_.take()).empty(); });
  ASSERT_EQ(lines.size(), 1U);
  EXPECT_EQ(lines[0].message, &messages::kHungOp);
  EXPECT_EQ(lines[0].text,
            "user_0/disk rbd/disk: hung op: object data.1 of pool 'ec' is in pg 1.0, acting "
            "osd.2, osd.0");
  const LogFields& fields = lines[0].fields;
  EXPECT_EQ(fields.lun, "user_0/disk");
  EXPECT_EQ(fields.object, "data.1");
  EXPECT_EQ(fields.pg, "1.0");
  EXPECT_EQ(fields.osds, (std::vector{2, 0}));
  EXPECT_EQ(fields.initiator_task, "7");
}

TEST_F(LunImageTest, AnOpThatWaitsForTheObjectMapIsLoggedWithTheMap) {
  monitors_->in_map = true;
  lun_image_->locate({0, 512}, 7);
  std::vector<LogLine> lines;
  until([&] { return !(lines = log_.take()).empty(); });
  ASSERT_EQ(lines.size(), 1U);
  EXPECT_EQ(lines[0].text,
            "user_0/disk rbd/disk: hung op: object map map.1 of pool 'rbd', for which object "
            "data.1 waits, is in pg 1.0, acting osd.2, osd.0");
  EXPECT_EQ(lines[0].fields.object, "map.1");
}

TEST_F(LunImageTest, InstancesWhoseOpsHangAreBounded) {
  while (opened_ < reactor::kInstancesMax) {
    lose_a_write();
    until(State::kUnowned);
  }
  lose_a_write();
  until([&] { return device_->lock_state() != State::kFencing; });
  EXPECT_EQ(device_->lock_state(), State::kStuck);
  EXPECT_EQ(monitors_->asked.size(), reactor::kInstancesMax - 1);
  EXPECT_EQ(opened_, reactor::kInstancesMax);
}

TEST_F(LunImageTest, InstancesThatAreClosedAreToldAndMakeRoom) {
  while (opened_ < reactor::kInstancesMax) {
    lose_a_write();
    until(State::kUnowned);
  }
  EXPECT_GT(device_->detached(), 0u) << "what was lost holds its blocks";
  closable_->count_down();
  until([&] { return device_->detached() == 0; });
  lose_a_write();
  until(State::kUnowned);
  EXPECT_EQ(opened_, reactor::kInstancesMax + 1);
}

}  // namespace
}  // namespace tcmurbd
