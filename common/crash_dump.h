// SPDX-License-Identifier: Apache-2.0
// What a process leaves behind when a bug ends it: the memory of some regions, as it is, in a file
// that was opened before. CHECK and fatal signals (SIGABRT, SIGSEGV, SIGBUS, SIGILL, SIGFPE,
// SIGSYS) write it; then the process dies of the signal as without it, so its exit code and core
// remain.
//
// The heap may be damaged and any thread in the middle of anything. So the writer follows no
// pointer but hands it to write(2), which fails where memory is not mapped; it allocates, locks and
// formats nothing. Other threads continue meanwhile. A disk that hangs delays the death; a file
// system in memory, such as /run, does not.
//
// Not mapped files, which would survive SIGKILL too: the write-back of a disk stops the thread that
// writes to a page of it, and a full file system ends the process with SIGBUS.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace tcmurbd {

// The file: this, then for each region a CrashRegionHeader and its bytes. In the byte order of the
// machine; the text fields end with a zero.
struct CrashHeader {
  static constexpr std::array<char, 8> kMagic{'t', 'c', 'm', 'u', 'r', 'b', 'd', '\n'};
  std::array<char, 8> magic;
  uint32_t regions;
  uint32_t reserved;
  int64_t wall_ns;  // CLOCK_REALTIME and
  int64_t boot_ns;  // CLOCK_BOOTTIME, as in boot_clock.h, at the crash.
  std::array<char, 64> program;
  std::array<char, 256> reason;
};
struct CrashRegionHeader {
  std::array<char, 128> name;
  std::array<char, 256> image;
  uint64_t bytes;
};

// A region of a LUN, from construction to destruction. Any thread. Beyond kCrashRegionsMax, it is
// not written.
inline constexpr size_t kCrashRegionsMax = 1024;
class CrashRegion {
 public:
  // `memory` must outlive it. Texts that are too long are cut.
  CrashRegion(std::string_view name, std::string_view image, std::span<const std::byte> memory);
  ~CrashRegion();
  CrashRegion(const CrashRegion&) = delete;
  CrashRegion& operator=(const CrashRegion&) = delete;

 private:
  size_t slot_ = kCrashRegionsMax;
};

// A stack for the signal handler of this thread, which may have used up its own. Without one, the
// handler runs on the stack of the thread.
class SignalStack {
 public:
  SignalStack();
  ~SignalStack();
  SignalStack(const SignalStack&) = delete;
  SignalStack& operator=(const SignalStack&) = delete;

 private:
  void* memory_ = nullptr;
  size_t bytes_ = 0;
};

// From now on a crash is written to `fd`, an empty file, which stays open until the process ends.
// Once per process; `program` is the version.
void arm_crash_dump(int fd, std::string_view program);
// Writes it now, unless that was done. Any thread, also in a signal handler. Without
// arm_crash_dump(): nothing.
void write_crash_dump(const char* reason) noexcept;

}  // namespace tcmurbd
