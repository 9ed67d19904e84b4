// SPDX-License-Identifier: Apache-2.0
// A process that dies of a bug leaves its flight recorders, and another one reads them.
#include "common/crash_dump.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <optional>
#include <random>
#include <string>
#include <thread>

#include "common/check.h"
#include "rbd_handler/trace/crash_trace.h"
#include "tests/unit/device_fixture.h"

namespace tcmurbd::testing {
namespace {

using std::chrono::milliseconds;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::SizeIs;

// A sanitizer handles some of these signals itself, after us, and exits.
bool died_of(int status, int signal) {
#ifdef __SANITIZE_ADDRESS__
  if (WIFEXITED(status)) return WEXITSTATUS(status) != 0;
#endif
  return WIFSIGNALED(status) && WTERMSIG(status) == signal;
}
auto dies_of(int signal) {
  return [signal](int status) { return died_of(status, signal); };
}

std::span<const std::byte> memory_of(const DeviceFixture& lun) {
  return std::as_bytes(std::span(&lun.device.flight_log(), 1));
}

class CrashDumpTest : public ::testing::Test {
 protected:
  CrashDumpTest() {
    std::string name = std::filesystem::temp_directory_path() / "crash-dump-XXXXXX";
    fd_ = UniqueFd(mkostemp(name.data(), O_CLOEXEC));
    path_ = name;
    // A clock that counts from the boot, as the daemon's.
    lun_.now = TimePoint(milliseconds(1000));
    lun_.write(8, Bytes(512, 1));
  }
  ~CrashDumpTest() override { std::filesystem::remove(path_); }

