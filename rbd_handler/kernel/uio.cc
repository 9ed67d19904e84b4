// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/kernel/uio.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <optional>
#include <string_view>
#include <utility>

#include "rbd_handler/kernel/small_file.h"

namespace tcmurbd::kernel {
namespace {

constexpr std::string_view kClass = "/sys/class/uio";

std::optional<uint32_t> parse_minor(std::string_view entry) {
  if (!entry.starts_with("uio")) return std::nullopt;
  const auto number = parse_number(entry.substr(3), "minor");
  if (!number || *number < 0 || *number > UINT32_MAX) return std::nullopt;
  // "uio07" or "uio0x7" would be parsed as the number of another directory.
  if (fmt::format("uio{}", *number) != entry) return std::nullopt;
  return static_cast<uint32_t>(*number);
}

std::string class_path(const std::string& root, uint32_t minor, std::string_view file) {
  return fmt::format("{}/uio{}/{}", below(root, kClass), minor, file);
}

std::expected<size_t, std::string> read_map_size(uint32_t minor, const std::string& root) {
  const std::string path = class_path(root, minor, "maps/map0/size");
  const auto text = read_small_file(path);
  if (!text) return std::unexpected(text.error());
  const auto size = parse_number(*text, path);
  if (!size) return std::unexpected(size.error());
  if (*size <= 0) return std::unexpected(fmt::format("{}: a map of {} bytes", path, *size));
  return static_cast<size_t>(*size);
}

// Reading its name shows that it is gone, or is no TCMU device (EFBIG). EINVAL: it is being
// unregistered (linux/drivers/uio/uio.c, name_show). ENODEV: its file was open by then.
bool is_no_device(int error) {
  return error == ENOENT || error == EINVAL || error == ENODEV || error == EFBIG;
}

}  // namespace

std::expected<std::vector<UioEntry>, std::string> scan_uio(const std::string& root) {
  std::vector<UioEntry> found;
  const std::string path = below(root, kClass);
  std::error_code error;
  std::filesystem::directory_iterator entries(path, error);
  // Without the class there is no UIO device. Incrementing with `error` never throws.
  if (error == std::errc::no_such_file_or_directory) return found;
  for (; !error && entries != std::filesystem::directory_iterator(); entries.increment(error)) {
    const auto minor = parse_minor(entries->path().filename().string());
    if (!minor) continue;
    const auto text = read_small_file_or_errno(class_path(root, *minor, "name"));
    if (!text && is_no_device(text.error().error)) continue;
    if (!text) return std::unexpected(text.error().text);
    if (auto name = parse_device_name(*text)) found.push_back({*minor, std::move(*name)});
  }
  if (error) return std::unexpected(errno_text(path, error.value()));
  std::ranges::sort(found, {}, &UioEntry::minor);
  return found;
}

std::expected<DeviceName, std::string> read_uio_name(uint32_t minor, const std::string& root) {
  const auto text = read_small_file(class_path(root, minor, "name"));
  if (!text) return std::unexpected(text.error());
  return parse_device_name(*text);
}

std::expected<UioDevice, std::string> UioDevice::open(uint32_t minor, const std::string& root) {
  const auto size = read_map_size(minor, root);
  if (!size) return std::unexpected(size.error());
  const std::string path = below(root, fmt::format("/dev/uio{}", minor));
  UniqueFd fd(::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NONBLOCK));
  if (!fd.valid()) {
    if (errno == EBUSY) {
      return std::unexpected(fmt::format("{} is in use: another process serves this device", path));
    }
    return std::unexpected(errno_text(path, errno));
  }
  void* map = ::mmap(nullptr, *size, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
  if (map == MAP_FAILED) {
    return std::unexpected(errno_text(fmt::format("mapping {} bytes of {}", *size, path), errno));
  }
  UioDevice device(std::move(fd), {static_cast<std::byte*>(map), *size});
  // A child's copy would keep the device busy after this process closed it.
  if (::madvise(map, *size, MADV_DONTFORK) != 0) {
    return std::unexpected(errno_text(fmt::format("madvise for {}", path), errno));
  }
  return device;
}

UioDevice::UioDevice(UioDevice&& other) noexcept
    : fd_(std::move(other.fd_)), map_(std::exchange(other.map_, {})) {}

UioDevice& UioDevice::operator=(UioDevice&& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(map_, other.map_);
  return *this;
}

UioDevice::~UioDevice() {
  if (!map_.empty()) ::munmap(map_.data(), map_.size());
}

UioState UioDevice::clear_events() {
  // uio.c returns exactly 4 bytes: the event count of the device, which is not needed.
  int32_t count = 0;
  ssize_t got;
  do {
    got = ::read(fd_.get(), &count, sizeof(count));
  } while (got < 0 && errno == EINTR);
  return got == sizeof(count) || (got < 0 && errno == EAGAIN) ? UioState::kAlive : UioState::kGone;
}

UioState UioDevice::kick() {
  const int32_t any = 0;
  ssize_t put;
  do {
    put = ::write(fd_.get(), &any, sizeof(any));
  } while (put < 0 && errno == EINTR);
  return put == sizeof(any) ? UioState::kAlive : UioState::kGone;
}

}  // namespace tcmurbd::kernel
