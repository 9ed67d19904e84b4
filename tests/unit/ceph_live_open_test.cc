// SPDX-License-Identifier: Apache-2.0
// All failures of an open, and their messages.
#include <gmock/gmock.h>

#include <chrono>
#include <fstream>

#include "ceph_live.h"

namespace tcmurbd::ceph {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

class ImageOpen : public LiveTest {
 protected:
  std::string refusal(const std::string& text) {
    const auto spec = parse_dev_config(text);
    EXPECT_TRUE(spec.has_value()) << spec.error();
    const auto image = RbdImage::open(*spec, [](OpDone) {});
    EXPECT_FALSE(image.has_value()) << "opened " << text;
    return image.has_value() ? "" : image.error();
  }

  // A conf like the cluster's with more lines at the end of [global].
  std::string conf_with(const std::string& lines) {
    std::ifstream from(conf_);
    const std::string path = testing::TempDir() + "tcmu-rbd-" + std::to_string(::getpid()) + "-" +
                             std::to_string(files_.size()) + ".conf";
    std::ofstream to(path);
    std::string line;
    while (std::getline(from, line)) {
      const bool replaced = !lines.empty() && lines.starts_with(line.substr(0, line.find(" =")));
      if (!replaced || line.empty()) to << line << '\n';
      if (line == "[global]") to << lines << '\n';
    }
    files_.push_back(path);
    return path;
  }

  void TearDown() override {
    for (const std::string& file : files_) ::unlink(file.c_str());
    LiveTest::TearDown();
  }

  std::vector<std::string> files_;
};

TEST_F(ImageOpen, WhatIsMissingIsNamed) {
  const std::string name = make_image();
  const std::string with = ";conf=" + conf_;
  EXPECT_EQ(refusal("rbd/nosuch/a" + with), "client.admin: pool 'nosuch' does not exist");
  EXPECT_EQ(refusal("rbd/rbd/none/a" + with),
            "client.admin: pool 'rbd': namespace 'none' does not exist");
  EXPECT_EQ(refusal("rbd/rbd/nosuch" + with), "client.admin: image 'rbd/nosuch' does not exist");
  EXPECT_EQ(refusal("rbd/rbd/" + name + "@s" + with),
            "client.admin: image 'rbd/" + name + "@s': snapshot 's' does not exist");
  EXPECT_EQ(refusal("rbd/rbd/a;conf=/nonexistent/ceph.conf"),
            "client.admin: /nonexistent/ceph.conf does not exist");
}

TEST_F(ImageOpen, ANamespaceIsASpaceOfItsOwn) {
  rbd_namespace_create(pool_, "space");
  const std::string name = make_image();
  EXPECT_EQ(refusal("rbd/rbd/space/" + name + ";conf=" + conf_),
            "client.admin: image 'rbd/space/" + name + "' does not exist");
  rados_ioctx_set_namespace(pool_, "space");
  int order = 22;
  ASSERT_EQ(rbd_create2(pool_, "inside", kMiB, RBD_FEATURE_LAYERING, &order), 0);
  {
    const auto target = Target::open("rbd/rbd/space/inside;conf=" + conf_);
    ASSERT_TRUE(target);
    EXPECT_EQ(target->image->info().bytes, kMiB);
    EXPECT_FALSE(target->image->info().exclusive_lock);
  }
  EXPECT_EQ(rbd_remove(pool_, "inside"), 0);
  rados_ioctx_set_namespace(pool_, "");
  rbd_namespace_remove(pool_, "space");
}

TEST_F(ImageOpen, UsersAndKeys) {
  EXPECT_THAT(refusal("rbd/rbd/a;id=nobody;conf=" + conf_),
              StartsWith("client.nobody: refused by the monitors: no such user, or its key is "
                         "wrong; keyring: /"));
  const std::string keyring = testing::TempDir() + "tcmu-rbd-wrong.keyring";
  files_.push_back(keyring);
  std::ofstream(keyring) << "[client.admin]\n key = AQC3X1Bk5B0pCRAAwQpFvQm3kR6bXzvUuV3yWg==\n";
  EXPECT_THAT(refusal("rbd/rbd/a;conf=" + conf_with("keyring = " + keyring)),
              AllOf(StartsWith("client.admin: refused by the monitors: "), HasSubstr(keyring)));
  EXPECT_EQ(refusal("rbd/rbd/a;conf=" + conf_with("keyring = /nonexistent/keyring")),
            "client.admin: no readable key; keyring: /nonexistent/keyring");
}

TEST_F(ImageOpen, WithoutAClusterItFailsInTime) {
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(refusal("rbd/rbd/a;conf=" + conf_with("mon host = v2:127.0.0.1:1")),
            "client.admin: no monitor answered within 10 s at v2:127.0.0.1:1");
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(12));
  EXPECT_EQ(refusal("rbd/rbd/a;conf=" + conf_with("mon host =")),
            "client.admin: no monitor address: mon_host is not set");
}

