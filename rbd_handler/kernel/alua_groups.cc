// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/kernel/alua_groups.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <expected>
#include <filesystem>
#include <optional>
#include <string_view>

#include "common/log.h"
#include "common/quote.h"
#include "rbd_handler/kernel/small_file.h"
#include "rbd_handler/messages/daemon.h"

namespace tcmurbd::kernel {
namespace {

constexpr std::string_view kDefaultGroup = "default_tg_pt_gp";

struct Support {
  std::string_view file;
  uint8_t bit;  // In byte 1 of a REPORT TARGET PORT GROUPS descriptor (SPC-4 6.37).
};
constexpr std::array kSupports{
    Support{"alua_support_transitioning", 0x80},
    Support{"alua_support_offline", 0x40},
    Support{"alua_support_lba_dependent", 0x10},
    Support{"alua_support_unavailable", 0x08},
    Support{"alua_support_standby", 0x04},
    Support{"alua_support_active_nonoptimized", 0x02},
    Support{"alua_support_active_optimized", 0x01},
};

// alua_access_status, in the order of the status codes (core_alua_dump_status).
constexpr std::array<std::string_view, 3> kStatuses{"None", "Altered by Explicit STPG",
                                                    "Altered by Implicit ALUA"};

Log& alua_log() {
  static Log log("alua");
  return log;
}

std::expected<uint16_t, std::string> read_number(const std::string& path, int64_t min,
                                                 int64_t max) {
  const auto text = read_small_file(path);
  if (!text) return std::unexpected(text.error());
  const auto value = parse_number(*text, path);
  if (!value) return std::unexpected(value.error());
  if (*value < min || *value > max) {
    return std::unexpected(fmt::format("{}: {} is not within {} to {}", path, *value, min, max));
  }
  return static_cast<uint16_t>(*value);
}

std::expected<uint8_t, std::string> read_status(const std::string& path) {
  const auto text = read_small_file(path);
  if (!text) return std::unexpected(text.error());
  const auto found = std::ranges::find(kStatuses, *text);
  if (found == kStatuses.end()) return std::unexpected(fmt::format("{}: {}", path, quoted(*text)));
  return static_cast<uint8_t>(found - kStatuses.begin());
}

// FABRIC/WWN/TPGT/LUN of a line of "members". Empty parts and ".." would lead to another directory;
// control characters would get into messages.
std::optional<std::array<std::string, 4>> split_member(std::string_view line) {
  std::array<std::string, 4> parts;
  if (std::ranges::any_of(line, [](unsigned char c) { return std::iscntrl(c) != 0; }))
    return std::nullopt;
  for (size_t i = 0; i < parts.size(); ++i) {
    const size_t slash = line.find('/');
    if ((slash == std::string_view::npos) != (i + 1 == parts.size())) return std::nullopt;
    parts[i] = line.substr(0, slash);
    if (parts[i].empty() || parts[i] == "." || parts[i] == "..") return std::nullopt;
    if (slash != std::string_view::npos) line.remove_prefix(slash + 1);
  }
  return parts;
}

struct Port {
  // The relative target port identifier. 0: none is assigned. Since Linux 6.4 it belongs to the
  // portal group and is assigned when that is enabled, which a tcm_loop's never is.
  uint16_t number = 0;
  bool enabled = false;  // Commands can come through it.
};

// Portal groups of fabrics that need no enabling (loopback, vhost) have no such file. One that
// can't be read counts as enabled: an INQUIRY then names no port, where it could name a wrong one.
bool read_enabled(const std::string& portal_group) {
  const std::string path = portal_group + "/enable";
  std::error_code error;
  if (!std::filesystem::exists(path, error) && !error) return true;
  const auto value = read_number(path, 0, 1);
  if (value) return *value != 0;
  alua_log().write<messages::kPortalGroup>(value.error());
  return true;
}

std::expected<Port, std::string> read_port(const std::string& target, std::string_view member) {
  const auto parts = split_member(member);
  if (!parts) return std::unexpected(fmt::format("{} names no LUN", quoted(member)));
  const auto& [fabric, wwn, group, lun] = *parts;
  // The kernel calls iSCSI "iSCSI" here, and its directory is "iscsi".
  std::string directory = fabric;
  std::error_code error;
  if (!std::filesystem::exists(fmt::format("{}/{}", target, fabric), error)) {
    std::ranges::transform(directory, directory.begin(),
                           [](unsigned char c) { return std::tolower(c); });
  }
  const std::string portal_group = fmt::format("{}/{}/{}/{}", target, directory, wwn, group);
  const auto number = read_number(
      fmt::format("{}/lun/{}/statistics/scsi_port/indx", portal_group, lun), 0, UINT16_MAX);
  if (!number) return std::unexpected(number.error());
  return Port{.number = *number, .enabled = read_enabled(portal_group)};
}

void add_port(const Port& port, scsi::PortGroup& group) {
  if (port.number == 0) {
    group.unnumbered_port |= port.enabled;
    return;
  }
  group.relative_ports.push_back(port.number);
  if (port.enabled) group.enabled_ports.push_back(port.number);
}

std::expected<void, std::string> read_members(const std::string& target, const std::string& path,
                                              scsi::PortGroup& group) {
  auto text = read_small_file(path);
  if (!text) return std::unexpected(text.error());
  // Each line ends with a newline and a zero byte.
  std::erase(*text, '\0');
  for (std::string_view rest = *text; !rest.empty();) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    const std::string_view line = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (line.empty()) continue;
    const auto port = read_port(target, line);
    if (port)
      add_port(*port, group);
    else
      alua_log().write<messages::kPortLeftOut>(path, port.error());
  }
  std::ranges::sort(group.relative_ports);
  std::ranges::sort(group.enabled_ports);
  return {};
}

// Empty: the group has no id yet and does not count.
std::expected<std::optional<scsi::PortGroup>, std::string> read_group(const std::string& target,
                                                                      const std::string& path) {
  const auto id_text = read_small_file(path + "/tg_pt_gp_id");
  if (!id_text) return std::unexpected(id_text.error());
  if (id_text->empty()) return std::nullopt;

  scsi::PortGroup group;
  const auto id = read_number(path + "/tg_pt_gp_id", 0, UINT16_MAX);
  if (!id) return std::unexpected(id.error());
  group.id = *id;
  const auto state = read_number(path + "/alua_access_state", 0, 0xf);
  if (!state) return std::unexpected(state.error());
  group.access_state = static_cast<uint8_t>(*state);
  const auto status = read_status(path + "/alua_access_status");
  if (!status) return std::unexpected(status.error());
  group.status_code = *status;
  const auto preferred = read_number(path + "/preferred", 0, 1);
  if (!preferred) return std::unexpected(preferred.error());
  group.preferred = *preferred != 0;
  for (const Support& support : kSupports) {
    const auto supported = read_number(fmt::format("{}/{}", path, support.file), 0, 1);
    if (!supported) return std::unexpected(supported.error());
    if (*supported != 0) group.supported_states |= support.bit;
  }
  if (auto members = read_members(target, path + "/members", group); !members) {
    return std::unexpected(members.error());
  }
  return group;
}

}  // namespace

std::vector<scsi::PortGroup> read_port_groups(const std::string& target,
                                              const std::string& device) {
  std::vector<scsi::PortGroup> groups;
  std::optional<scsi::PortGroup> fallback;
  std::error_code error;
  std::filesystem::directory_iterator entries(device + "/alua", error);
  for (; !error && entries != std::filesystem::directory_iterator(); entries.increment(error)) {
    auto read = read_group(target, entries->path().string());
    if (!read) {
      alua_log().write<messages::kGroupLeftOut>(read.error());
      continue;
    }
    std::optional<scsi::PortGroup>& group = *read;
    if (!group) continue;
    if (entries->path().filename() == kDefaultGroup) {
      fallback = std::move(group);
    } else {
      groups.push_back(std::move(*group));
    }
  }
  const bool others_have_ports = std::ranges::any_of(groups, [](const scsi::PortGroup& group) {
    return !group.relative_ports.empty() || group.unnumbered_port;
  });
  if (fallback && !others_have_ports) groups.push_back(std::move(*fallback));
  std::ranges::sort(groups, {}, &scsi::PortGroup::id);
  return groups;
}

}  // namespace tcmurbd::kernel
