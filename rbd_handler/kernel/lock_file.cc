// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/kernel/lock_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>

#include "rbd_handler/kernel/small_file.h"

namespace tcmurbd::kernel {
namespace {

std::string held_text(const std::string& path) {
  // Empty between the holder's flock and its write.
  const auto pid = read_small_file(path);
  const bool known = pid && parse_number(*pid, "pid").has_value();
  return fmt::format("{} is locked: another daemon runs (pid {})", path, known ? *pid : "unknown");
}

}  // namespace

std::expected<LockFile, std::string> LockFile::acquire(const std::string& path) {
  UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644));
  if (!fd.valid()) return std::unexpected(errno_text(path, errno));
  if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) return std::unexpected(held_text(path));
    return std::unexpected(errno_text(fmt::format("locking {}", path), errno));
  }
  const std::string pid = fmt::format("{}\n", ::getpid());
  if (::ftruncate(fd.get(), 0) != 0 ||
      ::pwrite(fd.get(), pid.data(), pid.size(), 0) != static_cast<ssize_t>(pid.size())) {
    return std::unexpected(errno_text(fmt::format("writing the pid to {}", path), errno));
  }
  return LockFile(std::move(fd));
}

std::expected<RunnerLock, std::string> RunnerLock::acquire(const std::string& path) {
  UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd.valid()) return RunnerLock(UniqueFd());
  struct flock lock{};  // Of the whole file.
  lock.l_type = F_RDLCK;
  if (::fcntl(fd.get(), F_SETLK, &lock) == 0) return RunnerLock(std::move(fd));
  const bool known = ::fcntl(fd.get(), F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
  return std::unexpected(
      fmt::format("{} is locked: tcmu-runner runs (pid {}), and both would take the same devices; "
                  "stop it first, with `systemctl disable --now tcmu-runner`",
                  path, known ? fmt::format("{}", lock.l_pid) : "unknown"));
}

}  // namespace tcmurbd::kernel
