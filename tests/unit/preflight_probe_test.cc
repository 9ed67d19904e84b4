// SPDX-License-Identifier: Apache-2.0
// The probes of the host, in a tree of files as the kernel shows them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "rbd_handler/ceph/headroom.h"
#include "rbd_handler/ceph/survey.h"
#include "rbd_handler/preflight/probes.h"
#include "tests/unit/kernel_tree.h"

namespace tcmurbd::preflight {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

constexpr const char* kDevice = "/sys/kernel/config/target/core/user_0/disk";
constexpr const char* kGroup = "/sys/kernel/config/target/iscsi/iqn.x/tpgt_1";

class ProbeTest : public testing::Test {
 protected:
  void link(const std::string& file, const std::string& target) {
    const fs::path path(root_.path() + file);
    fs::create_directories(path.parent_path());
    fs::create_symlink(target, path);
  }
  void process(int pid, const std::string& name, const std::string& program) {
    const std::string folder = "/proc/" + std::to_string(pid);
    root_.write(folder + "/comm", name + "\n");
    link(folder + "/exe", program);
  }

  kernel::FakeRoot root_;
};

TEST_F(ProbeTest, Kernel) {
  EXPECT_EQ(probe_kernel(root_.path()).module, ModuleState::kAbsent);
  root_.write("/proc/sys/kernel/osrelease", "6.1.0-x\n");
  root_.write("/proc/mounts", "proc /proc proc rw 0 0\n");
  root_.write("/lib/modules/6.1.0-x/modules.dep",
              "kernel/a.ko: kernel/b.ko\nkernel/drivers/target/target_core_user.ko: x.ko\n");
  KernelFacts facts = probe_kernel(root_.path());
  EXPECT_EQ(facts.release, "6.1.0-x");
  EXPECT_EQ(facts.module, ModuleState::kLoadable);
  EXPECT_FALSE(facts.configfs);
  root_.write("/sys/module/target_core_user/parameters/block_netlink", "0\n");
  root_.write("/proc/mounts", "configfs /sys/kernel/config configfs rw,relatime 0 0\n");
  facts = probe_kernel(root_.path());
  EXPECT_EQ(facts.module, ModuleState::kLoaded);
  EXPECT_TRUE(facts.configfs);
}

TEST_F(ProbeTest, TcmuRunnerIsKnownByItsProgram) {
  EXPECT_THAT(probe_other_daemons(root_.path()), IsEmpty());
  process(10, "bash", "/usr/bin/bash");
  process(20, "tcmu-runner", "/usr/bin/tcmu-rbd");
  process(21, "tcmu-runner", "/usr/bin/tcmu-rbd (deleted)");
  process(30, "tcmu-runner", "/usr/bin/tcmu-runner (deleted)");
  root_.write("/proc/sys/comm", "tcmu-runner\n");
  const auto found = probe_other_daemons(root_.path());
  ASSERT_THAT(found, SizeIs(1));
  EXPECT_EQ(found[0].pid, 30);
}

TEST_F(ProbeTest, Device) {
  root_.write("/sys/class/uio/uio0/name", "tcm-user/0/disk/rbd/pool/image;id=x\n");
  root_.write("/sys/class/uio/uio1/name", "tcm-user/0/odd/rbd/pool\n");
  root_.write("/sys/class/uio/uio2/name", "some other device\n");
  const std::string device = kDevice;
  root_.write(device + "/attrib/tmr_notification", "1\n");
  root_.write(device + "/attrib/hw_block_size", "512\n");
  root_.write(device + "/attrib/hw_max_sectors", "many\n");
  root_.write(device + "/attrib/max_data_area_mb", "8\n");
  root_.write(device + "/action/free_kept_buf", "");
  root_.write(device + "/pr/res_holder", "SPC-3 Reservation: iSCSI Initiator: iqn.host\n");
  root_.write(
      device + "/pr/res_pr_registered_i_pts",
      "SPC-3 PR Registrations:\niSCSI Node: iqn.host Key: 0x1\niSCSI Node: iqn.b Key: 0x2\n");
  const std::string group = kGroup;
  root_.write(group + "/attrib/default_cmdsn_depth", "64\n");
  root_.write(group + "/acls/iqn.host/cmdsn_depth", "256\n");
  link(group + "/lun/lun_0/disk", "../../../../../../target/core/user_0/disk");
  root_.write("/sys/kernel/config/target/iscsi/iqn.y/tpgt_1/attrib/default_cmdsn_depth", "512\n");

  const auto found = probe_devices(root_.path()).value();
  ASSERT_THAT(found, SizeIs(2));
  const DeviceFacts& disk = found[0];
  EXPECT_EQ(disk.name, "user_0/disk");
  EXPECT_EQ(disk.subtype, "rbd");
  EXPECT_EQ(disk.dev_config, "rbd/pool/image;id=x");
  EXPECT_EQ(disk.spec_error, "");
  EXPECT_EQ(disk.tmr_notification, 1);
  EXPECT_TRUE(disk.keep_buffers);
  EXPECT_EQ(disk.block_bytes, 512);
  EXPECT_EQ(disk.max_blocks, std::nullopt);
  EXPECT_EQ(disk.data_area_mb, 8);
  EXPECT_EQ(disk.depth, 256);
  EXPECT_THAT(disk.reservation, HasSubstr("iqn.host"));
  EXPECT_EQ(disk.registrations, 2u);
  const DeviceFacts& odd = found[1];
  EXPECT_THAT(odd.spec_error, HasSubstr("no image"));
  EXPECT_EQ(odd.tmr_notification, std::nullopt);
  EXPECT_FALSE(odd.keep_buffers);
  EXPECT_EQ(odd.depth, std::nullopt);
}

TEST_F(ProbeTest, NoReservation) {
  root_.write("/sys/class/uio/uio0/name", "tcm-user/0/disk/rbd/pool/image\n");
  root_.write(std::string(kDevice) + "/pr/res_holder", "No SPC-3 Reservation holder\n");
  root_.write(std::string(kDevice) + "/pr/res_pr_registered_i_pts",
              "SPC-3 PR Registrations:\nNone\n");
  const auto found = probe_devices(root_.path()).value();
  ASSERT_THAT(found, SizeIs(1));
  EXPECT_EQ(found[0].reservation, "");
  EXPECT_EQ(found[0].registrations, 0u);
}

TEST_F(ProbeTest, LimitsOfAnotherProcess) {
  root_.write("/proc/77/status", "Uid:\t0\t0\t0\t0\nThreads:\t10\nVmRSS:\t1000 kB\n");
  root_.write("/proc/77/limits", "Max open files            100                100        files\n");
  root_.write("/proc/self/limits", "Max open files            9999        9999        files\n");
  EXPECT_TRUE(ceph::Headroom(root_.path()).check(1).has_value());
  const auto room = ceph::Headroom(root_.path(), "77").check(3);
  ASSERT_FALSE(room.has_value());
  EXPECT_THAT(room.error(), HasSubstr("descriptors are left of 100"));
}

TEST(Clusters, AnUnreachableOneIsAnErrorOfItsUserAndItsImages) {
  const Wanted wanted{
      .spec = {.pool = "p", .image = "i", .conf_path = "/nonexistent/ceph.conf", .user = "x"},
      .device = "user_0/disk"};
  const ClusterFacts facts = probe_clusters({wanted, wanted}, std::chrono::seconds(60));
  ASSERT_THAT(facts.clients, SizeIs(1));
  EXPECT_EQ(facts.clients[0].name, "client.x");
  EXPECT_THAT(facts.clients[0].error, HasSubstr("/nonexistent/ceph.conf"));
  EXPECT_FALSE(facts.clients[0].assumed);
  ASSERT_THAT(facts.images, SizeIs(2));
  EXPECT_EQ(facts.images[1].error, "its client cannot connect");
  EXPECT_EQ(facts.services, std::nullopt);
}

TEST(ServiceMap, OursAreKnownByTheirMetadata) {
  using ceph::ServiceDaemon;
  const auto parsed = ceph::parse_service_map(R"({"services": {"rgw": {}, "tcmu-runner": {"daemons":
    {"summary": "", "gw0:rbd/a": {"metadata": {"handler": "tcmu-rbd"}},
     "gw1:rbd/a": {"metadata": {"daemon_type": "portal"}}, "gw2:rbd/a": {}}}}})");
  ASSERT_TRUE(parsed.has_value()) << parsed.error();
  EXPECT_THAT(*parsed,
              ElementsAre(ServiceDaemon{"gw0:rbd/a", true}, ServiceDaemon{"gw1:rbd/a", false},
                          ServiceDaemon{"gw2:rbd/a", false}));
  EXPECT_THAT(*ceph::parse_service_map(R"({"services": {}})"), IsEmpty());
  for (const char* bad : {"", "[]", "{}", R"({"services": 3})"})
    EXPECT_FALSE(ceph::parse_service_map(bad).has_value()) << bad;
  for (const char* odd :
       {R"({"services": {"tcmu-runner": 1}})", R"({"services": {"tcmu-runner": {"daemons": [1]}}})",
        R"({"services": {"tcmu-runner": {"daemons": {"a": 1}}}})"})
    EXPECT_TRUE(ceph::parse_service_map(odd).has_value()) << odd;
  EXPECT_TRUE(
      ceph::parse_service_map(
          R"({"services": {"tcmu-runner": {"daemons": {"a": {"metadata": {"handler": 1}}}}}})")
          .has_value());
}

}  // namespace
}  // namespace tcmurbd::preflight
