// SPDX-License-Identifier: Apache-2.0
// Limits as the kernel shows them, each of them the one that is reached first.
#include "rbd_handler/ceph/headroom.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <sys/resource.h>

#include "tests/unit/kernel_tree.h"

namespace tcmurbd::ceph {
namespace {

using ::testing::HasSubstr;

const std::string kGroup = "/sys/fs/cgroup/system.slice/tcmu-rbd.service";

class HeadroomTest : public ::testing::Test {
 protected:
  HeadroomTest() {
    ours({.threads = 10, .descriptors = 20, .bytes = 40 * kMiB});
    limits("unlimited", "1048576");
    root_.write("/proc/loadavg", "0.10 0.20 0.30 2/500 12345\n");
    root_.write("/proc/sys/kernel/threads-max", "100000\n");
    root_.write("/proc/sys/kernel/pid_max", "4194304\n");
    root_.write("/proc/meminfo", "MemTotal:  16000000 kB\nMemAvailable:  8000000 kB\n");
    root_.write("/proc/self/cgroup", "0::/system.slice/tcmu-rbd.service\n");
    root_.write(kGroup + "/pids.max", "max\n");
    root_.write(kGroup + "/pids.current", "10\n");
    root_.write(kGroup + "/memory.max", "max\n");
  }
  void ours(const Amounts& amounts, int user = 0, const char* capabilities = "0000000000000000") {
    root_.write("/proc/self/status",
                fmt::format("Name:\tx\nUid:\t{0}\t{0}\t{0}\t{0}\nVmRSS:\t{1} kB\nThreads:\t{2}\n"
                            "CapEff:\t{3}\n",
                            user, amounts.bytes / kKiB, amounts.threads, capabilities));
    root_.remove("/proc/self/fd");
    for (uint64_t i = 0; i < amounts.descriptors; ++i)
      root_.write(fmt::format("/proc/self/fd/{}", i), "");
  }
  void limits(const std::string& processes, const std::string& files) {
    root_.write("/proc/self/limits", fmt::format("Limit          Soft Limit   Hard Limit  Units\n"
                                                 "Max processes  {0}  {0}  processes\n"
                                                 "Max open files {1}  {1}  files\n",
                                                 processes, files));
  }
  std::string refusal(size_t instances = 1) {
    Headroom headroom(root_.path());
    const auto room = headroom.check(instances);
    return room ? "" : room.error();
  }