  std::string bytes() const {
    std::ifstream file(path_, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  CrashTrace trace() const {
    auto read = read_crash(bytes());
    EXPECT_TRUE(read.has_value()) << read.error();
    return read.value_or(CrashTrace{});
  }
  void expect_the_write(const LunTrace& lun) const {
    EXPECT_EQ(lun.label.name, "user_0/disk1");
    EXPECT_EQ(lun.label.image, "rbd/vm");
    const auto command = std::ranges::find(lun.stories, "WRITE(10)", &FlightStory::name);
    ASSERT_NE(command, lun.stories.end());
    EXPECT_EQ(command->range, (ByteRange{4096, 512}));
    EXPECT_EQ(command->steps.back().text, "in-librbd");
  }

  DeviceFixture lun_;
  std::string path_;
  UniqueFd fd_;
};

TEST_F(CrashDumpTest, OfAFailedCheck) {
  const CrashRegion region("user_0/disk1", "rbd/vm", memory_of(lun_));
  const auto before = std::chrono::system_clock::now();
  EXPECT_EXIT(
      {
        arm_crash_dump(fd_.get(), "tcmu-rbd 1.2.3");
        CHECK(lun_.device.idle());
      },
      dies_of(SIGABRT), "CHECK failed: lun_.device.idle()");
  const CrashTrace crash = trace();
  EXPECT_THAT(crash.reason, HasSubstr("crash_dump_test.cc:"));
  EXPECT_THAT(crash.reason, HasSubstr("CHECK failed: lun_.device.idle()"));
  EXPECT_EQ(crash.program, "tcmu-rbd 1.2.3");
  EXPECT_GE(crash.wall, before);
  ASSERT_THAT(crash.luns, SizeIs(1));
  expect_the_write(crash.luns[0]);
  const auto document = nlohmann::json::parse(crash_json(crash));
  EXPECT_EQ(document.at("crash").at("program"), "tcmu-rbd 1.2.3");
  EXPECT_EQ(document.at("devices").at(0).at("name"), "user_0/disk1");
}

// As by a failed assertion of librbd, or by systemd's watchdog.
TEST_F(CrashDumpTest, OfAbort) {
  const CrashRegion region("user_0/disk1", "rbd/vm", memory_of(lun_));
  EXPECT_EXIT(
      {
        arm_crash_dump(fd_.get(), "");
        std::abort();
      },
      dies_of(SIGABRT), "");
  EXPECT_EQ(trace().reason, "SIGABRT");
  expect_the_write(trace().luns.at(0));
}

TEST_F(CrashDumpTest, OfAFaultOnAnotherThread) {
  const CrashRegion region("user_0/disk1", "rbd/vm", memory_of(lun_));
  EXPECT_EXIT(
      {
        arm_crash_dump(fd_.get(), "");
        std::thread([] {
          void* const page = mmap(nullptr, 1, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
          *static_cast<volatile char*>(page) = 1;
        }).join();
      },
      dies_of(SIGSEGV), "");
  EXPECT_EQ(trace().reason, "SIGSEGV");
  expect_the_write(trace().luns.at(0));
}

TEST_F(CrashDumpTest, OfASignalThatWasSent) {
  EXPECT_EXIT(
      {
        arm_crash_dump(fd_.get(), "");
        kill(getpid(), SIGBUS);
      },
      dies_of(SIGBUS), "");
  EXPECT_EQ(trace().reason, "SIGBUS");
}

// NOLINTNEXTLINE(misc-no-recursion): on purpose.
size_t use_up_the_stack(size_t depth) {
  std::array<volatile char, 4096> frame{};
  frame[depth % frame.size()] = 1;
  if (depth == SIZE_MAX) return 0;
  return use_up_the_stack(depth + 1) + static_cast<size_t>(frame[0]);
}

TEST_F(CrashDumpTest, OfAnOverflowOfTheStack) {
  const CrashRegion region("user_0/disk1", "rbd/vm", memory_of(lun_));
  EXPECT_EXIT(
      {
        arm_crash_dump(fd_.get(), "");
        std::thread([] {
          const SignalStack stack;
          std::exit(static_cast<int>(use_up_the_stack(0)));
        }).join();
      },
      dies_of(SIGSEGV), "");
  EXPECT_EQ(trace().reason, "SIGSEGV");
  expect_the_write(trace().luns.at(0));
}

// What is damaged is left out; the rest is there.
TEST_F(CrashDumpTest, WithMemoryThatIsGone) {
  void* const gone =
      mmap(nullptr, sizeof(FlightLog), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(gone, MAP_FAILED);
  const CrashRegion first("user_0/gone", "rbd/gone",
                          {static_cast<const std::byte*>(gone), sizeof(FlightLog)});
  const CrashRegion second("user_0/disk1", "rbd/vm", memory_of(lun_));
  EXPECT_EXIT(
      {
        arm_crash_dump(fd_.get(), "");
        munmap(gone, sizeof(FlightLog));
        std::abort();
      },
      dies_of(SIGABRT), "");
  munmap(gone, sizeof(FlightLog));
  const CrashTrace crash = trace();
  ASSERT_THAT(crash.luns, SizeIs(2));
  EXPECT_EQ(crash.luns[0].label.name, "user_0/gone");
  EXPECT_EQ(crash.luns[0].kept, 0U);
  expect_the_write(crash.luns[1]);
}

TEST_F(CrashDumpTest, OfTheRegionsThatThereAre) {
  const auto crash = [this] {
    arm_crash_dump(fd_.get(), "");
    std::abort();
  };
  std::optional<CrashRegion> first(std::in_place, "a", "", memory_of(lun_));
  const CrashRegion second("b", std::string(1000, 'x'), memory_of(lun_));
  first.reset();
  EXPECT_EXIT(crash(), dies_of(SIGABRT), "");
  const auto luns = trace().luns;
  ASSERT_THAT(luns, SizeIs(1));
  EXPECT_EQ(luns[0].label.name, "b");
  EXPECT_EQ(luns[0].label.image, std::string(255, 'x'));
}

TEST_F(CrashDumpTest, UnarmedNothingIsWritten) {
  EXPECT_EXIT(CHECK(lun_.device.idle()), dies_of(SIGABRT), "CHECK failed");
  EXPECT_EQ(bytes(), "");
  EXPECT_FALSE(is_crash_file(bytes()));
  EXPECT_FALSE(read_crash(bytes()).has_value());
}

// Of another version, cut off, or damaged: an error or less, never a crash of the reader.
TEST_F(CrashDumpTest, TheReaderTakesAnyBytes) {
  const CrashRegion region("user_0/disk1", "rbd/vm", memory_of(lun_));
  EXPECT_EXIT(
      {
        arm_crash_dump(fd_.get(), "");
        std::abort();
      },
      dies_of(SIGABRT), "");
  const std::string good = bytes();
  std::minstd_rand random(20261127);
  for (int round = 0; round < 300; ++round) {
    std::string bad = good;
    for (int i = 0; i < 64; ++i) {
      // Most of the file is unused events.
      const size_t most = i % 2 == 0 ? 1024 : bad.size();
      bad[random() % most] = static_cast<char>(random());
    }
    bad.replace(0, CrashHeader::kMagic.size(), CrashHeader::kMagic.data(),
                CrashHeader::kMagic.size());
    if (round % 4 == 0) bad.resize(random() % bad.size());
    const auto crash = read_crash(bad);
    EXPECT_NE(crash ? crash_json(*crash) : crash.error(), "");
  }
  std::string many = good;
  many[CrashHeader::kMagic.size()] = 9;
  EXPECT_EQ(read_crash(many).error(), "the crash file is incomplete");
}

}  // namespace
}  // namespace tcmurbd::testing
