// SPDX-License-Identifier: Apache-2.0
// A daemon between fake devices, fake events of the kernel and a fake cluster. It runs on a thread
// of its own.
#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "rbd_handler/daemon/daemon.h"
#include "tests/support/fake_ceph.h"
#include "tests/support/fake_device.h"
#include "tests/support/fake_events.h"

namespace tcmurbd::testing {

// A daemon is never destroyed: its process ends instead, since its threads may hang.
inline std::vector<std::unique_ptr<Daemon>>& daemons() {
  static auto* const all = new std::vector<std::unique_ptr<Daemon>>;
  return *all;
}

class DaemonFixture : public ::testing::Test {
 protected:
  DaemonFixture() {
    setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent", 1);
    config_.paths.state_dir = root_.path() + "/state";
    config_.paths.control_socket = root_.path() + "/socket";
    for (const char* name : {"block_netlink", "reset_netlink"}) root_.write(parameter(name), "0\n");
  }
  ~DaemonFixture() override {
    if (running_.valid()) end();
    EXPECT_EQ(events_->left_over(), 0U) << "replies to nothing";
  }

  static std::string parameter(const std::string& name) {
    return "/sys/module/target_core_user/parameters/" + name;
  }
  // Which nobody listens on.
  static uint16_t free_port() {
    boost::asio::io_context loop;
    const boost::asio::ip::tcp::acceptor any(loop, {boost::asio::ip::address_v4::loopback(), 0});
    return any.local_endpoint().port();
  }
  // A device with this minor.
  FakeDevice& device(uint32_t minor) {
    const std::lock_guard lock(mutex_);
    auto& device = devices_[minor];
    if (!device)
      device = std::make_unique<FakeDevice>(loop_, root_, minor, fmt::format("disk{}", minor));
    return *device;
  }
  // One that is there when the daemon looks.
  FakeDevice& present(uint32_t minor, const std::string& dev_config) {
    root_.write(fmt::format("/sys/class/uio/uio{}/name", minor),
                fmt::format("tcm-user/0/disk{}/{}\n", minor, dev_config));
    return device(minor);
  }
  void start() {
    DaemonPorts ports;
    ports.lun.root = root_.path();
    ports.lun.open_uio = [this](uint32_t minor) {
      if (open_throws_) throw std::system_error(EMFILE, std::generic_category());
      return device(minor).open();
    };
    ports.lun.connect = ceph_->connect();
    ports.lun.open_served_image = ceph_->open_served_image();
    ports.open_events = [this] { return open_events_(); };
    const auto same = [this, config = config_] {
      ++reloads_;
      return std::expected<Config, std::string>(config);
    };
    daemons().push_back(std::make_unique<Daemon>(config_, same, std::move(ports)));
    running_ =
        std::async(std::launch::async, [daemon = daemons().back().get()] { return daemon->run(); });
  }
  // Its exit code.
  int wait() {
    if (running_.wait_for(std::chrono::seconds(30)) != std::future_status::ready) std::abort();
    return running_.get();
  }
  int end() {
    kill(getpid(), SIGTERM);
    return wait();
  }
  // Its id is 100 more than its minor.
  void send(kernel::DeviceEvent::Kind kind, uint32_t minor,
            decltype(kernel::DeviceEvent::change) change = {}) {
    events_->send(
        {kind, minor, minor + 100, device_name(minor, "rbd/pool/image"), std::move(change)});
  }
  static std::string device_name(uint32_t minor, const std::string& dev_config) {
    return fmt::format("tcm-user/0/disk{}/{}", minor, dev_config);
  }
  int reply(uint32_t minor) { return events_->reply_to(minor + 100).value_or(1); }
  int added(uint32_t minor) {
    device(minor);
    send(kernel::DeviceEvent::Kind::kAdded, minor);
    return reply(minor);
  }
  int removed(uint32_t minor) {
    send(kernel::DeviceEvent::Kind::kRemoved, minor);
    return reply(minor);
  }
  int reconfigured(uint32_t minor, decltype(kernel::DeviceEvent::change) change) {
    send(kernel::DeviceEvent::Kind::kReconfigured, minor, std::move(change));
    return reply(minor);
  }
  void until(const std::function<bool()>& so) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (!so()) {
      ASSERT_LT(std::chrono::steady_clock::now(), end) << "it did not come about";
      loop_.run_one_for(std::chrono::milliseconds(10));
    }
  }

  Config config_;
  kernel::FakeRoot root_;
  boost::asio::io_context loop_;
  const boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_{
      loop_.get_executor()};
  const std::shared_ptr<FakeCeph> ceph_ = std::make_shared<FakeCeph>();
  const std::shared_ptr<FakeEvents> events_ = std::make_shared<FakeEvents>();
  std::function<std::expected<std::unique_ptr<kernel::EventChannel>, std::string>()> open_events_ =
      [this] { return events_->channel(); };
  std::atomic<bool> open_throws_ = false;
  std::atomic<size_t> reloads_ = 0;
  std::mutex mutex_;
  std::map<uint32_t, std::unique_ptr<FakeDevice>> devices_;
  std::future<int> running_;
};

}  // namespace tcmurbd::testing
