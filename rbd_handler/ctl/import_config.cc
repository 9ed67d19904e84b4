// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/ctl/import_config.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <expected>
#include <filesystem>
#include <iostream>
#include <optional>

#include "common/unique_fd.h"
#include "config/tcmu_conf.h"

namespace tcmurbd {
namespace {

namespace fs = std::filesystem;

constexpr mode_t kNewFileMode = 0644;

std::unexpected<std::string> failed(const std::string& path, int error) {
  return std::unexpected(fmt::format("{}: {}", path, std::strerror(error)));
}

// Removes a temporary file unless it was renamed.
struct Temporary {
  std::string path;
  ~Temporary() {
    if (!path.empty()) unlink(path.c_str());
  }
};

std::expected<void, std::string> write_all(int fd, const std::string& path, std::string_view text) {
  while (!text.empty()) {
    const ssize_t put = ::write(fd, text.data(), text.size());
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return failed(path, errno);
    text.remove_prefix(static_cast<size_t>(put));
  }
  if (fsync(fd) != 0) return failed(path, errno);
  return {};
}

// The file keeps its owner and its mode. A reader, and a machine that crashes, sees the old content
// or the new one.
std::expected<void, std::string> replace(const std::string& path, const std::string& text) {
  std::error_code error;
  // A symbolic link stays one: the file it leads to is replaced.
  const fs::path file = fs::exists(path, error) ? fs::canonical(path, error) : fs::path(path);
  const fs::path directory = file.has_parent_path() ? file.parent_path() : fs::path(".");
  if (!fs::exists(directory, error) && mkdir(directory.c_str(), 0755) != 0)
    return failed(directory, errno);
  std::string name = file.string() + ".XXXXXX";
  const UniqueFd fd(mkostemp(name.data(), O_CLOEXEC));
  if (!fd.valid()) return failed(name, errno);
  Temporary temporary{name};
  if (auto done = write_all(fd.get(), name, text); !done) return done;
  struct stat old{};
  const bool existed = stat(file.c_str(), &old) == 0;
  if (fchmod(fd.get(), existed ? old.st_mode & 07777 : kNewFileMode) != 0)
    return failed(name, errno);
  if (existed && fchown(fd.get(), old.st_uid, old.st_gid) != 0) return failed(name, errno);
  if (rename(name.c_str(), file.c_str()) != 0) return failed(file, errno);
  temporary.path.clear();
  const UniqueFd folder(open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder.valid() || fsync(folder.get()) != 0) return failed(directory, errno);
  return {};
}

// What was done, for stdout.
std::expected<std::string, std::string> import(const std::string& from, const std::string& to) {
  const auto old_text = read_config_text(from);
  if (!old_text) return std::unexpected(old_text.error());
  const auto conf = parse_tcmu_conf(*old_text, from);
  if (!conf) return std::unexpected(conf.error());
  for (const std::string& line : conf->without_effect) std::cerr << line << "\n";
  if (!conf->level) return fmt::format("{}: nothing to import", from);

  std::string yaml;
  std::error_code error;
  if (fs::exists(fs::symlink_status(to, error))) {
    auto text = read_config_text(to);
    if (!text) return std::unexpected(text.error());
    yaml = std::move(*text);
  }
  const LogLevel level = conf->level.value_or(LogLevel::kInfo);
  const auto changed = add_log_level(yaml, to, level);
  if (!changed) return std::unexpected(changed.error());
  const std::optional<std::string>& text = *changed;
  if (!text)
    return fmt::format("{}: sets log.level already, which stays; {} asks for {}", to, from,
                       log_level_name(level));
  if (auto done = replace(to, *text); !done) return std::unexpected(done.error());
  return fmt::format("{}: log.level: {}", to, log_level_name(level));
}

}  // namespace

int import_config(const std::string& from, const std::string& to) {
  const auto done = import(from, to);
  if (!done) {
    std::cerr << "tcmu-rbdctl: " << done.error() << "\n";
    return 1;
  }
  std::cout << *done << "\n";
  return 0;
}

}  // namespace tcmurbd
