// SPDX-License-Identifier: Apache-2.0
// The steps of a LUN's opening, in order: what each is refused for, and that nothing stays open
// then. Ceph is a fake, configfs a tree of files.
#include "rbd_handler/lun/lun_open.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <filesystem>
#include <system_error>

#include "tests/support/fake_ceph.h"
#include "tests/support/fake_device.h"

namespace tcmurbd {
namespace {

using testing::CephStep;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr const char* kPredecessor = "10.0.0.9:0/77";

class LunOpenTest : public ::testing::Test {
 protected:
  LunOpenTest() {
    ports_.root = root_.path();
    ports_.open_uio = [this](uint32_t) { return device_.open(); };
    ports_.connect = ceph_->connect();
    ports_.open_served_image = ceph_->open_served_image();
    root_.write("/state/marker", "");
  }

  std::expected<OpenedImage, OpenError> open() {
    return open_image(ports_, {.pool = "pool", .image = "disk1"}, configfs(), record(), {},
                      std::make_shared<Log>("lun_open_test"));
  }
  std::expected<Attached, OpenError> attach(Origin origin) {
    return attach_device(ports_, device_.entry(), configfs(), origin);
  }
  kernel::ConfigfsDevice configfs() const {
    return kernel::ConfigfsDevice({"user_0", "disk1", ""}, root_.path());
  }
  InstanceRecord record() const { return {root_.path() + "/state", "user_0", "disk1"}; }
  // It fails with this, and leaves nothing open.
  void refused(int error, const std::string& text) {
    const auto opened = open();
    ASSERT_FALSE(opened);
    EXPECT_EQ(opened.error().error, -error);
    EXPECT_THAT(opened.error().text, HasSubstr(text));
    EXPECT_EQ(ceph_->images_open(), 0U);
    EXPECT_EQ(ceph_->others_open(), 0U);
  }
  void refused_at(CephStep step, const std::string& text) {
    ceph_->refuse(step, text);
    refused(EIO, text);
  }
  size_t begun(CephStep step) const { return ceph_->begun(step); }

