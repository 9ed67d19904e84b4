// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/lun/instance_record.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cctype>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <string_view>
#include <system_error>
#include <utility>

namespace tcmurbd {
namespace fs = std::filesystem;

namespace {

// Far above "[v2:10.0.0.1:0/3706536469,v1:...]" with IPv6; anything longer is invalid.
constexpr size_t kAddressBytesMax = 512;

bool plausible(const std::string& address) {
  if (address.empty() || address.size() > kAddressBytesMax) return false;
  for (const char c : address) {
    if (std::isgraph(static_cast<unsigned char>(c)) == 0) return false;
  }
  return address.find('/') != std::string::npos;  // With a nonce: never a whole host.
}

std::string message(int error) { return std::generic_category().message(error); }

// Writes all of `text` to a new file, to the disk. 0 or an errno.
int write_through(const std::string& path, std::string_view text) {
  const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (file < 0) return errno;
  const ssize_t written = ::write(file, text.data(), text.size());
  int error = written < 0 ? errno : 0;
  if (error == 0 && std::cmp_not_equal(written, text.size())) error = ENOSPC;
  if (error == 0 && ::fsync(file) != 0) error = errno;
  ::close(file);
  return error;
}

// So that a rename in it survives a power failure. Not all file systems can.
void sync_directory(const std::string& path) {
  const int directory = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (directory < 0) return;
  [[maybe_unused]] const int ignored = ::fsync(directory);
  ::close(directory);
}

}  // namespace

std::string boot_id() {
  std::ifstream file("/proc/sys/kernel/random/boot_id");
  std::string id;
  std::getline(file, id);
  return id;
}

InstanceRecord::InstanceRecord(const std::string& directory, const std::string& hba,
                               const std::string& device, std::string boot)
    : directory_(directory),
      path_(fmt::format("{}/{}.{}.instance", directory, hba, device)),
      boot_(std::move(boot)) {}

std::expected<InstanceRecord::Recorded, std::string> InstanceRecord::read() const {
  std::ifstream file(path_);
  if (!file) {
    if (errno == ENOENT || errno == ENOTDIR) return Recorded{};
    return std::unexpected(fmt::format("{}: {}", path_, message(errno)));
  }
  std::string address;
  std::string boot;
  std::getline(file, address);
  if (file.bad()) return std::unexpected(fmt::format("{}: cannot be read", path_));
  // Killed before it was complete: then nothing was written to the image either.
  if (!plausible(address)) return Recorded{};
  std::getline(file, boot);
  return Recorded{address, !boot.empty() && boot != boot_};
}

std::expected<void, std::string> InstanceRecord::write(const std::string& address) const {
  std::error_code error;
  fs::create_directories(directory_, error);
  const std::string fresh = path_ + ".new";
  if (const int failed = write_through(fresh, fmt::format("{}\n{}\n", address, boot_)); failed != 0)
    return std::unexpected(fmt::format("{}: cannot be written: {}", fresh, message(failed)));
  fs::rename(fresh, path_, error);
  if (error) return std::unexpected(fmt::format("{}: {}", path_, error.message()));
  sync_directory(directory_);
  return {};
}

void InstanceRecord::remove(const std::string& address) const {
  const auto recorded = read();
  if (!recorded || recorded->address != address) return;
  std::error_code ignored;
  fs::remove(path_, ignored);
}

}  // namespace tcmurbd
