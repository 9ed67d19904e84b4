// SPDX-License-Identifier: Apache-2.0
// The edge against a real kernel. It makes and removes TCMU devices, so it runs only if
// TCMU_RBD_LIVE_KERNEL=1 marks the kernel as a test kernel (a guest of the lab): with
// target_core_user and tcm_loop loaded, as root.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <future>
#include <optional>
#include <thread>

#include "rbd_handler/kernel/configfs.h"
#include "rbd_handler/kernel/netlink.h"
#include "rbd_handler/kernel/small_file.h"
#include "rbd_handler/kernel/uio.h"
#include "rbd_handler/ring/ring.h"

namespace tcmurbd::kernel {
namespace {

using ::testing::HasSubstr;

const std::string kTarget = "/sys/kernel/config/target";
const std::string kHba = kTarget + "/core/user_77";

// The result of a configfs call: 0, or its errno.
using Outcome = std::future<int>;

int write_file(const std::string& path, const std::string& text) {
  FILE* file = std::fopen(path.c_str(), "w");
  if (file == nullptr) return errno;
  std::setvbuf(file, nullptr, _IONBF, 0);
  const int error = std::fwrite(text.data(), 1, text.size(), file) == text.size() ? 0 : errno;
  std::fclose(file);
  return error;
}

class LiveKernel : public ::testing::Test {
 protected:
  void SetUp() override {
    if (std::getenv("TCMU_RBD_LIVE_KERNEL") == nullptr) {
      GTEST_SKIP() << "TCMU_RBD_LIVE_KERNEL is not set: this makes and removes TCMU devices";
    }
    auto channel = NetlinkChannel::open();
    ASSERT_TRUE(channel.has_value()) << channel.error();
    channel_.emplace(std::move(*channel));
    ASSERT_TRUE(channel_->request_replies(true).has_value());
    ::mkdir(kHba.c_str(), 0755);
  }
  void TearDown() override {
    if (!channel_) return;
    EXPECT_TRUE(channel_->request_replies(false).has_value());
    ::rmdir(kHba.c_str());
  }

  static std::string path(const std::string& device) { return kHba + "/" + device; }

  // Makes a device; its enable waits for a reply.
  static Outcome enable(const std::string& device, const std::string& more = "") {
    ::mkdir(path(device).c_str(), 0755);
    EXPECT_EQ(write_file(path(device) + "/control",
                         "dev_config=rbd/pool/img;id=x,dev_size=1048576,max_data_area_mb=8,"
                         "cmd_ring_size_mb=1" +
                             more),
              0);
    return std::async(std::launch::async, write_file, path(device) + "/enable", "1");
  }
  static Outcome remove(const std::string& device) {
    return std::async(std::launch::async,
                      [name = path(device)] { return ::rmdir(name.c_str()) == 0 ? 0 : errno; });
  }