  kernel::FakeRoot root_;
};

TEST_F(HeadroomTest, ThereIsRoom) { EXPECT_EQ(refusal(256), ""); }

TEST_F(HeadroomTest, NoLimitsAtAllAreNoLimits) {
  const kernel::FakeRoot empty;
  Headroom headroom(empty.path());
  EXPECT_TRUE(headroom.check(kInstancesInAllMax));
  EXPECT_FALSE(headroom.check(kInstancesInAllMax + 1));
}

TEST_F(HeadroomTest, Descriptors) {
  limits("unlimited", std::to_string(20 + kPerInstance.descriptors + kSpare.descriptors));
  EXPECT_EQ(refusal(), "");
  limits("unlimited", std::to_string(20 + kPerInstance.descriptors + kSpare.descriptors - 1));
  EXPECT_THAT(refusal(), HasSubstr("87 descriptors are left of 107, 88 are needed; raise "
                                   "RLIMIT_NOFILE (LimitNOFILE)"));
}

TEST_F(HeadroomTest, ThreadsOfTheMachine) {
  root_.write("/proc/sys/kernel/threads-max", "530\n");
  EXPECT_THAT(refusal(), HasSubstr("30 threads are left of 530"));
  EXPECT_THAT(refusal(), HasSubstr("kernel.threads-max"));
  root_.write("/proc/sys/kernel/threads-max", "540\n");
  EXPECT_EQ(refusal(), "");
  root_.write("/proc/sys/kernel/pid_max", "502\n");
  EXPECT_THAT(refusal(), HasSubstr("kernel.pid_max"));
}

TEST_F(HeadroomTest, EachCgroupUpToTheRoot) {
  root_.write(kGroup + "/pids.max", "45\n");
  EXPECT_THAT(refusal(), HasSubstr("35 threads are left of 45"));
  EXPECT_THAT(refusal(), HasSubstr("/system.slice/tcmu-rbd.service (TasksMax)"));
  root_.write(kGroup + "/pids.max", "max\n");
  root_.write("/sys/fs/cgroup/system.slice/pids.max", "1000\n");
  root_.write("/sys/fs/cgroup/system.slice/pids.current", "990\n");
  EXPECT_THAT(refusal(), HasSubstr("the cgroup /system.slice "));
}

TEST_F(HeadroomTest, CgroupsOfTheFirstVersion) {
  root_.write("/proc/self/cgroup", "5:cpu,cpuacct:/a\n4:pids:/b\n2:memory:/c\n0::/b\n");
  root_.write("/sys/fs/cgroup/pids/b/pids.max", "12\n");
  root_.write("/sys/fs/cgroup/pids/b/pids.current", "9\n");
  EXPECT_THAT(refusal(), HasSubstr("3 threads are left of 12"));
  root_.remove("/sys/fs/cgroup/pids/b");
  root_.write("/sys/fs/cgroup/memory/c/memory.limit_in_bytes", "1000000\n");
  root_.write("/sys/fs/cgroup/memory/c/memory.usage_in_bytes", "700000\n");
  root_.write("/sys/fs/cgroup/memory/c/memory.stat", "cache 1\ntotal_inactive_file 200000\n");
  EXPECT_THAT(refusal(), HasSubstr("500000 bytes are left of 1000000"));
}

TEST_F(HeadroomTest, Memory) {
  root_.write(kGroup + "/memory.max", std::to_string(200 * kMiB));
  root_.write(kGroup + "/memory.current", std::to_string(180 * kMiB));
  EXPECT_THAT(refusal(), HasSubstr("MemoryMax"));
  root_.write(kGroup + "/memory.stat", fmt::format("anon 5\ninactive_file {}\n", 100 * kMiB));
  EXPECT_EQ(refusal(), "") << "page cache is given back";
  root_.write("/proc/meminfo", "MemTotal:  16000000 kB\nMemAvailable:  50000 kB\n");
  EXPECT_THAT(refusal(), HasSubstr("the machine's memory"));
}

TEST_F(HeadroomTest, ProcessesOfAUserWhoIsNotExempt) {
  limits("60", "1048576");
  EXPECT_EQ(refusal(), "") << "root";
  ours({.threads = 10, .descriptors = 20, .bytes = kMiB}, 7);
  root_.write("/proc/100/status", "Uid:\t7\t7\t7\t7\nThreads:\t15\n");
  root_.write("/proc/101/status", "Uid:\t8\t8\t8\t8\nThreads:\t100\n");
  root_.write("/proc/102/status", "Uid:\t7\t7\t7\t7\nThreads:\t10\n");
  EXPECT_THAT(refusal(), HasSubstr("35 threads are left of 60"));
  ours({.threads = 10, .descriptors = 20, .bytes = kMiB}, 7, "0000000001000000");
  EXPECT_EQ(refusal(), "") << "CAP_SYS_RESOURCE";
}

// Two concurrent opens: the first has not allocated its resources yet.
TEST_F(HeadroomTest, TheLastRoomIsTakenOnce) {
  limits("unlimited", std::to_string(20 + kPerInstance.descriptors + kSpare.descriptors));
  Headroom headroom(root_.path());
  {
    const auto first = headroom.take();
    ASSERT_TRUE(first);
    EXPECT_FALSE(headroom.take());
    // It has taken it: it counts once.
    ours({.threads = 26, .descriptors = 20 + kPerInstance.descriptors, .bytes = 56 * kMiB});
    EXPECT_FALSE(headroom.take());
  }
  ours({.threads = 10, .descriptors = 20, .bytes = 40 * kMiB});
  EXPECT_TRUE(headroom.take());
}

TEST_F(HeadroomTest, WithoutADescriptorToLookWithThereIsNone) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "UBSan looks at objects through a pipe, which needs descriptors";
#endif
  Headroom headroom(root_.path());
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  rlimit none = before;
  none.rlim_cur = 0;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
  const auto room = headroom.check(1);
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  ASSERT_FALSE(room);
  EXPECT_THAT(room.error(), HasSubstr("RLIMIT_NOFILE"));
}

TEST_F(HeadroomTest, ThisMachineHasRoom) {
  const auto room = Headroom::of_process().check(1);
  EXPECT_TRUE(room) << room.error();
}

}  // namespace
}  // namespace tcmurbd::ceph
