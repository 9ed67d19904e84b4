// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/ctl/ask.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "common/unique_fd.h"

namespace tcmurbd {

std::expected<std::string, std::string> ask(const std::string& path, const std::string& request) {
  const auto failed = [&](const char* what) {
    return std::unexpected(fmt::format("{} {}: {}", what, path, std::strerror(errno)));
  };
  sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
  if (path.size() >= sizeof address.sun_path)
    return std::unexpected("socket path too long: " + path);
  std::memcpy(address.sun_path, path.data(), path.size());
  const UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  constexpr timeval kPatience{.tv_sec = 10, .tv_usec = 0};
  if (!fd.valid() ||
      setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &kPatience, sizeof kPatience) != 0 ||
      setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &kPatience, sizeof kPatience) != 0 ||
      connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return failed("no daemon at");
  const std::string line = request + "\n";
  if (send(fd.get(), line.data(), line.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(line.size()))
    return failed("sending to");
  std::string answer;
  char buffer[4096];
  ssize_t n = 0;
  while ((n = read(fd.get(), buffer, sizeof buffer)) > 0)
    answer.append(buffer, static_cast<size_t>(n));
  if (n < 0) return failed("reading from");
  return answer;
}

}  // namespace tcmurbd
