// SPDX-License-Identifier: Apache-2.0
// Preloaded into an unmodified daemon: makes it find a kernel with TCMU. Only calls of its start
// are replaced; read, write, poll and epoll on the UIO descriptor are its own system calls.
//
//   open of /dev/uioN with a ring         a copy of the inherited end of the socket pair
//   mmap of that descriptor               the inherited memory
//   open of another /dev/uioN             a socket to the harness, which never rings
//   mmap of that descriptor               memory with an empty ring
//   open of .../action/NAME for writing   a socket to the harness
//   open of other configfs files          with O_TRUNC: a write replaces the value
//   socket(AF_NETLINK, NETLINK_GENERIC)   a socket to the harness
//   libkmod                               the module is built in
//
// TCMU_SHIM is "control:bytes:rings:uio:memory:uio:memory...": the control socket, the size of a
// device's memory, how many devices from the first one on have a ring, and their descriptors.
#include <dlfcn.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace {

constexpr size_t kDescriptors = 65536;
std::array<std::atomic<bool>, kDescriptors> netlink;
std::array<std::atomic<int>, kDescriptors> uio;  // N + 1 of /dev/uioN; 0: none.

struct Ring {
  int uio = -1;
  int memory = -1;
};

struct Shim {
  int control = -1;
  size_t bytes = 0;
  std::vector<Ring> rings;  // By device.

  Shim() {
    const char* const text = std::getenv("TCMU_SHIM");
    if (text == nullptr) return;
    std::istringstream from(text);
    char colon = 0;
    size_t count = 0;
    from >> control >> colon >> bytes >> colon >> count;
    for (Ring ring; rings.size() < count && from >> colon >> ring.uio >> colon >> ring.memory;)
      rings.push_back(ring);
    if (rings.size() != count) control = -1;
  }
};

const Shim& shim() {
  static const Shim it;
  return it;
}

template <typename Fn>
Fn* next(const char* name) {
  return reinterpret_cast<Fn*>(dlsym(RTLD_NEXT, name));
}

// `fd`: passed with the message; -1: none.
void tell(std::string_view what, int fd = -1) {
  static auto* const real = next<ssize_t(int, const msghdr*, int)>("sendmsg");
  std::string text(what);
  iovec part{text.data(), text.size()};
  std::array<char, CMSG_SPACE(sizeof(int))> extra{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (fd >= 0) {
    message.msg_control = extra.data();
    message.msg_controllen = extra.size();
    cmsghdr* const header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof fd);
    std::memcpy(CMSG_DATA(header), &fd, sizeof fd);
  }
  real(shim().control, &message, MSG_NOSIGNAL);
}

// A socket whose other end the harness gets.
int channel(std::string_view what, int flags) {
  std::array<int, 2> ends{};
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | flags, 0, ends.data()) != 0) return -1;
  tell(what, ends[1]);
  close(ends[1]);
  return ends[0];
}

constexpr int kNotOurs = -2;

bool in_table(int fd) { return fd >= 0 && static_cast<size_t>(fd) < kDescriptors; }

int open_ring(const Ring& ring, int flags) {
  const int fd = fcntl(ring.uio, (flags & O_CLOEXEC) != 0 ? F_DUPFD_CLOEXEC : F_DUPFD, 3);
  if (fd >= 0) fcntl(fd, F_SETFL, flags & O_NONBLOCK);
  return fd;
}

int open_uio(size_t number, int flags) {
  const int kept = flags & (O_CLOEXEC | O_NONBLOCK);  // SOCK_* are the same bits.
  const auto& rings = shim().rings;
  const int fd = number < rings.size() ? open_ring(rings[number], flags)
                                       : channel("UIO " + std::to_string(number), kept);
  if (in_table(fd)) uio[static_cast<size_t>(fd)] = static_cast<int>(number) + 1;
  return fd;
}

