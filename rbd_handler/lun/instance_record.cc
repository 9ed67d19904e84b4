// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/lun/instance_record.h"

#include <fmt/format.h>

#include <cctype>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <system_error>

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

InstanceRecord::InstanceRecord(const std::string& directory, const std::string& hba,
                               const std::string& device)
    : directory_(directory), path_(fmt::format("{}/{}.{}.instance", directory, hba, device)) {}

std::expected<std::string, std::string> InstanceRecord::read() const {
  std::ifstream file(path_);
  if (!file) {
    if (errno == ENOENT || errno == ENOTDIR) return std::string{};
    return std::unexpected(fmt::format("{}: {}", path_, std::generic_category().message(errno)));
  }
  std::string address;
  std::getline(file, address);
  if (file.bad()) return std::unexpected(fmt::format("{}: cannot be read", path_));
  // Killed before it was complete: then nothing was written to the image either.
  if (!plausible(address)) return std::string{};
  return address;
}

std::expected<void, std::string> InstanceRecord::write(const std::string& address) const {
  std::error_code error;
  fs::create_directories(directory_, error);
  const std::string fresh = path_ + ".new";
  std::ofstream file(fresh, std::ios::trunc);
  file << address << '\n';
  file.close();
  if (!file) return std::unexpected(fmt::format("{}: cannot be written", fresh));
  fs::rename(fresh, path_, error);
  if (error) return std::unexpected(fmt::format("{}: {}", path_, error.message()));
  return {};
}

void InstanceRecord::remove(const std::string& address) const {
  if (read() != address) return;
  std::error_code ignored;
  fs::remove(path_, ignored);
}

}  // namespace tcmurbd
