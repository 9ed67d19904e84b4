// SPDX-License-Identifier: Apache-2.0
// What the daemon does when two things happen to a device at once: signals, removals, enables, lost
// events.
#include <gmock/gmock.h>

#include <array>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/datagram_protocol.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <cerrno>
#include <csignal>
#include <iterator>
#include <optional>
#include <stdexcept>
#include <string>

#include "tests/unit/daemon_fixture.h"

namespace tcmurbd {
namespace {

using kernel::DeviceEvent;
using kernel::EventChannel;
using testing::CephStep;
using testing::FakeDevice;
using ::testing::HasSubstr;
using ::testing::Not;
using Kind = DeviceEvent::Kind;
using std::chrono::seconds;

class DaemonEdgesTest : public testing::DaemonFixture {
 protected:
  void lose_events() {
    events_->fail([]() -> testing::FakeEvents::Read { return EventChannel::Read::kOverrun; });
  }
  void until_begun(CephStep step, size_t count) {
    until([&] { return ceph_->begun(step) >= count; });
  }
  // 2, 3 and 4. REQUIRES: one device is served.
  void enable_three_that_hang() {
    ceph_->hang(CephStep::kOpenImage);
    for (const uint32_t minor : {2U, 3U, 4U}) {
      device(minor);
      send(Kind::kAdded, minor);
    }
    until_begun(CephStep::kOpenImage, 4);
  }
  std::string ask(const std::string& request) const {
    boost::asio::local::stream_protocol::iostream socket;
    socket.connect(boost::asio::local::stream_protocol::endpoint(config_.paths.control_socket));
    socket << request << "\n" << std::flush;
    return {std::istreambuf_iterator<char>(socket), {}};
  }
};

// Each open in progress is answered from within the walk over all LUNs.
TEST_F(DaemonEdgesTest, ASignalWhileDevicesAreEnabled) {
  start();
  EXPECT_EQ(added(1), 0);
  enable_three_that_hang();
  EXPECT_EQ(end(), 0);
  for (const uint32_t minor : {2U, 3U, 4U}) EXPECT_EQ(reply(minor), -ESHUTDOWN);
  EXPECT_TRUE(device(1).blocked());
  ceph_->release(CephStep::kOpenImage);
}

TEST_F(DaemonEdgesTest, LostEventsWhileDevicesThatVanishedAreEnabled) {
  start();
  present(1, "rbd/pool/image");
  EXPECT_EQ(added(1), 0);
  enable_three_that_hang();
  lose_events();
  for (const uint32_t minor : {2U, 3U, 4U}) EXPECT_EQ(reply(minor), -ESHUTDOWN);
  EXPECT_EQ(reconfigured(1, kernel::NewDevSize{1U << 19U}), 0) << "it is still there";
  EXPECT_EQ(reconfigured(2, kernel::NewDevSize{1U << 19U}), -ENODEV);
  ceph_->release(CephStep::kOpenImage);
}

TEST_F(DaemonEdgesTest, ASignalWhileADeviceIsRemovedWaitsForTheRemoval) {
  start();
  EXPECT_EQ(added(1), 0);
  ceph_->hang(CephStep::kCloseImage);
  send(Kind::kRemoved, 1);
  until_begun(CephStep::kCloseImage, 1);
  kill(getpid(), SIGTERM);
  EXPECT_EQ(running_.wait_for(std::chrono::milliseconds(300)), std::future_status::timeout)
      << "its rmdir has no reply yet";
  ceph_->release(CephStep::kCloseImage);
  EXPECT_EQ(reply(1), 0);
  EXPECT_EQ(wait(), 0);
}

TEST_F(DaemonEdgesTest, EventsLostWhileItEndsLeaveNoWriterWaiting) {
  start();
  EXPECT_EQ(added(1), 0);
  ceph_->hang(CephStep::kCloseImage);
  send(Kind::kRemoved, 1);
  until_begun(CephStep::kCloseImage, 1);
  root_.write(parameter("reset_netlink"), "0\n");
  kill(getpid(), SIGTERM);
  until([&] { return events_->wants_replies() == false; });
  FakeDevice& found = present(2, "rbd/pool/image");
  lose_events();
  until([&] { return root_.read(parameter("reset_netlink")) == "1\n"; });
  ceph_->release(CephStep::kCloseImage);
  EXPECT_EQ(reply(1), 0);
  EXPECT_EQ(wait(), 0);
  EXPECT_FALSE(found.was_reset()) << "a successor takes it over";
}

TEST_F(DaemonEdgesTest, ARemovalThatHangsIsAnsweredBeforeTheExit) {
  config_.device.drain_timeout = seconds(1);
  ceph_->hang(CephStep::kBlocklist);
  start();
  EXPECT_EQ(added(1), 0);
  ceph_->hang(CephStep::kCloseImage);
  send(Kind::kRemoved, 1);
  until_begun(CephStep::kCloseImage, 1);
  EXPECT_EQ(end(), 0);
  EXPECT_NE(reply(1), 1) << "its rmdir would hang until the next daemon starts";
  ceph_->release(CephStep::kBlocklist);
  ceph_->release(CephStep::kCloseImage);
}

TEST_F(DaemonEdgesTest, WhatTheKernelAsksLastIsAnsweredBeforeTheExit) {
  start();
  EXPECT_EQ(added(1), 0);
  events_->fail([this]() -> testing::FakeEvents::Read {
    send(Kind::kAdded, 2);
    send(Kind::kRemoved, 3);
    return std::unexpected("socket");
  });
  EXPECT_EQ(wait(), 1);
  EXPECT_EQ(reply(2), -ESHUTDOWN);
  EXPECT_NE(reply(3), 1);
}

TEST_F(DaemonEdgesTest, AnExceptionAnswersWhatWaits) {
  start();
  ceph_->hang(CephStep::kOpenImage);
  device(1);
  send(Kind::kAdded, 1);
  until_begun(CephStep::kOpenImage, 1);
  events_->fail([]() -> testing::FakeEvents::Read { throw std::runtime_error("no threads"); });
  EXPECT_EQ(wait(), 1);
  EXPECT_EQ(reply(1), -ESHUTDOWN);
  ceph_->release(CephStep::kOpenImage);
}

TEST_F(DaemonEdgesTest, DevicesThatCannotBeListedAreNotGone) {
  start();
  present(1, "rbd/pool/image");
  EXPECT_EQ(added(1), 0);
  EXPECT_EQ(added(2), 0);
  // As the process without descriptors: the directory cannot be read.
  root_.remove("/sys/class/uio");
  root_.write("/sys/class/uio", "");
  lose_events();
  until([&] { return root_.read(parameter("reset_netlink")) == "1\n"; });
  EXPECT_EQ(reconfigured(1, kernel::NewDevSize{1U << 19U}), 0);
  EXPECT_EQ(reconfigured(2, kernel::NewDevSize{1U << 19U}), 0);
  // It is retried.
  root_.remove("/sys/class/uio");
  present(1, "rbd/pool/image");
  until([&] { return reconfigured(2, kernel::NewDevSize{1U << 19U}) == -ENODEV; });
  EXPECT_EQ(reconfigured(1, kernel::NewDevSize{1U << 19U}), 0);
}

TEST_F(DaemonEdgesTest, WithoutTheListOfDevicesItDoesNotStart) {
  root_.write("/sys/class/uio", "");
  start();
  EXPECT_EQ(wait(), 1);
  EXPECT_EQ(events_->wants_replies(), false);
}

// The kernel registers the device, which is found, before it sends ADDED and lets it be blocked.
TEST_F(DaemonEdgesTest, ADeviceThatIsFoundWhileItIsEnabledHasOneLun) {
  FakeDevice& found = present(1, "rbd/pool/image");
  found.remove_file("action/block_dev");
  start();
  until([&] { return ask("status").find("user_0/disk1") != std::string::npos; });
  EXPECT_EQ(added(1), 0);
  EXPECT_TRUE(found.is_open());
  found.set_file("action/block_dev", "0\n");
  EXPECT_EQ(removed(1), 0);
  EXPECT_FALSE(found.is_open());
  // The first attempt, if it were not over, would take the device over after a second.
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(2500);
  while (std::chrono::steady_clock::now() < end) {
    ASSERT_FALSE(found.was_reset());
    loop_.run_one_for(std::chrono::milliseconds(10));
  }
  EXPECT_EQ(ceph_->begun(CephStep::kOpenImage), 1U);
}

// Its writer got an error when this daemon started, and the kernel unregisters it without an event.
TEST_F(DaemonEdgesTest, ADeviceThatVanishesAfterItWasFoundHasNoLun) {
  FakeDevice& found = present(1, "rbd/pool/image");
  found.remove_file("action/block_dev");
  start();
  until([&] { return ask("status").find("user_0/disk1") != std::string::npos; });
  root_.remove("/sys/class/uio/uio1");
  until([&] { return ask("status").find("user_0/disk1") == std::string::npos; });
}

TEST_F(DaemonEdgesTest, ADeviceThatIsServedAlreadyIsOpenedAgain) {
  FakeDevice& found = present(1, "rbd/pool/image");
  start();
  until([&] { return found.file("attrib/tmr_notification") == "1\n" && !found.blocked(); });
  EXPECT_EQ(added(1), 0);
  EXPECT_EQ(ceph_->images_open(), 1U);
  EXPECT_TRUE(found.is_open());
  EXPECT_EQ(removed(1), 0);
  EXPECT_EQ(ceph_->images_open(), 0U);
  EXPECT_FALSE(found.is_open());
}

TEST_F(DaemonEdgesTest, MetricsThatCouldNotBeServedAreTriedAtAReload) {
  boost::asio::io_context loop;
  std::optional<boost::asio::ip::tcp::acceptor> other;
  other.emplace(loop, boost::asio::ip::tcp::endpoint{boost::asio::ip::address_v4::loopback(), 0});
  const uint16_t port = other->local_endpoint().port();
  config_.metrics.port = port;
  start();
  EXPECT_EQ(added(1), 0);
  other.reset();
  kill(getpid(), SIGHUP);
  until([&] {
    boost::asio::ip::tcp::iostream http("127.0.0.1", std::to_string(port));
    return bool(http);
  });
}

// Of systemd.
class NotifySocket {
 public:
  explicit NotifySocket(const std::string& path)
      : socket_(loop_, boost::asio::local::datagram_protocol::endpoint(path)) {
    socket_.non_blocking(true);
    setenv("NOTIFY_SOCKET", path.c_str(), 1);
  }
  ~NotifySocket() { unsetenv("NOTIFY_SOCKET"); }
  // All that came, in order.
  const std::string& all() {
    std::array<char, 4096> buffer{};
    boost::system::error_code none;
    while (const size_t got = socket_.receive(boost::asio::buffer(buffer), 0, none))
      all_ += std::string(buffer.data(), got) + "\n";
    return all_;
  }

