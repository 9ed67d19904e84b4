// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "rbd_handler/kernel/uio.h"
#include "tests/unit/kernel_tree.h"

namespace tcmurbd::kernel {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

TEST(DeviceName, SplitsWhatTheKernelShows) {
  const auto name = parse_device_name("tcm-user/3/pool.image/rbd/pool/image;id=x\n");
  ASSERT_TRUE(name.has_value());
  EXPECT_EQ(name->hba, "user_3");
  EXPECT_EQ(name->device, "pool.image");
  EXPECT_EQ(name->dev_config, "rbd/pool/image;id=x");
  EXPECT_EQ(name->subtype(), "rbd");
  EXPECT_TRUE(name->is_rbd());
}

TEST(DeviceName, ConfigMayBeAbsent) {
  const auto name = parse_device_name("tcm-user/0/d0");
  ASSERT_TRUE(name.has_value());
  EXPECT_EQ(name->device, "d0");
  EXPECT_EQ(name->dev_config, "");
  EXPECT_EQ(name->subtype(), "");
  EXPECT_FALSE(name->is_rbd());
}

TEST(DeviceName, OnlyExactlyRbdIsOurs) {
  const auto is_rbd = [](const std::string& dev_config) {
    return parse_device_name("tcm-user/0/d0/" + dev_config)->is_rbd();
  };
  EXPECT_TRUE(is_rbd("rbd/"));
  EXPECT_TRUE(is_rbd("rbd/p/i"));
  EXPECT_FALSE(is_rbd("rbd"));
  EXPECT_FALSE(is_rbd("rbd2/p/i"));
  EXPECT_FALSE(is_rbd("RBD/p/i"));
  EXPECT_FALSE(is_rbd("xrbd/p/i"));
  EXPECT_FALSE(is_rbd("/rbd/p/i"));
  EXPECT_FALSE(is_rbd("file/rbd/p/i"));
  EXPECT_FALSE(is_rbd(""));
}

TEST(DeviceName, RefusesOthers) {
  for (const char* bad :
       {"", "\n", "igb_uio", "tcm-user", "tcm-user/", "tcm-user//d0/rbd/p/i",
        "tcm-user/x/d0/rbd/p/i", "tcm-user/1x/d0", "tcm-user/-1/d0", "tcm-user/0", "tcm-user/0/",
        "tcm-user/0//rbd/p/i", "tcm-user/0/../rbd/p/i", "tcm-user/0/./rbd/p/i", "tcm-user/../0/d0",
        " tcm-user/0/d0", "tcm-user/0/d\n0/rbd/p/i", "tcm-user/0/d0\x7f"}) {
    EXPECT_FALSE(parse_device_name(bad).has_value()) << bad;
  }
}

class UioTree : public ::testing::Test {
 protected:
  // A device with a map of 8 KiB, in a regular file.
  void put(const std::string& uio, const std::string& name) {
    root_.write("/sys/class/uio/" + uio + "/name", name);
    root_.write("/sys/class/uio/" + uio + "/maps/map0/size", "0x2000\n");
    std::string content(8192, 'x');
    root_.write("/dev/" + uio, content);
  }
  FakeRoot root_;
};

TEST_F(UioTree, NoUioAtAll) { EXPECT_THAT(scan_uio(root_.path()).value(), IsEmpty()); }

TEST_F(UioTree, ScansTcmuDevicesByMinor) {
  put("uio10", "tcm-user/0/b/rbd/p/b\n");
  put("uio2", "tcm-user/0/a/file//tmp/x\n");
  put("uio3", "some-fpga\n");
  put("uio4", "tcm-user/0/\n");
  put("uio05", "tcm-user/0/c/rbd/p/c\n");
  put("uio", "tcm-user/0/c/rbd/p/c\n");
  put("uio-1", "tcm-user/0/c/rbd/p/c\n");
  put("uio99999999999", "tcm-user/0/c/rbd/p/c\n");
  put("card7", "tcm-user/0/c/rbd/p/c\n");
  root_.write("/sys/class/uio/uio8/other", "no name");
  root_.write("/sys/class/uio/uio9/name", std::string(5000, 'a'));
  const auto found = scan_uio(root_.path() + "/").value();
  ASSERT_THAT(found, SizeIs(2));
  EXPECT_EQ(found[0].minor, 2);
  EXPECT_EQ(found[0].name.dev_config, "file//tmp/x");
  EXPECT_EQ(found[1].minor, 10);
  EXPECT_EQ(found[1].name, (DeviceName{"user_0", "b", "rbd/p/b"}));
}

TEST_F(UioTree, AListThatCannotBeReadIsNotEmpty) {
  root_.write("/sys/class/uio", "no directory");
  EXPECT_THAT(scan_uio(root_.path()).error(), HasSubstr("/sys/class/uio: Not a directory"));
}

// As with EMFILE: it is not known which device it is.
TEST_F(UioTree, ANameThatCannotBeReadIsNotSkipped) {
  put("uio1", "tcm-user/0/a/rbd/p/a\n");
  root_.write("/sys/class/uio/uio2/name/is", "a directory");
  EXPECT_THAT(scan_uio(root_.path()).error(), HasSubstr("uio2/name: Is a directory"));
  root_.remove("/sys/class/uio/uio2/name");
  EXPECT_THAT(scan_uio(root_.path()).value(), SizeIs(1));
}

TEST_F(UioTree, ReadsANameAgain) {
  put("uio1", "tcm-user/0/a/rbd/p/a\n");
  EXPECT_EQ(read_uio_name(1, root_.path())->dev_config, "rbd/p/a");
  put("uio1", "tcm-user/0/a/rbd/p/b\n");
  EXPECT_EQ(read_uio_name(1, root_.path())->dev_config, "rbd/p/b");
  EXPECT_THAT(read_uio_name(2, root_.path()).error(), HasSubstr("uio2/name: No such file"));
}

TEST_F(UioTree, MapsExactlyTheSizeThatIsTold) {
  put("uio0", "tcm-user/0/a/rbd/p/a\n");
  auto device = UioDevice::open(0, root_.path());
  ASSERT_TRUE(device.has_value()) << device.error();
  ASSERT_EQ(device->map().size(), 8192);
  EXPECT_EQ(device->map()[8191], std::byte{'x'});
  device->map()[0] = std::byte{'y'};  // Shared: it is in the file.
  EXPECT_EQ(root_.read("/dev/uio0")[0], 'y');
  UioDevice moved = std::move(*device);
  EXPECT_TRUE(device->map().empty());
  EXPECT_EQ(moved.map().size(), 8192);
  EXPECT_GE(moved.fd(), 0);
}

TEST_F(UioTree, RefusesWhatItCannotMap) {
  EXPECT_THAT(UioDevice::open(0, root_.path()).error(), HasSubstr("size: No such file"));
  put("uio0", "tcm-user/0/a/rbd/p/a\n");
  for (const char* bad : {"", "\n", "0x", "-4096", "0", "many", "0x2000 bytes",
                          "0xffffffffffffffffffff", "0xffffffffffffffff"}) {
    root_.write("/sys/class/uio/uio0/maps/map0/size", bad);
    EXPECT_FALSE(UioDevice::open(0, root_.path()).has_value()) << bad;
  }
  root_.write("/sys/class/uio/uio0/maps/map0/size", "0x2000\n");
  root_.remove("/dev/uio0");
  EXPECT_THAT(UioDevice::open(0, root_.path()).error(), HasSubstr("/dev/uio0: No such file"));
}

TEST_F(UioTree, AnEndedDeviceIsGone) {
  put("uio0", "tcm-user/0/a/rbd/p/a\n");
  auto device = UioDevice::open(0, root_.path());
  ASSERT_TRUE(device.has_value());
  for (int i = 0; i < 2048; ++i) ASSERT_EQ(device->clear_events(), UioState::kAlive);
  // The end of the file simulates the kernel's EIO.
  EXPECT_EQ(device->clear_events(), UioState::kGone);
  EXPECT_EQ(device->kick(), UioState::kAlive);
}

}  // namespace
}  // namespace tcmurbd::kernel
