// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

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

}  // namespace
}  // namespace tcmurbd::kernel
