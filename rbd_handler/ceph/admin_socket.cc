// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/ceph/admin_socket.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <system_error>

#include "rbd_handler/ceph/failure.h"

namespace tcmurbd::ceph {
namespace {

constexpr timeval kPatience{.tv_sec = 1, .tv_usec = 0};
// Far above what the counters of one client need.
constexpr uint32_t kReplyMax = 1U << 20U;

// False: the socket has ended, or nothing came in time.
bool receive(int fd, void* to, size_t bytes) {
  for (auto* at = static_cast<uint8_t*>(to); bytes != 0;) {
    const ssize_t got = ::recv(fd, at, bytes, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    at += got;
    bytes -= static_cast<size_t>(got);
  }
  return true;
}

}  // namespace

AdminSocket::AdminSocket() {
  std::error_code error;
  std::string name = (std::filesystem::temp_directory_path(error) / "tcmu-rbd-XXXXXX").string();
  if (!error && ::mkdtemp(name.data()) != nullptr) directory_ = std::move(name);
}

AdminSocket::~AdminSocket() { remove_names(); }

void AdminSocket::remove_names() {
  std::error_code error;
  if (!directory_.empty()) std::filesystem::remove_all(directory_, error);
  directory_.clear();
}

void AdminSocket::open() {
  socket_ = UniqueFd(::open(path().c_str(), O_PATH | O_CLOEXEC));
  remove_names();
}

std::expected<std::string, std::string> AdminSocket::ask(const std::string& command) const {
  const auto failed = [](const char* what, int error) {
    return std::unexpected(fmt::format("admin socket: {}: {}", what, failure_text(-error)));
  };
  if (!socket_.valid()) return failed("open", ENOENT);
  const UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return failed("socket", errno);
  ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &kPatience, sizeof kPatience);
  ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &kPatience, sizeof kPatience);
  sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
  fmt::format_to_n(static_cast<char*>(address.sun_path), sizeof address.sun_path - 1,
                   "/proc/self/fd/{}", socket_.get());
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return failed("connect", errno);
  // With its zero byte, which ends a command.
  const size_t bytes = command.size() + 1;
  if (::send(fd.get(), command.c_str(), bytes, MSG_NOSIGNAL) != static_cast<ssize_t>(bytes))
    return failed("send", errno);
  std::array<uint8_t, 4> header{};
  if (!receive(fd.get(), header.data(), header.size())) return failed("no reply", ETIMEDOUT);
  uint32_t length = 0;  // Big-endian.
  for (const uint8_t byte : header) length = length << 8U | byte;
  if (length > kReplyMax) return failed("reply", EMSGSIZE);
  std::string reply(length, '\0');
  if (!receive(fd.get(), reply.data(), length)) return failed("no reply", ETIMEDOUT);
  return reply;
}

}  // namespace tcmurbd::ceph
