// SPDX-License-Identifier: Apache-2.0
#include "common/replace_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <system_error>

#include "common/unique_fd.h"

namespace tcmurbd {
namespace {

namespace fs = std::filesystem;

constexpr mode_t kNewFileMode = 0644;

std::unexpected<std::string> failed(const std::string& path, int error) {
  return std::unexpected(fmt::format("{}: {}", path, std::generic_category().message(error)));
}

// 0 or an errno.
int write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t put = ::write(fd, text.data(), text.size());
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return errno;
    text.remove_prefix(static_cast<size_t>(put));
  }
  return ::fsync(fd) == 0 ? 0 : errno;
}

// 0 or an errno.
int copy_owner_and_mode(const fs::path& from, int fd) {
  struct stat old{};
  const bool existed = ::stat(from.c_str(), &old) == 0;
  if (::fchmod(fd, existed ? old.st_mode & 07777 : kNewFileMode) != 0) return errno;
  return existed && ::fchown(fd, old.st_uid, old.st_gid) != 0 ? errno : 0;
}

}  // namespace

std::expected<void, std::string> replace_file(const std::string& path, std::string_view text) {
  std::error_code error;
  const fs::path file = fs::exists(path, error) ? fs::canonical(path, error) : fs::path(path);
  const fs::path directory = file.has_parent_path() ? file.parent_path() : fs::path(".");
  fs::create_directories(directory, error);  // If that failed, so does the next step.
  const std::string fresh = file.string() + ".new";
  const UniqueFd fd(
      ::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, kNewFileMode));
  if (!fd.valid()) return failed(fresh, errno);
  int failure = write_all(fd.get(), text);
  if (failure == 0) failure = copy_owner_and_mode(file, fd.get());
  if (failure == 0 && ::rename(fresh.c_str(), file.c_str()) != 0) failure = errno;
  if (failure != 0) {
    ::unlink(fresh.c_str());
    return failed(fresh, failure);
  }
  // So that the rename survives a power failure; not all file systems can do that.
  const UniqueFd folder(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  [[maybe_unused]] const bool synced = folder.valid() && ::fsync(folder.get()) == 0;
  return {};
}

}  // namespace tcmurbd