 private:
  boost::asio::io_context loop_;
  boost::asio::local::datagram_protocol::socket socket_;
  std::string all_;
};

TEST_F(DaemonEdgesTest, AReloadDuringTheTakeOverDoesNotSayThatItIsReady) {
  NotifySocket systemd(root_.path() + "/notify");
  FakeDevice& found = present(1, "rbd/pool/image");
  ceph_->hang(CephStep::kOpenImage);
  start();
  until_begun(CephStep::kOpenImage, 1);
  kill(getpid(), SIGHUP);
  until([&] { return reloads_ == 1; });
  EXPECT_EQ(removed(7), 0);
  EXPECT_THAT(systemd.all(), Not(HasSubstr("READY=1")));
  ceph_->release(CephStep::kOpenImage);
  until([&] { return !found.blocked() && systemd.all().find("READY=1") != std::string::npos; });
  kill(getpid(), SIGHUP);
  until([&] { return systemd.all().find("RELOADING=1") != std::string::npos; });
  until([&] { return systemd.all().rfind("READY=1") > systemd.all().rfind("RELOADING=1"); });
}

TEST_F(DaemonEdgesTest, AReloadAfterTheEndBeganDoesNotSayThatItIsReady) {
  config_.device.drain_timeout = seconds(2);
  NotifySocket systemd(root_.path() + "/notify");
  start();
  EXPECT_EQ(added(1), 0);
  ceph_->hang(CephStep::kCloseImage);
  kill(getpid(), SIGTERM);
  until([&] { return systemd.all().find("STOPPING=1") != std::string::npos; });
  kill(getpid(), SIGHUP);
  EXPECT_EQ(removed(7), 0);
  ceph_->release(CephStep::kCloseImage);
  EXPECT_EQ(wait(), 0);
  EXPECT_THAT(systemd.all().substr(systemd.all().find("STOPPING=1")), Not(HasSubstr("READY=1")));
}

}  // namespace
}  // namespace tcmurbd
