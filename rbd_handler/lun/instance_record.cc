// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/lun/instance_record.h"

#include <fmt/format.h>

#include <cctype>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <system_error>
#include <utility>

#include "common/replace_file.h"

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

}  // namespace

std::string boot_id() {
  std::ifstream file("/proc/sys/kernel/random/boot_id");
  std::string id;
  std::getline(file, id);
  return id;
}

InstanceRecord::InstanceRecord(const std::string& directory, const std::string& hba,
                               const std::string& device, std::string boot)
    : path_(fmt::format("{}/{}.{}.instance", directory, hba, device)), boot_(std::move(boot)) {}

std::expected<InstanceRecord::Recorded, std::string> InstanceRecord::read() const {
  std::ifstream file(path_);
  if (!file) {
    if (errno == ENOENT || errno == ENOTDIR) return Recorded{};
    return std::unexpected(fmt::format("{}: {}", path_, std::generic_category().message(errno)));
  }
  std::string address;
  std::string boot;
  std::getline(file, address);
  if (file.bad()) return std::unexpected(fmt::format("{}: cannot be read", path_));
  // Killed before it was complete: then nothing was written to the image either.
  if (!plausible(address)) return Recorded{};
  std::getline(file, boot);
  return Recorded{address, !boot.empty() && !boot_.empty() && boot != boot_};
}

std::expected<void, std::string> InstanceRecord::write(const std::string& address) const {
  return replace_file(path_, fmt::format("{}\n{}\n", address, boot_));
}

void InstanceRecord::remove(const std::string& address) const {
  const auto recorded = read();
  if (!recorded || recorded->address != address) return;
  std::error_code ignored;
  fs::remove(path_, ignored);
}

}  // namespace tcmurbd
