// SPDX-License-Identifier: Apache-2.0
// LUNs between fake devices and a fake cluster. One loop is their control loop and their reactor;
// what blocks runs as jobs, on threads of their own.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/post.hpp>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "rbd_handler/lun/lun.h"
#include "tests/support/fake_ceph.h"
#include "tests/support/fake_device.h"
#include "tests/support/threads.h"

namespace tcmurbd::testing {

class LunFixture : public ::testing::Test {
 protected:
  // How a request of the kernel ended; no value: it has not.
  using Status = std::shared_ptr<std::optional<int>>;

  LunFixture() {
    std::thread([] {}).join();  // So that TSan has its own.
    threads_ = threads();
    config_.paths.state_dir = root_.path() + "/state";
    heartbeat_.start();
  }

  // Every LUN can end, and does; then its threads.
  ~LunFixture() override {
    for (size_t step = 0; step < kCephSteps; ++step) ceph_->release(static_cast<CephStep>(step));
    for (const auto& [name, lun] : luns_) lun->remove([](int) {});
    until([&] { return finish_all(), ceph_->images_open() == 0; });
    // In this order: a thread's last act is a post.
    until([&] { return threads() == threads_ && loop_.poll() == 0; });
    luns_.clear();
  }

  FakeDevice& device(const std::string& name = "disk1") {
    auto& device = devices_[name];
    if (!device) {
      device = std::make_unique<FakeDevice>(loop_, root_, static_cast<uint32_t>(devices_.size()),
                                            name, capabilities_);
    }
    return *device;
  }
  Lun& lun(const std::string& name = "disk1") { return *luns_.at(name); }

  // A LUN that the kernel announces, or that is there.
  Status open(Origin origin = Origin::kAdded, const std::string& name = "disk1") {
    LunPorts ports;
    ports.root = root_.path();
    ports.open_uio = [this, name](uint32_t) { return device(name).open(); };
    ports.connect = ceph_->connect();
    ports.open_served_image = ceph_->open_served_image();
    ports.keep_trace = [this](LunTrace trace) { traces_.push_back(std::move(trace)); };
    auto& lun = luns_[name];
    lun = std::make_shared<Lun>(
        Lun::Loops{loop_, loop_, heartbeat_}, device(name).entry(),
        ImageSpec{.pool = "pool", .image = name, .command_deadline = osd_op_timeout_}, config_,
        copies_, std::move(ports));
    const auto status = std::make_shared<std::optional<int>>();
    lun->open(origin, note(status));
    return status;
  }
  // Its image, once it serves.
  FakeServed& serve(const std::string& name = "disk1") {
    const Status status = open(Origin::kAdded, name);
    ends(status, 0);
    return *ceph_->served(name);
  }
  static Lun::Done note(const Status& status) {
    return [status](int outcome) {
      EXPECT_FALSE(status->has_value()) << "reported twice";
      *status = outcome;
    };
  }
  Status remove(const std::string& name = "disk1") {
    const auto status = std::make_shared<std::optional<int>>();
    lun(name).remove(note(status));
    return status;
  }
  Status leave(const std::string& name = "disk1") {
    const auto status = std::make_shared<std::optional<int>>();
    lun(name).leave(note(status));
    return status;
  }
  Status resize(uint64_t bytes, const std::string& name = "disk1") {
    const auto status = std::make_shared<std::optional<int>>();
    lun(name).resize(bytes, note(status));
    return status;
  }

  // Runs the loop until it is so, or fails after half a minute.
  void until(const std::function<bool()>& so) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (!so()) {
      ASSERT_LT(std::chrono::steady_clock::now(), end) << "it did not come about";
      loop_.run_one_for(std::chrono::milliseconds(50));
      for (const auto& [name, device] : devices_) device->obey();
    }
  }
  void ends(const Status& status, int outcome) {
    until([&] { return status->has_value(); });
    ASSERT_TRUE(status->has_value());
    EXPECT_EQ(**status, outcome);
  }
  // All that the loop has to do now is done.
  void settle() {
    bool passed = false;
    boost::asio::post(loop_, [&] { passed = true; });
    until([&] { return passed; });
  }
  Lun::Status status(const std::string& name = "disk1") {
    std::optional<Lun::Status> status;
    lun(name).status([&](Lun::Status value) { status = std::move(value); });
    until([&] { return status.has_value(); });
    return *status;
  }
  void until_state(Lun::State state, const std::string& name = "disk1") {
    until([&] { return status(name).state == state; });
  }
  // A command's result, once it has one.
  FakeResult result(uint64_t tag, const std::string& name = "disk1") {
    std::optional<FakeResult> result;
    until([&] { return (result = device(name).kernel().take_result(tag)).has_value(); });
    return result.value_or(FakeResult{});
  }
  // A write whose op ends well.
  void serves_a_write(const std::string& name = "disk1") {
    const uint64_t tag = device(name).write(9);
    until([&] { return !ceph_->served(name)->pending.empty(); });
    ceph_->served(name)->finish();
    const FakeResult written = result(tag, name);
    EXPECT_EQ(written.how, FakeResult::How::kAnswered);
    EXPECT_EQ(written.status, 0);
  }
  bool finish_all() {
    for (const auto& [name, device] : devices_) {
      FakeServed* const image = ceph_->served(name);
      while (image != nullptr && !image->pending.empty()) image->finish();
    }
    return true;
  }
  InstanceRecord record(const std::string& name = "disk1") const {
    return {config_.paths.state_dir, "user_0", name};
  }

  uint16_t capabilities_ = FakeDevice::kLinux5_15;  // Of the kernel.
  Config config_;
  std::optional<std::chrono::seconds> osd_op_timeout_;  // Of the dev_config.
  boost::asio::io_context loop_;
  reactor::Heartbeat heartbeat_{loop_};
  kernel::FakeRoot root_;
  const std::shared_ptr<FakeCeph> ceph_ = std::make_shared<FakeCeph>();
  const std::shared_ptr<CopyManager> copies_ = std::make_shared<CopyManager>(loop_, root_.path());
  std::map<std::string, std::unique_ptr<FakeDevice>> devices_;
  std::map<std::string, std::shared_ptr<Lun>> luns_;
  std::vector<LunTrace> traces_;
  size_t threads_ = 0;
};

}  // namespace tcmurbd::testing