  boost::asio::io_context loop_;
  kernel::FakeRoot root_;
  testing::FakeDevice device_{loop_, root_, 3, "disk1"};
  const std::shared_ptr<testing::FakeCeph> ceph_ = std::make_shared<testing::FakeCeph>();
  LunPorts ports_;
};

TEST_F(LunOpenTest, AllIsOpenAndClosedAgain) {
  {
    const auto opened = open();
    ASSERT_TRUE(opened) << opened.error().text;
    EXPECT_EQ(opened->image->address(), "10.0.0.1:0/1");
    EXPECT_EQ(opened->disk.block_size, 512U);
    EXPECT_EQ(opened->disk.blocks, 2048U);
    EXPECT_EQ(opened->disk.max_transfer_bytes, 128U * 512);
    EXPECT_FALSE(opened->disk.read_only);
    EXPECT_EQ(opened->kernel_limit, std::chrono::seconds(30));
    EXPECT_NE(opened->monitors, nullptr);
    EXPECT_EQ(opened->predecessor, "");
    EXPECT_EQ(opened->unfenced, "");
    EXPECT_EQ(ceph_->images_open(), 1U);
    EXPECT_EQ(ceph_->others_open(), 2U);
  }
  EXPECT_EQ(ceph_->images_open(), 0U);
  EXPECT_EQ(ceph_->others_open(), 0U);
}

TEST_F(LunOpenTest, ASnapshotHasNoLock) {
  ceph_->set_info({.bytes = 1U << 20U, .object_bytes = 4096, .read_only = true});
  ceph_->set_permission(false);
  const auto opened = open();
  ASSERT_TRUE(opened);
  EXPECT_TRUE(opened->disk.read_only);
  EXPECT_EQ(ceph_->others_open(), 0U) << "a channel or a list of fences";
  EXPECT_EQ(begun(CephStep::kPermission), 0U);
}

TEST_F(LunOpenTest, EachStepIsToldAndClosesWhatWasOpened) {
  for (const CephStep step : {CephStep::kOpenFences, CephStep::kOpenChannel, CephStep::kLatestMap,
                              CephStep::kOpenImage, CephStep::kConnect})
    refused_at(step, "step " + std::to_string(static_cast<int>(step)));
}

TEST_F(LunOpenTest, AMissingImageOpensNothing) {
  refused_at(CephStep::kOpenImage, "does not exist");
  EXPECT_EQ(begun(CephStep::kOpenChannel), 0U);
  EXPECT_EQ(begun(CephStep::kOpenFences), 0U);
}

TEST_F(LunOpenTest, ADeviceBeyondTheImageIsRefusedBeforeItIsWatched) {
  device_.set_file("attrib/dev_size", "1049088\n");
  refused(EINVAL, "dev_size 1049088 exceeds the image's 1048576 bytes");
  EXPECT_EQ(begun(CephStep::kOpenChannel), 0U);
}

TEST_F(LunOpenTest, ASmallerDeviceIsServed) {
  device_.set_file("attrib/dev_size", "1048000\n");
  const auto opened = open();
  ASSERT_TRUE(opened);
  EXPECT_EQ(opened->disk.blocks, 2046U);
}

TEST_F(LunOpenTest, ABadShapeIsRefusedBeforeTheClusterIsAsked) {
  const struct {
    const char* attribute;
    const char* value;
    int error;
    const char* text;
  } cases[] = {{"hw_block_size", "520", EINVAL, "hw_block_size 520 is not 512 or 4096"},
               {"hw_block_size", "big", EIO, "not a number"},
               {"dev_size", "511", EINVAL, "less than one block"},
               {"dev_size", "-512", EINVAL, "less than one block"},
               {"hw_max_sectors", "", EIO, "hw_max_sectors"}};
  for (const auto& bad : cases) {
    const std::string file = std::string("attrib/") + bad.attribute;
    const std::string good = device_.file(file);
    device_.set_file(file, bad.value);
    refused(bad.error, bad.text);
    device_.set_file(file, good);
  }
  device_.remove_file("attrib/dev_size");
  refused(EIO, "dev_size");
  EXPECT_EQ(begun(CephStep::kConnect), 0U);
}

TEST_F(LunOpenTest, ThePredecessorIsFencedBeforeTheImageIsOpened) {
  ASSERT_TRUE(record().write(kPredecessor));
  const auto opened = open();
  ASSERT_TRUE(opened);
  EXPECT_EQ(opened->predecessor, kPredecessor);
  EXPECT_EQ(opened->unfenced, "");
  EXPECT_THAT(ceph_->blocklisted(), ElementsAre(kPredecessor));
  EXPECT_THAT(ceph_->fences(), ElementsAre(kPredecessor));
  EXPECT_LE(ceph_->times(CephStep::kBlocklist).at(0), ceph_->times(CephStep::kOpenImage).at(0));
  EXPECT_EQ(record().read().value().address, "");
}

TEST_F(LunOpenTest, WithoutAPredecessorNobodyIsFenced) {
  ASSERT_TRUE(open());
  EXPECT_THAT(ceph_->blocklisted(), IsEmpty());
  EXPECT_THAT(ceph_->fences(), IsEmpty());
}

TEST_F(LunOpenTest, APredecessorThatCannotBeFencedIsNotForgotten) {
  ASSERT_TRUE(record().write(kPredecessor));
  ceph_->refuse(CephStep::kBlocklist, "no quorum", -ETIMEDOUT);
  refused(EIO, "cannot be fenced: no quorum");
  EXPECT_EQ(record().read().value().address, kPredecessor);
  EXPECT_EQ(begun(CephStep::kOpenImage), 0U);
}

TEST_F(LunOpenTest, WithoutThePermissionToFenceChangesAreNotSafe) {
  ASSERT_TRUE(record().write(kPredecessor));
  for (const int error : {-EPERM, -EACCES}) {
    ceph_->refuse(CephStep::kBlocklist, "not permitted", error);
    const auto opened = open();
    ASSERT_TRUE(opened);
    EXPECT_EQ(opened->unfenced, kPredecessor);
    EXPECT_EQ(opened->predecessor, "");
    EXPECT_EQ(record().read().value().address, kPredecessor);
  }
  EXPECT_THAT(ceph_->fences(), IsEmpty());
}

// That client might still write.
TEST_F(LunOpenTest, AnUnreadableRecordIsAnError) {
  const std::string path = root_.path() + "/state/user_0.disk1.instance";
  std::filesystem::create_symlink(path, path);
  refused(EIO, "symbolic links");
  std::filesystem::remove(path);
  std::filesystem::create_directory(path);
  refused(EIO, path);
  EXPECT_EQ(begun(CephStep::kOpenImage), 0U);
}

TEST_F(LunOpenTest, TheLookAtThePermissionDecidesNothing) {
  ceph_->refuse(CephStep::kPermission, "no answer");
  EXPECT_TRUE(open());
  ceph_->allow(CephStep::kPermission);
  ceph_->set_permission(false);
  EXPECT_TRUE(open());
}

TEST_F(LunOpenTest, AnImageThatIsOnlyCheckedIsClosedAgain) {
  const auto check = [this] {
    return check_image(ports_.open_served_image, {.pool = "pool", .image = "disk1"});
  };
  EXPECT_TRUE(check());
  ceph_->refuse(CephStep::kOpenImage, "does not exist");
  EXPECT_EQ(check(), std::unexpected(std::string("does not exist")));
  EXPECT_EQ(begun(CephStep::kCloseImage), 1U);
  EXPECT_EQ(begun(CephStep::kConnect), 0U);
}

TEST_F(LunOpenTest, AnExceptionIsThisLunsError) {
  ports_.open_served_image =
      [](const auto&, const auto&,
         const auto&) -> std::expected<std::unique_ptr<ceph::ServedImage>, std::string> {
    throw std::system_error(EAGAIN, std::generic_category(), "thread");
  };
  refused(ENOMEM, "out of resources: thread");
}

TEST_F(LunOpenTest, AFreshDeviceIsNeitherBlockedNorReset) {
  ASSERT_TRUE(attach(Origin::kAdded));
  EXPECT_FALSE(device_.blocked());
  EXPECT_FALSE(device_.was_reset());
  EXPECT_FALSE(device_.is_open()) << "was not closed";
}

TEST_F(LunOpenTest, ADeviceThatIsTakenOverIsBlockedAndReset) {
  ASSERT_TRUE(attach(Origin::kTakenOver));
  EXPECT_TRUE(device_.blocked());
  EXPECT_TRUE(device_.was_reset());
}

TEST_F(LunOpenTest, ARingThatSomebodyElseServesIsNotTouched) {
  const auto other = attach(Origin::kAdded);
  const auto attached = attach(Origin::kTakenOver);
  ASSERT_FALSE(attached);
  EXPECT_EQ(attached.error().error, -ENODEV);
  EXPECT_FALSE(device_.blocked());
  EXPECT_FALSE(device_.was_reset());
}

TEST_F(LunOpenTest, ADeviceThatCannotBeBlockedIsNotReset) {
  device_.remove_file("action/block_dev");
  const auto attached = attach(Origin::kTakenOver);
  ASSERT_FALSE(attached);
  EXPECT_EQ(attached.error().error, -ENODEV);
  EXPECT_FALSE(device_.was_reset());
  EXPECT_FALSE(device_.is_open()) << "was not closed";
}

TEST_F(LunOpenTest, AnInvalidRingIsRefused) {
  device_.kernel().poke<uint16_t>(0, 1);  // The mailbox's version.
  const auto attached = attach(Origin::kAdded);
  ASSERT_FALSE(attached);
  EXPECT_EQ(attached.error().error, -EPROTO);
  EXPECT_FALSE(device_.is_open()) << "was not closed";
}

}  // namespace
}  // namespace tcmurbd
