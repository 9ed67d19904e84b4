// SPDX-License-Identifier: Apache-2.0
// Loaded into the user-mode kernel (LD_PRELOAD) on processors with AMX. Linux takes a process's
// extended registers only as the processor's whole XSAVE area; user-mode Linux 6.1 has room for
// 2696 bytes (up to AVX-512 and PKRU), AMX's tiles make it 11008, and so each of its
// PTRACE_SETREGSET fails and it dies with its first process. What it leaves out is given here as
// "in its initial state", which is right: no guest process may use the tiles, as none can ask for
// them.
#include <dlfcn.h>
#include <elf.h>
#include <sys/ptrace.h>
#include <sys/uio.h>

#include <cstdarg>
#include <cstdint>
#include <cstring>

namespace {

constexpr size_t kAreaMax = 32768;
constexpr size_t kBitmapOffset = 512;  // XSTATE_BV, after the FXSAVE part
constexpr uint64_t kTiles = (1U << 17) | (1U << 18);

using Ptrace = long (*)(int, int, void*, void*);

Ptrace next_ptrace() {
  static const auto next = reinterpret_cast<Ptrace>(dlsym(RTLD_NEXT, "ptrace"));
  return next;
}

size_t area_size(int pid) {
  static size_t size = 0;
  if (size == 0) {
    alignas(64) static uint8_t area[kAreaMax];
    iovec whole{area, sizeof(area)};
    if (next_ptrace()(PTRACE_GETREGSET, pid, reinterpret_cast<void*>(NT_X86_XSTATE), &whole) == 0) {
      size = whole.iov_len;
    }
  }
  return size;
}

}  // namespace

extern "C" long ptrace(__ptrace_request request, ...) noexcept {
  va_list arguments;
  va_start(arguments, request);
  const int pid = va_arg(arguments, int);
  void* const address = va_arg(arguments, void*);
  void* const data = va_arg(arguments, void*);
  va_end(arguments);
  if (request != PTRACE_SETREGSET || reinterpret_cast<uintptr_t>(address) != NT_X86_XSTATE) {
    return next_ptrace()(request, pid, address, data);
  }
  const auto* given = static_cast<const iovec*>(data);
  const size_t size = area_size(pid);
  if (given->iov_len < kBitmapOffset + sizeof(uint64_t) || given->iov_len >= size) {
    return next_ptrace()(request, pid, address, data);
  }
  alignas(64) static uint8_t area[kAreaMax];  // The kernel has one thread: it is built without SMP.
  std::memcpy(area, given->iov_base, given->iov_len);
  uint64_t bitmap;
  std::memcpy(&bitmap, area + kBitmapOffset, sizeof(bitmap));
  bitmap &= ~kTiles;
  std::memcpy(area + kBitmapOffset, &bitmap, sizeof(bitmap));
  iovec whole{area, size};
  return next_ptrace()(request, pid, address, &whole);
}
