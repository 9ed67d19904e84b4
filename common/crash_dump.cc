// SPDX-License-Identifier: Apache-2.0
#include "common/crash_dump.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <ctime>

#include "common/mutex.h"

namespace tcmurbd {
namespace {

struct Slot {
  std::atomic<const void*> memory{nullptr};  // nullptr: free. The header is complete before it.
  CrashRegionHeader header{};
};

struct FatalSignal {
  int number;
  const char* name;
};
constexpr std::array<FatalSignal, 6> kFatal{{{SIGABRT, "SIGABRT"},
                                             {SIGSEGV, "SIGSEGV"},
                                             {SIGBUS, "SIGBUS"},
                                             {SIGILL, "SIGILL"},
                                             {SIGFPE, "SIGFPE"},
                                             {SIGSYS, "SIGSYS"}}};

enum class Stage : uint8_t { kNone, kWriting, kWritten };

// How long a thread that crashes too waits for the one that writes.
constexpr int kWaitSteps = 2000;
constexpr timespec kWaitStep{.tv_sec = 0, .tv_nsec = 1'000'000};
constexpr size_t kSignalStackBytes = size_t{64} * 1024;

Mutex slots_mutex;  // Of those who add regions; not for the writer.
std::array<Slot, kCrashRegionsMax> slots;
std::array<struct sigaction, kFatal.size()> actions_before;
std::atomic<int> crash_fd{-1};
std::atomic<Stage> stage{Stage::kNone};
CrashHeader file_header{};

template <size_t size>
void set_text(std::array<char, size>& field, std::string_view text) {
  field = {};
  std::copy_n(text.begin(), std::min(text.size(), size - 1), field.begin());
}

// Async-signal-safe, as are the functions of the writer below. True: all of it was written.
bool write_at(int fd, const void* from, size_t bytes, uint64_t offset) {
  const auto* next = static_cast<const char*>(from);
  while (bytes != 0) {
    const ssize_t put = pwrite(fd, next, bytes, static_cast<off_t>(offset));
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) return false;
    next += put;
    offset += static_cast<size_t>(put);
    bytes -= static_cast<size_t>(put);
  }
  return true;
}

int64_t clock_ns(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

void write_file(int fd, const char* reason) {
  uint64_t offset = sizeof(CrashHeader);
  file_header.regions = 0;
  for (const Slot& slot : slots) {
    const void* const memory = slot.memory.load(std::memory_order_acquire);
    if (memory == nullptr) continue;
    const uint64_t bytes = slot.header.bytes;
    if (!write_at(fd, &slot.header, sizeof(slot.header), offset)) continue;
    // What cannot be read stays a hole, which is read as zeroes.
    write_at(fd, memory, bytes, offset + sizeof(slot.header));
    offset += sizeof(slot.header) + bytes;
    ++file_header.regions;
  }
  file_header.wall_ns = clock_ns(CLOCK_REALTIME);
  file_header.boot_ns = clock_ns(CLOCK_BOOTTIME);
  for (size_t i = 0; i + 1 < file_header.reason.size() && reason[i] != 0; ++i)
    file_header.reason[i] = reason[i];
  [[maybe_unused]] const bool sized = ftruncate(fd, static_cast<off_t>(offset)) == 0;
  write_at(fd, &file_header, sizeof(file_header), 0);
}

void on_fatal_signal(int number, siginfo_t* info, void*) {
  const auto* const fatal = std::ranges::find(kFatal, number, &FatalSignal::number);
  write_crash_dump(fatal == kFatal.end() ? "signal" : fatal->name);
  if (fatal != kFatal.end())
    sigaction(number, &actions_before[static_cast<size_t>(fatal - kFatal.begin())], nullptr);
  // A fault comes again when this returns. What was sent is pending until then.
  if (info->si_code <= 0) raise(number);
}

}  // namespace

CrashRegion::CrashRegion(std::string_view name, std::string_view image,
                         std::span<const std::byte> memory) {
  const MutexLock lock(slots_mutex);
  const auto free =
      std::ranges::find_if(slots, [](const Slot& slot) { return slot.memory.load() == nullptr; });
  if (free == slots.end()) return;
  slot_ = static_cast<size_t>(free - slots.begin());
  set_text(free->header.name, name);
  set_text(free->header.image, image);
  free->header.bytes = memory.size();
  free->memory.store(memory.data(), std::memory_order_release);
}

CrashRegion::~CrashRegion() {
  if (slot_ != kCrashRegionsMax) slots[slot_].memory = nullptr;
}

SignalStack::SignalStack() {
  const long wanted = sysconf(_SC_SIGSTKSZ);  // Depends on the registers of the processor.
  bytes_ = std::max(kSignalStackBytes, wanted > 0 ? static_cast<size_t>(wanted) : 0);
  void* const memory =
      mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return;
  memory_ = memory;
  const stack_t stack{.ss_sp = memory_, .ss_flags = 0, .ss_size = bytes_};
  sigaltstack(&stack, nullptr);
}

SignalStack::~SignalStack() {
  if (memory_ == nullptr) return;
  const stack_t none{.ss_sp = nullptr, .ss_flags = SS_DISABLE, .ss_size = 0};
  sigaltstack(&none, nullptr);
  munmap(memory_, bytes_);
}

void arm_crash_dump(int fd, std::string_view program) {
  file_header.magic = CrashHeader::kMagic;
  set_text(file_header.program, program);
  crash_fd = fd;
  struct sigaction action{};
  action.sa_sigaction = on_fatal_signal;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigemptyset(&action.sa_mask);
  for (const FatalSignal& fatal : kFatal) sigaddset(&action.sa_mask, fatal.number);
  for (size_t i = 0; i < kFatal.size(); ++i)
    sigaction(kFatal[i].number, &action, &actions_before[i]);
}

void write_crash_dump(const char* reason) noexcept {
  const int fd = crash_fd.load();
  if (fd < 0) return;
  Stage none = Stage::kNone;
  if (stage.compare_exchange_strong(none, Stage::kWriting)) {
    write_file(fd, reason);
    stage = Stage::kWritten;
    return;
  }
  for (int i = 0; i < kWaitSteps && stage.load() != Stage::kWritten; ++i)
    nanosleep(&kWaitStep, nullptr);
}

}  // namespace tcmurbd
