// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/kernel/configfs.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "common/check.h"
#include "rbd_handler/kernel/small_file.h"

namespace tcmurbd::kernel {
namespace {

constexpr std::string_view kCore = "/sys/kernel/config/target/core";
constexpr std::string_view kParameters = "/sys/module/target_core_user/parameters";

// A write to these on an enabled device sends an event to the netlink listener, this daemon, and
// waits for its reply.
constexpr std::array<std::string_view, 3> kAskUs{"dev_config", "dev_size", "emulate_write_cache"};

// TCMU_TIME_OUT. The kernel keeps milliseconds in 32 bits, so a larger value is invalid.
constexpr std::chrono::seconds kLimitDefault{30};
constexpr std::chrono::seconds kLimitMax{UINT32_MAX / 1000};

std::string parameter(const std::string& root, std::string_view name) {
  return fmt::format("{}/{}", below(root, kParameters), name);
}

}  // namespace

ConfigfsDevice::ConfigfsDevice(const DeviceName& name, const std::string& root)
    : root_(root), path_(fmt::format("{}/{}/{}", below(root, kCore), name.hba, name.device)) {}

std::expected<int64_t, std::string> ConfigfsDevice::attribute(std::string_view name) const {
  const std::string path = fmt::format("{}/attrib/{}", path_, name);
  const auto text = read_small_file(path);
  if (!text) return std::unexpected(text.error());
  return parse_number(*text, path);
}

Duration ConfigfsDevice::kernel_limit() const {
  const auto limit = attribute("cmd_time_out");
  if (!limit || *limit < 0 || *limit > kLimitMax.count()) return kLimitDefault;
  return std::chrono::seconds(*limit);
}

std::expected<void, std::string> ConfigfsDevice::set_attribute(std::string_view name,
                                                               int64_t value) const {
  CHECK(std::ranges::find(kAskUs, name) == kAskUs.end());
  return write_small_file(fmt::format("{}/attrib/{}", path_, name), fmt::format("{}", value));
}

std::expected<void, std::string> ConfigfsDevice::block(bool blocked) const {
  return write_small_file(path_ + "/action/block_dev", blocked ? "1" : "0");
}

std::expected<void, std::string> ConfigfsDevice::reset_ring() const {
  // 1: BUSY, which initiators retry. 2 would be an error for them.
  return write_small_file(path_ + "/action/reset_ring", "1");
}

std::expected<KeptBuffers, std::string> KeptBuffers::open(const ConfigfsDevice& device) {
  const std::string path = device.path() + "/action/free_kept_buf";
  UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd.valid()) return std::unexpected(errno_text(path, errno));
  return KeptBuffers(std::move(fd));
}

std::expected<void, std::string> KeptBuffers::free(uint16_t cmd_id) {
  const std::string id = fmt::format("{}", cmd_id);
  if (::write(fd_.get(), id.data(), id.size()) != static_cast<ssize_t>(id.size())) {
    return std::unexpected(errno_text(fmt::format("free_kept_buf of {}", id), errno));
  }
  return {};
}

std::expected<void, std::string> block_netlink(bool blocked, const std::string& root) {
  return write_small_file(parameter(root, "block_netlink"), blocked ? "1" : "0");
}

std::expected<void, std::string> release_netlink_waiters(const std::string& root) {
  // The kernel accepts a reset only while blocked. Unblock in any case: otherwise all devices would
  // be refused.
  if (auto blocked = block_netlink(true, root); !blocked) return blocked;
  const auto reset = write_small_file(parameter(root, "reset_netlink"), "1");
  const auto open_again = block_netlink(false, root);
  return !reset ? reset : open_again;
}

}  // namespace tcmurbd::kernel
