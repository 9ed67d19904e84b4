// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <optional>

#include "rbd_handler/kernel/lock_file.h"
#include "tests/unit/kernel_tree.h"

namespace tcmurbd::kernel {
namespace {

using ::testing::HasSubstr;

TEST(LockFileTest, NamesTheProcessThatHoldsIt) {
  FakeRoot root;
  const std::string path = root.path() + "/daemon.lock";
  auto first = LockFile::acquire(path);
  ASSERT_TRUE(first.has_value()) << first.error();
  EXPECT_EQ(root.read("/daemon.lock"), std::to_string(getpid()) + "\n");
  const auto second = LockFile::acquire(path);
  ASSERT_FALSE(second.has_value());
  EXPECT_THAT(second.error(), HasSubstr(path));
  EXPECT_THAT(second.error(), HasSubstr("pid " + std::to_string(getpid())));
}

TEST(LockFileTest, EndsWithItsHolder) {
  FakeRoot root;
  const std::string path = root.path() + "/daemon.lock";
  root.write("/daemon.lock", "4194304999 is a longer text than a pid\n");
  {
    const auto first = LockFile::acquire(path);
    ASSERT_TRUE(first.has_value()) << first.error();
  }
  EXPECT_TRUE(LockFile::acquire(path).has_value());
  EXPECT_EQ(root.read("/daemon.lock"), std::to_string(getpid()) + "\n");
}

TEST(LockFileTest, SaysWhyNot) {
  FakeRoot root;
  EXPECT_THAT(LockFile::acquire(root.path() + "/no/dir").error(), HasSubstr("No such file"));
  EXPECT_THAT(LockFile::acquire(root.path()).error(), HasSubstr("Is a directory"));
}

TEST(LockFileTest, AHolderThatHasNotWrittenItsPidYet) {
  FakeRoot root;
  const std::string path = root.path() + "/daemon.lock";
  const auto first = LockFile::acquire(path);
  ASSERT_TRUE(first.has_value());
  root.write("/daemon.lock", "");
  EXPECT_THAT(LockFile::acquire(path).error(), HasSubstr("pid unknown"));
}

// A process that locks the file as tcmu-runner does, until it is destroyed.
class Runner {
 public:
  explicit Runner(const std::string& path) : pid_(fork()) {
    if (pid_ != 0) return;
    const int fd = creat(path.c_str(), S_IRUSR | S_IWUSR);
    _exit(lockf(fd, F_TLOCK, 0) == 0 && raise(SIGSTOP) == 0 ? 0 : 1);
  }
  ~Runner() {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  // Waits until it has it, or could not get it.
  bool holds_the_lock() const {
    siginfo_t how{};
    EXPECT_EQ(waitid(P_PID, static_cast<id_t>(pid_), &how, WSTOPPED | WEXITED | WNOWAIT), 0);
    return how.si_code == CLD_STOPPED;
  }
  pid_t pid() const { return pid_; }

 private:
  const pid_t pid_;
};

TEST(RunnerLockTest, NeverBesideTcmuRunner) {
  FakeRoot root;
  const std::string path = root.path() + "/tcmu.lock";
  {
    const Runner runner(path);
    ASSERT_TRUE(runner.holds_the_lock());
    EXPECT_THAT(RunnerLock::acquire(path).error(),
                HasSubstr("tcmu-runner runs (pid " + std::to_string(runner.pid()) + ")"));
  }
  const auto ours = RunnerLock::acquire(path);
  ASSERT_TRUE(ours.has_value()) << ours.error();
  EXPECT_FALSE(Runner(path).holds_the_lock());
}

TEST(RunnerLockTest, WithoutARunDirectoryThereIsNoTcmuRunner) {
  EXPECT_TRUE(RunnerLock::acquire("/no/dir/tcmu.lock").has_value());
}

}  // namespace
}  // namespace tcmurbd::kernel
