// SPDX-License-Identifier: Apache-2.0
// The daemon as the kernel sees it: each event has one reply, and a daemon that ends leaves its
// devices blocked.
#include <gmock/gmock.h>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>

#include "tests/support/threads.h"
#include "tests/unit/daemon_fixture.h"

namespace tcmurbd {
namespace {

using kernel::DeviceEvent;
using kernel::EventChannel;
using testing::CephStep;
using ::testing::EndsWith;
using testing::FakeDevice;
using ::testing::HasSubstr;
using ::testing::StartsWith;
using Kind = DeviceEvent::Kind;

class DaemonTest : public testing::DaemonFixture {};

TEST_F(DaemonTest, EachEventHasItsReply) {
  start();
  EXPECT_EQ(added(1), 0);
  EXPECT_EQ(added(2), 0);
  EXPECT_EQ(events_->wants_replies(), true);
  EXPECT_EQ(reconfigured(1, kernel::NewDevSize{1U << 19U}), 0);
  EXPECT_EQ(reconfigured(1, kernel::NewWriteCache{false}), 0);
  EXPECT_EQ(reconfigured(1, kernel::NewWriteCache{true}), -EOPNOTSUPP);
  EXPECT_EQ(reconfigured(1, kernel::NewDevConfig{"rbd/pool/other"}), -EOPNOTSUPP);
  EXPECT_EQ(reconfigured(7, kernel::NewDevSize{512}), -ENODEV);
  EXPECT_EQ(removed(1), 0);
  EXPECT_EQ(removed(7), 0);
  EXPECT_EQ(ceph_->images_open(), 1U);
  EXPECT_EQ(end(), 0);
}

TEST_F(DaemonTest, TellsItsMetricsOverTheControlSocketAndOverHttp) {
  const uint16_t port = free_port();
  config_.metrics.port = port;
  start();
  EXPECT_EQ(added(1), 0);
  boost::asio::local::stream_protocol::iostream socket;
  socket.connect(boost::asio::local::stream_protocol::endpoint(config_.paths.control_socket));
  socket << "metrics\n" << std::flush;
  const std::string text{std::istreambuf_iterator<char>(socket), {}};
  EXPECT_THAT(text, HasSubstr("tcmu_rbd_lun_state{lun=\"user_0/disk1\",pool=\"pool\",namespace="
                              "\"\",image=\"image\",state=\"serving\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("tcmu_rbd_reactor_cpu_seconds_total{reactor=\"0\"} "));
  EXPECT_THAT(text, EndsWith("\n# EOF\n"));
  boost::asio::ip::tcp::iostream http("127.0.0.1", std::to_string(port));
  http << "GET /metrics HTTP/1.1\r\n\r\n" << std::flush;
  const std::string page{std::istreambuf_iterator<char>(http), {}};
  EXPECT_THAT(page, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(page, HasSubstr("tcmu_rbd_lun_lock_owner{lun=\"user_0/disk1\""));
}

TEST_F(DaemonTest, KeepsTheEventsBeforeAFence) {
  start();
  EXPECT_EQ(added(1), 0);
  testing::FakeServed* const image = ceph_->served("image");
  ASSERT_NE(image, nullptr);
  image->on_submit = [image](OpToken token) { image->end(token, -ETIMEDOUT); };
  device(1).write(1);
  const std::string path = config_.paths.state_dir + "/user_0.disk1.trace-0.json";
  until([&] { return std::filesystem::exists(path); });
  std::ifstream file(path);
  const std::string trace{std::istreambuf_iterator<char>(file), {}};
  EXPECT_THAT(trace, HasSubstr("image op ended with -110"));
  EXPECT_EQ(end(), 0);
}

TEST_F(DaemonTest, WhatCannotBeServedIsRefused) {
  start();
  for (const auto& [name, error] :
       std::map<std::string, int>{{device_name(1, "rbd/pool"), -EINVAL},
                                  {device_name(1, "rbd/pool/image;size=7"), -EINVAL},
                                  {device_name(1, "file//tmp/x"), -ENOENT},
                                  {"tcm-user/0/../rbd/pool/image", -ENOENT},
                                  {"", -ENOENT}}) {
    events_->send({Kind::kAdded, 1, 101, name, {}});
    EXPECT_EQ(reply(1), error) << name;
  }
  EXPECT_EQ(ceph_->begun(CephStep::kConnect), 0U);
  EXPECT_EQ(added(1), 0) << "the daemon goes on";
}

TEST_F(DaemonTest, AFailureOfOneLunLeavesTheOthers) {
  start();
  EXPECT_EQ(added(1), 0);
  ceph_->refuse(CephStep::kOpenImage, "does not exist");
  EXPECT_EQ(added(2), -EIO);
  ceph_->allow(CephStep::kOpenImage);
  open_throws_ = true;
  EXPECT_EQ(added(3), -ENOMEM);
  open_throws_ = false;
  EXPECT_EQ(reconfigured(1, kernel::NewDevSize{1U << 19U}), 0);
  EXPECT_EQ(reconfigured(2, kernel::NewDevSize{1U << 19U}), -ENODEV);
  EXPECT_EQ(reconfigured(3, kernel::NewDevSize{1U << 19U}), -ENODEV);
  EXPECT_EQ(added(2), 0);
  EXPECT_EQ(added(3), 0);
}

TEST_F(DaemonTest, AnOpenThatHangsKeepsNobodyElse) {
  start();
  EXPECT_EQ(removed(6), 0);  // Then its threads run.
  const size_t before = testing::threads();
  ceph_->hang(CephStep::kConnect);
  device(1);
  send(Kind::kAdded, 1);
  EXPECT_EQ(removed(7), 0);
  send(Kind::kRemoved, 1);
  // Of both: the enable, and the removal.
  EXPECT_EQ(std::multiset<int>({reply(1), reply(1)}), std::multiset<int>({-ESHUTDOWN, 0}));
  ceph_->release(CephStep::kConnect);
  until([&] { return ceph_->begun(CephStep::kCloseImage) == 1; });
  until(
      [&] { return testing::threads() == before; });  // Those of the open and the close have ended.
}

TEST_F(DaemonTest, AnExceptionLeavesTheDevicesBlocked) {
  start();
  EXPECT_EQ(added(1), 0);
  EXPECT_EQ(added(2), 0);
  events_->fail([]() -> testing::FakeEvents::Read { throw std::runtime_error("no threads"); });
  EXPECT_EQ(wait(), 1);
  EXPECT_TRUE(device(1).blocked());
  EXPECT_TRUE(device(2).blocked());
  EXPECT_EQ(events_->wants_replies(), false) << "no process would answer the writers";
}

TEST_F(DaemonTest, WithoutEventsItEndsAndLeavesTheDevicesBlocked) {
  start();
  EXPECT_EQ(added(1), 0);
  events_->fail([]() -> testing::FakeEvents::Read { return std::unexpected("socket"); });
  EXPECT_EQ(wait(), 1);
  EXPECT_TRUE(device(1).blocked());
  EXPECT_EQ(events_->wants_replies(), false);
  EXPECT_EQ(ceph_->images_open(), 0U);
}

TEST_F(DaemonTest, EndedByASignalItLeavesTheDevicesBlocked) {
  start();
  EXPECT_EQ(added(1), 0);
  EXPECT_EQ(end(), 0);
  EXPECT_TRUE(device(1).blocked());
  EXPECT_EQ(events_->wants_replies(), false);
  EXPECT_EQ(ceph_->images_open(), 0U);
}

TEST_F(DaemonTest, TakesOverWhatIsThere) {
  FakeDevice& good = present(1, "rbd/pool/image");
  FakeDevice& unknown = present(2, "rbd/pool");
  FakeDevice& foreign = present(3, "file//tmp/x");
  start();
  until([&] { return good.file("attrib/tmr_notification") == "1\n" && !good.blocked(); });
  EXPECT_TRUE(good.was_reset());
  until([&] { return unknown.blocked(); });
  EXPECT_FALSE(unknown.was_reset()) << "it is not ours to serve";
  EXPECT_EQ(reconfigured(2, kernel::NewDevSize{512}), -ENODEV);
  EXPECT_EQ(removed(1), 0);
  EXPECT_FALSE(foreign.blocked());
  EXPECT_FALSE(foreign.was_reset());
  EXPECT_EQ(root_.read(parameter("reset_netlink")), "1\n") << "writers of a predecessor";
  EXPECT_EQ(root_.read(parameter("block_netlink")), "0\n");
}

TEST_F(DaemonTest, ATakeOverThatThrowsIsThatDevicesFailure) {
  open_throws_ = true;
  FakeDevice& there = present(1, "rbd/pool/image");
  start();
  EXPECT_EQ(reconfigured(1, kernel::NewDevSize{512}), -ENODEV);
  EXPECT_TRUE(there.blocked());
  open_throws_ = false;
  EXPECT_EQ(added(2), 0);
}

TEST_F(DaemonTest, AfterLostEventsTheDevicesAreLookedAtAgain) {
  start();
  EXPECT_EQ(added(1), 0);
  EXPECT_EQ(added(2), 0);
  root_.write(parameter("reset_netlink"), "0\n");
  present(2, "rbd/pool/image");
  FakeDevice& fresh = present(3, "rbd/pool/image");
  events_->fail([]() -> testing::FakeEvents::Read { return EventChannel::Read::kOverrun; });
  until([&] { return fresh.file("attrib/tmr_notification") == "1\n"; });
  EXPECT_EQ(root_.read(parameter("reset_netlink")), "1\n");
  EXPECT_EQ(reconfigured(1, kernel::NewDevSize{1U << 19U}), -ENODEV) << "it is gone";
  EXPECT_EQ(reconfigured(2, kernel::NewDevSize{1U << 19U}), 0);
  EXPECT_EQ(reconfigured(3, kernel::NewDevSize{1U << 19U}), 0);
}

TEST_F(DaemonTest, WithoutTheKernelsEventsItDoesNotStart) {
  open_events_ = [] { return std::unexpected<std::string>("modprobe target_core_user"); };
  start();
  EXPECT_EQ(wait(), 1);
}

TEST_F(DaemonTest, WithoutItsControlSocketItDoesNotStart) {
  config_.paths.control_socket = root_.path() + "/missing/socket";
  FakeDevice& there = present(1, "rbd/pool/image");
  start();
  EXPECT_EQ(wait(), 1);
  EXPECT_FALSE(there.was_reset());
  EXPECT_EQ(events_->wants_replies(), false) << "no process would answer the writers";
}

}  // namespace
}  // namespace tcmurbd