// As the kernel prepares it: the mailbox of target_core_user.h.
int empty_ring() {
  struct Mailbox {
    uint16_t version = 2;
    uint16_t flags = 0xf;
    uint32_t ring_offset = 128;
    uint32_t ring_bytes = (8U << 20U) - 128;
  } const mailbox;
  const int memory = memfd_create("idle", MFD_CLOEXEC);
  if (memory >= 0 && (ftruncate(memory, static_cast<off_t>(shim().bytes)) != 0 ||
                      pwrite(memory, &mailbox, sizeof mailbox, 0) != sizeof mailbox)) {
    close(memory);
    return -1;
  }
  return memory;
}

// ".../user_0/diskN/action/block_dev" -> "ACTION block_dev N".
std::string action_of(std::string_view path, size_t action) {
  const std::string_view device = path.substr(0, action);
  const std::string number(device.substr(device.find_last_not_of("0123456789") + 1));
  return "ACTION " + std::string(path.substr(action + std::strlen("/action/"))) + " " + number;
}

int open_ours(const char* path, int& flags) {
  if (path == nullptr || shim().control < 0) return kNotOurs;
  const std::string_view name = path;
  if (name.starts_with("/dev/uio"))
    return open_uio(static_cast<size_t>(std::atoi(path + 8)), flags);
  if ((flags & O_ACCMODE) == O_RDONLY) return kNotOurs;
  if (!name.starts_with("/sys/kernel/config/") && !name.starts_with("/sys/module/"))
    return kNotOurs;
  const size_t action = name.find("/action/");
  if (action != name.npos)
    return channel(action_of(name, action), (flags & O_CLOEXEC) != 0 ? SOCK_CLOEXEC : 0);
  flags |= O_TRUNC;
  return kNotOurs;
}

bool is_netlink(int fd) { return in_table(fd) && netlink[static_cast<size_t>(fd)]; }

void fill_address(sockaddr* address, socklen_t* length, uint32_t pid) {
  sockaddr_nl own{};
  own.nl_family = AF_NETLINK;
  own.nl_pid = pid;
  if (address == nullptr || length == nullptr) return;
  std::memcpy(address, &own, *length < sizeof own ? *length : sizeof own);
  *length = sizeof own;
}

using Open = int(const char*, int, ...);
using Mmap = void*(void*, size_t, int, int, int, off_t);