  std::optional<DeviceEvent> event() {
    std::optional<DeviceEvent> found;
    pollfd wait{channel_->fd(), POLLIN, 0};
    if (::poll(&wait, 1, 10'000) != 1) return std::nullopt;
    const auto read = channel_->read_events([&](const DeviceEvent& e) {
      EXPECT_FALSE(found.has_value());
      found = e;
    });
    EXPECT_TRUE(read.has_value()) << read.error();
    return found;
  }
  void expect_reply(DeviceEvent::Kind kind, uint32_t device_id, int status) {
    const auto sent = channel_->reply(kind, device_id, status);
    EXPECT_TRUE(sent.has_value()) << sent.error();
  }
  // Enables with good replies; gives back the minor.
  uint32_t add(const std::string& device) {
    Outcome enabled = enable(device);
    const auto added = event();
    EXPECT_TRUE(added && added->kind == DeviceEvent::Kind::kAdded);
    if (!added) return UINT32_MAX;
    expect_reply(DeviceEvent::Kind::kAdded, added->device_id, 0);
    EXPECT_EQ(enabled.get(), 0);
    return added->minor;
  }
  void drop(const std::string& device) {
    Outcome removed = remove(device);
    const auto received = event();
    ASSERT_TRUE(received && received->kind == DeviceEvent::Kind::kRemoved);
    expect_reply(DeviceEvent::Kind::kRemoved, received->device_id, 0);
    EXPECT_EQ(removed.get(), 0);
  }
  static bool waits(Outcome& outcome, int milliseconds = 300) {
    return outcome.wait_for(std::chrono::milliseconds(milliseconds)) == std::future_status::timeout;
  }

  std::optional<NetlinkChannel> channel_;
};

TEST_F(LiveKernel, EnableWaitsForTheReply) {
  Outcome enabled = enable("d0");
  const auto added = event();
  ASSERT_TRUE(added.has_value());
  EXPECT_EQ(added->kind, DeviceEvent::Kind::kAdded);
  EXPECT_EQ(added->device, "tcm-user/77/d0/rbd/pool/img;id=x");
  EXPECT_EQ(parse_device_name(added->device), (DeviceName{"user_77", "d0", "rbd/pool/img;id=x"}));
  EXPECT_EQ(read_uio_name(added->minor)->device, "d0");
  EXPECT_TRUE(waits(enabled));
  {
    // All of this works within the event.
    auto device = UioDevice::open(added->minor);
    ASSERT_TRUE(device.has_value()) << device.error();
    EXPECT_EQ(device->map().size(), 9u << 20);
    const ConfigfsDevice configfs({"user_77", "d0", ""});
    EXPECT_TRUE(configfs.set_attribute("cmd_time_out", 0).has_value());
    EXPECT_TRUE(configfs.set_attribute("tmr_notification", 1).has_value());
    EXPECT_EQ(configfs.attribute("tmr_notification"), 1);
    EXPECT_FALSE(configfs.reset_ring().has_value());  // Not yet enabled.
  }
  expect_reply(DeviceEvent::Kind::kAdded, added->device_id, 0);
  EXPECT_EQ(enabled.get(), 0);
  EXPECT_FALSE(channel_->reply(DeviceEvent::Kind::kAdded, added->device_id + 1000, 0).has_value());
  drop("d0");
}

TEST_F(LiveKernel, ABadStatusFailsTheEnable) {
  Outcome enabled = enable("d0");
  const auto added = event();
  ASSERT_TRUE(added.has_value());
  expect_reply(DeviceEvent::Kind::kAdded, added->device_id, -ENOENT);
  EXPECT_EQ(enabled.get(), ENOENT);
  const auto devices = scan_uio().value();
  for (const UioEntry& entry : devices) EXPECT_NE(entry.name.device, "d0");
  EXPECT_EQ(::rmdir(path("d0").c_str()), 0);  // Never was there: no event.
}

TEST_F(LiveKernel, UioAndConfigfsOfAnEnabledDevice) {
  const uint32_t minor = add("d0");
  const auto present = scan_uio().value();
  ASSERT_TRUE(std::ranges::any_of(present, [&](const UioEntry& e) { return e.minor == minor; }));
  {
    auto device = UioDevice::open(minor);
    ASSERT_TRUE(device.has_value()) << device.error();
    EXPECT_THAT(UioDevice::open(minor).error(), HasSubstr("another process serves this device"));
    auto ring = ring::Ring::attach(device->map());
    ASSERT_TRUE(ring.has_value()) << ring.error();
    EXPECT_TRUE(ring->supports_tmr() && ring->supports_keep_buffer() &&
                ring->supports_read_length());
    EXPECT_EQ(device->clear_events(), UioState::kAlive);
    EXPECT_EQ(device->kick(), UioState::kAlive);
  }
  EXPECT_TRUE(UioDevice::open(minor).has_value());  // Unmapped and closed above.

  const ConfigfsDevice configfs({"user_77", "d0", ""});
  EXPECT_EQ(configfs.attribute("hw_block_size"), 512);
  EXPECT_EQ(configfs.attribute("hw_max_sectors"), 128);
  EXPECT_EQ(configfs.attribute("dev_size"), 1048576);
  EXPECT_EQ(configfs.attribute("cmd_time_out"), 30);
  EXPECT_EQ(configfs.attribute("qfull_time_out"), -1);
  EXPECT_EQ(configfs.attribute("nl_reply_supported"), 1);
  EXPECT_FALSE(configfs.attribute("dev_config").has_value());
  EXPECT_TRUE(configfs.block(true).has_value());
  EXPECT_TRUE(configfs.reset_ring().has_value());
  EXPECT_TRUE(configfs.block(false).has_value());
  auto kept = KeptBuffers::open(configfs);
  ASSERT_TRUE(kept.has_value()) << kept.error();
  EXPECT_THAT(kept->free(5).error(), HasSubstr("Invalid argument"));

  const auto facts = configfs.read_target_facts();
  ASSERT_TRUE(facts.has_value()) << facts.error();
  EXPECT_EQ(facts->unit_serial, "");
  EXPECT_EQ(facts->vendor, "LIO-ORG");
  EXPECT_EQ(facts->product, "TCMU device");
  EXPECT_EQ(facts->revision, "0002");
  ASSERT_EQ(facts->groups.size(), 1);
  EXPECT_EQ(facts->groups[0].id, 0);
  EXPECT_EQ(facts->groups[0].supported_states, 0xcf);
  drop("d0");
  EXPECT_FALSE(kept->free(5).has_value());
  EXPECT_FALSE(configfs.read_target_facts().has_value());
}

TEST_F(LiveKernel, ReconfigurationIsStoredOnlyAfterAGoodReply) {
  add("d0");
  const ConfigfsDevice configfs({"user_77", "d0", ""});
  const auto set = [&](const char* file, const char* value) {
    return std::async(std::launch::async, write_file, path("d0") + "/attrib/" + file, value);
  };
  Outcome stored = set("dev_size", "2097152");
  auto received = event();
  ASSERT_TRUE(received.has_value());
  EXPECT_EQ(received->kind, DeviceEvent::Kind::kReconfigured);
  EXPECT_EQ(std::get<NewDevSize>(received->change).bytes, 2097152);
  EXPECT_TRUE(waits(stored));
  EXPECT_EQ(configfs.attribute("dev_size"), 1048576);
  expect_reply(DeviceEvent::Kind::kReconfigured, received->device_id, 0);
  EXPECT_EQ(stored.get(), 0);
  EXPECT_EQ(configfs.attribute("dev_size"), 2097152);

  stored = set("dev_config", "rbd/pool/other\n");
  received = event();
  ASSERT_TRUE(received.has_value());
  EXPECT_EQ(std::get<NewDevConfig>(received->change).dev_config, "rbd/pool/other");
  expect_reply(DeviceEvent::Kind::kReconfigured, received->device_id, -EINVAL);
  EXPECT_EQ(stored.get(), EINVAL);
  EXPECT_EQ(read_uio_name(received->minor)->dev_config, "rbd/pool/img;id=x");

  stored = set("emulate_write_cache", "1");
  received = event();
  ASSERT_TRUE(received.has_value());
  EXPECT_TRUE(std::get<NewWriteCache>(received->change).enabled);
  expect_reply(DeviceEvent::Kind::kReconfigured, received->device_id, 0);
  EXPECT_EQ(stored.get(), 0);
  drop("d0");
}

TEST_F(LiveKernel, RemovalWaitsAndTheMappingOutlivesIt) {
  const uint32_t minor = add("d0");
  auto device = UioDevice::open(minor);
  ASSERT_TRUE(device.has_value()) << device.error();
  Outcome removed = remove("d0");
  const auto received = event();
  ASSERT_TRUE(received.has_value());
  EXPECT_EQ(received->kind, DeviceEvent::Kind::kRemoved);
  EXPECT_TRUE(waits(removed));
  EXPECT_EQ(device->kick(), UioState::kAlive);
  expect_reply(DeviceEvent::Kind::kRemoved, received->device_id, 0);
  EXPECT_EQ(removed.get(), 0);
  EXPECT_EQ(device->clear_events(), UioState::kGone);
  EXPECT_EQ(device->kick(), UioState::kGone);
  EXPECT_EQ(device->map()[0], std::byte{2});  // The mailbox is still there.
}

TEST_F(LiveKernel, WaitersOfADeadDaemonAreReleased) {
  Outcome enabled = enable("d0");
  ASSERT_TRUE(event().has_value());
  EXPECT_TRUE(waits(enabled));
  const auto released = release_netlink_waiters();
  EXPECT_TRUE(released.has_value()) << released.error();
  EXPECT_EQ(enabled.get(), EINTR);
  EXPECT_EQ(::rmdir(path("d0").c_str()), 0);

  EXPECT_TRUE(block_netlink(true).has_value());
  enabled = enable("d0");
  EXPECT_EQ(enabled.get(), EAGAIN);
  EXPECT_TRUE(block_netlink(false).has_value());
  EXPECT_EQ(::rmdir(path("d0").c_str()), 0);
}

TEST_F(LiveKernel, AnOverrunIsTold) {
  ASSERT_TRUE(channel_->request_replies(false).has_value());
  const int small = 1;  // The kernel makes it its minimum, room for one or two events.
  ASSERT_EQ(::setsockopt(channel_->fd(), SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)), 0);
  // The kernel does not report it to the sender: the device exists, but no daemon knows it.
  for (int i = 0; i < 10; ++i) EXPECT_EQ(enable(fmt::format("d{}", i)).get(), 0);
  int events = 0;
  EXPECT_EQ(channel_->read_events([&](const DeviceEvent&) { ++events; }),
            NetlinkChannel::Read::kOverrun);
  EXPECT_GT(events, 0);
  EXPECT_LT(events, 10);
  EXPECT_EQ(channel_->read_events([](const DeviceEvent&) {}), NetlinkChannel::Read::kDrained);
  for (int i = 0; i < 10; ++i) EXPECT_EQ(::rmdir(path(fmt::format("d{}", i)).c_str()), 0);
}

// The kernel's own probing of a new disk, answered with ILLEGAL REQUEST, newest first, every buffer
// kept.
TEST_F(LiveKernel, CommandsGoAroundTheRing) {
  const uint32_t minor = add("d0");
  auto device = UioDevice::open(minor);
  ASSERT_TRUE(device.has_value()) << device.error();
  auto ring = ring::Ring::attach(device->map()).value();
  auto kept = KeptBuffers::open(ConfigfsDevice({"user_77", "d0", ""})).value();
  const std::string loop = kTarget + "/loopback/naa.5001405000000077";
  ::mkdir((kTarget + "/loopback").c_str(), 0755);
  std::string below_loop = loop;
  for (const char* part : {"", "/tpgt_1", "/lun", "/lun_0"}) {
    ::mkdir((below_loop += part).c_str(), 0755);
  }
  EXPECT_EQ(write_file(loop + "/tpgt_1/nexus", "naa.5001405000000078"), 0);
  Outcome linked = std::async(std::launch::async, [&] {
    return ::symlink(path("d0").c_str(), (loop + "/tpgt_1/lun/lun_0/x").c_str()) == 0 ? 0 : errno;
  });
  const uint8_t sense[] = {0x70, 0, 5, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x20, 0, 0, 0, 0, 0};
  int commands = 0;
  // Linking scans the disk and ends with that.
  for (int i = 0; i < 200 && waits(linked, 0); ++i) {
    pollfd wait{device->fd(), POLLIN, 0};
    if (::poll(&wait, 1, 200) != 1) continue;
    ASSERT_EQ(device->clear_events(), UioState::kAlive);
    ring::CommandEntry command;
    ring::TmrEntry tmr;
    std::vector<uint16_t> ids;
    while (ring.next(command, tmr) == ring::Next::kCommand) ids.push_back(command.cmd_id);
    ASSERT_EQ(ring.broken_reason(), "");
    for (auto id = ids.rbegin(); id != ids.rend(); ++id) {
      ring.complete({.cmd_id = *id, .scsi_status = 2, .keep_buffer = true, .sense = sense});
      ++commands;
    }
    if (ring.publish()) {
      ASSERT_EQ(device->kick(), UioState::kAlive);
    }
    for (const uint16_t id : ids) {
      const auto freed = kept.free(id);
      EXPECT_TRUE(freed.has_value()) << freed.error();
      EXPECT_FALSE(kept.free(id).has_value());
    }
  }
  EXPECT_GT(commands, 0);
  EXPECT_EQ(linked.get(), 0);
  const auto facts = ConfigfsDevice({"user_77", "d0", ""}).read_target_facts();
  ASSERT_TRUE(facts && facts->groups.size() == 1);
  // Since Linux 6.4 a portal group of the loopback fabric has no number.
  const scsi::PortGroup& group = facts->groups[0];
  EXPECT_EQ(group.enabled_ports, group.relative_ports);
  if (!group.unnumbered_port) {
    EXPECT_THAT(group.relative_ports, ::testing::ElementsAre(1));
  }
  EXPECT_EQ(::unlink((loop + "/tpgt_1/lun/lun_0/x").c_str()), 0);
  for (const char* part : {"/tpgt_1/lun/lun_0", "/tpgt_1", ""}) ::rmdir((loop + part).c_str());
  drop("d0");
}

}  // namespace
}  // namespace tcmurbd::kernel
