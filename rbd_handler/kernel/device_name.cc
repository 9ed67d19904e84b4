// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/kernel/device_name.h"

#include <fmt/format.h>

#include <algorithm>

#include "common/quote.h"

namespace tcmurbd::kernel {
namespace {

constexpr std::string_view kPrefix = "tcm-user/";

// Cuts up to the first '/', or all.
std::string_view take_part(std::string_view& rest) {
  const size_t slash = rest.find('/');
  const std::string_view part = rest.substr(0, slash);
  rest = slash == std::string_view::npos ? std::string_view{} : rest.substr(slash + 1);
  return part;
}

// No line end in the middle (root can create one): the name is used in log lines and paths.
bool is_component(std::string_view text) {
  return !text.empty() && text != "." && text != ".." &&
         std::ranges::none_of(text, [](unsigned char c) { return c < 0x20 || c == 0x7f; });
}

bool is_number(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
}

}  // namespace

std::string_view DeviceName::subtype() const {
  return std::string_view(dev_config).substr(0, dev_config.find('/'));
}

bool DeviceName::is_rbd() const {
  return subtype() == "rbd" && dev_config.find('/') != std::string::npos;
}

std::expected<DeviceName, std::string> parse_device_name(std::string_view name) {
  if (name.ends_with('\n')) name.remove_suffix(1);
  if (!name.starts_with(kPrefix)) {
    return std::unexpected(fmt::format("{} does not begin with {}", quoted(name), kPrefix));
  }
  std::string_view rest = name.substr(kPrefix.size());
  const std::string_view hba = take_part(rest);
  const std::string_view device = take_part(rest);
  if (!is_number(hba)) return std::unexpected(fmt::format("{} names no HBA", quoted(name)));
  if (!is_component(device)) {
    return std::unexpected(fmt::format("{} names no device", quoted(name)));
  }
  return DeviceName{fmt::format("user_{}", hba), std::string(device), std::string(rest)};
}

}  // namespace tcmurbd::kernel