void* map_uio(Mmap* real, size_t number, size_t bytes) {
  const auto& rings = shim().rings;
  const bool has_ring = number < rings.size();
  const int memory = has_ring ? rings[number].memory : empty_ring();
  if (memory < 0 || bytes != shim().bytes) {
    errno = EINVAL;
    return MAP_FAILED;
  }
  void* const mapped = real(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
  if (!has_ring) close(memory);
  if (mapped != MAP_FAILED) tell("MAP " + std::to_string(number));
  return mapped;
}

void* map(void* at, size_t bytes, int protection, int flags, int fd, off_t offset) {
  static auto* const real = next<Mmap>("mmap64");
  const int device = in_table(fd) ? uio[static_cast<size_t>(fd)].load() : 0;
  if (device != 0) return map_uio(real, static_cast<size_t>(device) - 1, bytes);
  return real(at, bytes, protection, flags, fd, offset);
}

int open_mode(const char* name, const char* path, int flags, mode_t mode) {
  const int fd = open_ours(path, flags);
  return fd != kNotOurs ? fd : next<Open>(name)(path, flags, mode);
}

// The mode that may follow the flags.
mode_t mode_of(int flags, va_list rest) {
  return (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(rest, mode_t) : 0;
}

}  // namespace

// The C library declares some of these with attributes of its own.
extern "C" {

int open(const char* path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  const mode_t mode = mode_of(flags, rest);
  va_end(rest);
  return open_mode("open", path, flags, mode);
}
int open64(const char* path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  const mode_t mode = mode_of(flags, rest);
  va_end(rest);
  return open_mode("open64", path, flags, mode);
}
// What open becomes with _FORTIFY_SOURCE.
// NOLINTBEGIN(bugprone-reserved-identifier)
int __open_2(const char* path, int flags) { return open_mode("open", path, flags, 0); }
int __open64_2(const char* path, int flags) { return open_mode("open64", path, flags, 0); }
// NOLINTEND(bugprone-reserved-identifier)

void* mmap(void* at, size_t bytes, int protection, int flags, int fd, off_t offset) noexcept {
  return map(at, bytes, protection, flags, fd, offset);
}
void* mmap64(void* at, size_t bytes, int protection, int flags, int fd, off64_t offset) noexcept {
  return map(at, bytes, protection, flags, fd, offset);
}

int socket(int domain, int type, int protocol) noexcept {
  static auto* const real = next<int(int, int, int)>("socket");
  if (domain != AF_NETLINK || protocol != NETLINK_GENERIC || shim().control < 0)
    return real(domain, type, protocol);
  const int fd = channel("NETLINK", type & (SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (fd >= 0) netlink.at(static_cast<size_t>(fd)) = true;
  return fd;
}
int close(int fd) {
  static auto* const real = next<int(int)>("close");
  if (in_table(fd)) {
    netlink[static_cast<size_t>(fd)] = false;
    uio[static_cast<size_t>(fd)] = 0;
  }
  return real(fd);
}
int bind(int fd, const sockaddr* address, socklen_t length) noexcept {
  static auto* const real = next<int(int, const sockaddr*, socklen_t)>("bind");
  return is_netlink(fd) ? 0 : real(fd, address, length);
}
int getsockname(int fd, sockaddr* address, socklen_t* length) noexcept {
  static auto* const real = next<int(int, sockaddr*, socklen_t*)>("getsockname");
  if (!is_netlink(fd)) return real(fd, address, length);
  fill_address(address, length, static_cast<uint32_t>(getpid()));
  return 0;
}
int setsockopt(int fd, int level, int option, const void* value, socklen_t length) noexcept {
  static auto* const real = next<int(int, int, int, const void*, socklen_t)>("setsockopt");
  return is_netlink(fd) ? 0 : real(fd, level, option, value, length);
}
int getsockopt(int fd, int level, int option, void* value, socklen_t* length) noexcept {
  static auto* const real = next<int(int, int, int, void*, socklen_t*)>("getsockopt");
  if (!is_netlink(fd)) return real(fd, level, option, value, length);
  std::memset(value, 0, *length);
  return 0;
}
ssize_t sendmsg(int fd, const msghdr* message, int flags) {
  static auto* const real = next<ssize_t(int, const msghdr*, int)>("sendmsg");
  if (!is_netlink(fd)) return real(fd, message, flags);
  msghdr plain = *message;
  plain.msg_name = nullptr;
  plain.msg_namelen = 0;
  plain.msg_control = nullptr;
  plain.msg_controllen = 0;
  return real(fd, &plain, flags | MSG_NOSIGNAL);
}
ssize_t recvmsg(int fd, msghdr* message, int flags) {
  static auto* const real = next<ssize_t(int, msghdr*, int)>("recvmsg");
  if (!is_netlink(fd)) return real(fd, message, flags);
  void* const name = message->msg_name;
  socklen_t length = message->msg_namelen;
  message->msg_name = nullptr;
  message->msg_namelen = 0;
  const ssize_t got = real(fd, message, flags);
  if (got >= 0) fill_address(static_cast<sockaddr*>(name), &length, 0);
  message->msg_name = name;
  message->msg_namelen = length;
  return got;
}

// libkmod: the pointers only have to be valid.
static char module;
void* kmod_new(const char*, const char* const*) { return &module; }
void* kmod_unref(void*) { return nullptr; }
int kmod_module_new_from_lookup(void*, const char*, void** list) {
  *list = &module;
  return 0;
}
void* kmod_list_next(const void*, const void*) { return nullptr; }
void* kmod_module_get_module(const void*) { return &module; }
int kmod_module_get_initstate(const void*) { return 0; }  // KMOD_MODULE_BUILTIN.
const char* kmod_module_get_name(const void*) { return "target_core_user"; }
void* kmod_module_unref(void*) { return nullptr; }
int kmod_module_unref_list(void*) { return 0; }
int kmod_module_probe_insert_module(void*, unsigned, const char*, void*, const void*, void*) {
  return 0;
}

}  // extern "C"
