// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/daemon/crash_file.h"

#include <fcntl.h>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <system_error>
#include <vector>

#include "common/crash_dump.h"

namespace tcmurbd {
namespace {

namespace fs = std::filesystem;

constexpr mode_t kMode = 0600;

std::unexpected<std::string> failed(const std::string& path, int error) {
  return std::unexpected(fmt::format("{}: {}", path, std::generic_category().message(error)));
}

std::string reason_in(const std::string& path) {
  CrashHeader header{};
  const UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  const bool whole = fd.valid() && read(fd.get(), &header, sizeof(header)) == sizeof(header) &&
                     header.magic == CrashHeader::kMagic;
  return whole ? std::string(header.reason.begin(), std::ranges::find(header.reason, '\0'))
               : "before it could say why";
}

// The names have the time, so their order is that of the crashes.
void remove_oldest(const std::string& state_dir) {
  std::vector<std::string> kept;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(state_dir, error)) {
    const std::string name = entry.path().filename();
    if (name.starts_with("crash-") && name.ends_with(".trace")) kept.push_back(entry.path());
  }
  std::ranges::sort(kept, std::greater{});
  for (size_t i = kCrashFilesMax; i < kept.size(); ++i) fs::remove(kept[i], error);
}

}  // namespace

std::expected<CrashFile, std::string> prepare_crash_file(const std::string& state_dir) {
  std::error_code error;
  fs::create_directories(state_dir, error);  // If that failed, so does the open.
  CrashFile file{.fd = {}, .path = state_dir + "/crash.new"};
  struct stat old{};
  if (lstat(file.path.c_str(), &old) == 0 && S_ISREG(old.st_mode) && old.st_size != 0) {
    file.reason = reason_in(file.path);
    file.kept = fmt::format("{}/crash-{:%Y%m%dT%H%M%S}.{:03}Z.trace", state_dir,
                            fmt::gmtime(old.st_mtim.tv_sec), old.st_mtim.tv_nsec / 1'000'000);
    if (std::rename(file.path.c_str(), file.kept.c_str()) != 0) return failed(file.path, errno);
    remove_oldest(state_dir);
  }
  file.fd = UniqueFd(
      open(file.path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, kMode));
  if (!file.fd.valid()) return failed(file.path, errno);
  return file;
}

}  // namespace tcmurbd