TEST_F(ImageOpen, AFileThatIsNoConf) {
  const std::string path = conf_with("");
  std::ofstream(path) << "[global\nfoo === \n";
  EXPECT_EQ(refusal("rbd/rbd/a;conf=" + path),
            "client.admin: " + path + " is not a Ceph configuration");
}

TEST_F(ImageOpen, JournalingIsRefusedWithTheReason) {
  const std::string name = make_image(
      {.features = RBD_FEATURE_LAYERING | RBD_FEATURE_EXCLUSIVE_LOCK | RBD_FEATURE_JOURNALING});
  EXPECT_THAT(refusal(dev_config(name)),
              StartsWith("client.admin: image 'rbd/" + name + "' has the feature journaling: "));
}

// ceph.conf is overridden; the metadata of the image or pool cannot be, so it is refused.
TEST_F(ImageOpen, ACacheSetBehindOurBackIsRefused) {
  const std::string name = make_image();
  EXPECT_TRUE(Target::open("rbd/rbd/" + name + ";conf=" + conf_with("rbd cache = true")));

  const rbd_image_t other = open_other(name);
  ASSERT_EQ(rbd_metadata_set(other, "conf_rbd_cache", "true"), 0);
  EXPECT_THAT(refusal(dev_config(name)), HasSubstr("has rbd_cache='true' in the image's metadata"));
  ASSERT_EQ(rbd_metadata_remove(other, "conf_rbd_cache"), 0);
  rbd_close(other);

  ASSERT_EQ(rbd_pool_metadata_set(pool_, "conf_rbd_disable_zero_copy_writes", "false"), 0);
  EXPECT_THAT(refusal(dev_config(name)),
              HasSubstr("has rbd_disable_zero_copy_writes='false' in the pool's metadata"));
  ASSERT_EQ(rbd_pool_metadata_remove(pool_, "conf_rbd_disable_zero_copy_writes"), 0);
  EXPECT_TRUE(Target::open(dev_config(name)));
}

TEST_F(ImageOpen, ManyInstancesHaveAddressesOfTheirOwn) {
  const std::string name = make_image();
  const auto first = Target::open(dev_config(name));
  const auto second = Target::open_unlocked(dev_config(name));
  ASSERT_TRUE(first && second);
  EXPECT_NE(first->image->address(), second->image->address());
}

// A fenced handle that its watch has not notified yet must not return an old size.
TEST_F(ImageOpen, AFencedHandleDoesNotTellAnOldSize) {
  const std::string name = make_image({.bytes = 8 * kMiB});
  const auto target = Target::open(dev_config(name));
  ASSERT_TRUE(target);
  std::string address = target->image->address();
  ASSERT_EQ(rados_blocklist_add(cluster_, address.data(), 60), 0);
  resize(name, 16 * kMiB);
  EXPECT_EQ(target->write(12 * kMiB, Bytes(4096, 1)), -ESHUTDOWN);
  EXPECT_EQ(target->image->refresh_size().error(),
            "reading its size: this client instance is blocklisted");
}

}  // namespace
}  // namespace tcmurbd::ceph
