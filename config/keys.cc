// SPDX-License-Identifier: Apache-2.0
#include "config/keys.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>

#include <array>
#include <charconv>
#include <optional>
#include <utility>

#include "common/quote.h"

namespace tcmurbd {
namespace {

// sockaddr_un::sun_path holds 108 bytes with its terminating zero.
constexpr size_t kSocketPathBytesMax = 107;
// PATH_MAX without its terminating zero.
constexpr size_t kPathBytesMax = 4095;

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

// tcmu-rbd.yaml has the reasons for the limits.
constexpr std::array kKeys{
    ConfigKey{"log", "level", LogLevelName{}},
    ConfigKey{"log", "burst",
              NumberRange{1, 10000, "lines", [](Config& c, uint32_t v) { c.log.burst = v; }}},
    ConfigKey{"log", "per_minute",
              NumberRange{1, 10000, "lines", [](Config& c, uint32_t v) { c.log.per_minute = v; }}},
    ConfigKey{
        "paths", "lock_file",
        AbsolutePath{kPathBytesMax, [](Config& c) -> std::string& { return c.paths.lock_file; }}},
    ConfigKey{"paths", "control_socket",
              AbsolutePath{kSocketPathBytesMax,
                           [](Config& c) -> std::string& { return c.paths.control_socket; }}},
    ConfigKey{
        "paths", "state_dir",
        AbsolutePath{kPathBytesMax, [](Config& c) -> std::string& { return c.paths.state_dir; }}},
    ConfigKey{"reactor", "threads",
              NumberRange{1, 64, "threads", [](Config& c, uint32_t v) { c.reactor.threads = v; }}},
    ConfigKey{"reactor", "poll_us",
              NumberRange{0, 1000, "microseconds",
                          [](Config& c, uint32_t v) { c.reactor.poll = microseconds(v); }}},
    ConfigKey{"device", "open_timeout_s",
              NumberRange{1, 600, "seconds",
                          [](Config& c, uint32_t v) { c.device.open_timeout = seconds(v); }}},
    ConfigKey{"device", "drain_timeout_s",
              NumberRange{1, 600, "seconds",
                          [](Config& c, uint32_t v) { c.device.drain_timeout = seconds(v); }}},
    ConfigKey{"device", "command_deadline_s",
              NumberRange{0, 600, "seconds",
                          [](Config& c, uint32_t v) { c.device.command_deadline = seconds(v); }}},
    ConfigKey{"device", "fence_after_s",
              NumberRange{1, 60, "seconds",
                          [](Config& c, uint32_t v) { c.device.fence_after = seconds(v); }}},
    ConfigKey{"device", "release_after_ms",
              NumberRange{0, 10000, "milliseconds",
                          [](Config& c, uint32_t v) { c.device.release_after = milliseconds(v); }}},
    ConfigKey{"device", "reads_need_lock",
              YesNo{[](Config& c, bool v) { c.device.reads_need_lock = v; }}},
    ConfigKey{"device", "slow_after_ms",
              NumberRange{1, 600000, "milliseconds",
                          [](Config& c, uint32_t v) { c.device.slow_after = milliseconds(v); }}},
    ConfigKey{"metrics", "address",
              IpAddress{[](Config& c) -> std::string& { return c.metrics.address; }}},
    ConfigKey{"metrics", "port",
              NumberRange{0, 65535, "", [](Config& c, uint32_t v) { c.metrics.port = v; }}},
};

constexpr std::array<std::pair<std::string_view, LogLevel>, 4> kLogLevels{{
    {"debug", LogLevel::kDebug},
    {"info", LogLevel::kInfo},
    {"warning", LogLevel::kWarning},
    {"error", LogLevel::kError},
}};

std::optional<uint32_t> whole_number(std::string_view text) {
  uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// Each returns a description of the allowed values if `value` is not allowed; empty: the value was
// set.
std::string set_value(Config& config, const NumberRange& range, std::string_view value) {
  const auto number = whole_number(value);
  if (!number || *number < range.min || *number > range.max)
    return fmt::format("a whole number{}{} from {} to {}", range.unit.empty() ? "" : " of ",
                       range.unit, range.min, range.max);
  range.set(config, *number);
  return {};
}

std::string set_value(Config& config, const AbsolutePath& path, std::string_view value) {
  // A zero byte would end the name for the kernel: "/run/x\0.sock", which is valid YAML, is not
  // "/run/x".
  if (!value.starts_with('/') || value.ends_with('/') || value.contains('\0') ||
      value.size() > path.bytes_max)
    return fmt::format("an absolute path without a '/' at its end, at most {} bytes",
                       path.bytes_max);
  path.field(config) = value;
  return {};
}

std::string set_value(Config& config, const LogLevelName&, std::string_view value) {
  std::string names;
  for (const auto& [name, level] : kLogLevels) {
    if (value == name) {
      config.log.level = level;
      return {};
    }
    names += names.empty() ? "" : ", ";
    names += name;
  }
  return "one of " + names;
}

std::string set_value(Config& config, const IpAddress& address, std::string_view value) {
  std::array<uint8_t, sizeof(in6_addr)> parsed{};
  const std::string text(value);  // A zero byte ends it for inet_pton().
  const bool valid =
      !value.contains('\0') && (inet_pton(AF_INET, text.c_str(), parsed.data()) == 1 ||
                                inet_pton(AF_INET6, text.c_str(), parsed.data()) == 1);
  if (!valid) return "an IPv4 or IPv6 address in numbers";
  address.field(config) = text;
  return {};
}

std::string set_value(Config& config, const YesNo& choice, std::string_view value) {
  if (value != "yes" && value != "no") return "yes or no";
  choice.set(config, value == "yes");
  return {};
}

}  // namespace

std::string ConfigKey::full_name() const { return fmt::format("{}.{}", section, name); }

std::span<const ConfigKey> config_keys() { return kKeys; }

const ConfigKey* find_config_key(std::string_view section, std::string_view name) {
  for (const ConfigKey& key : kKeys)
    if (key.section == section && key.name == name) return &key;
  return nullptr;
}

std::expected<void, std::string> set_config_key(Config& config, const ConfigKey& key,
                                                std::string_view value) {
  const std::string allowed =
      std::visit([&](const auto& kind) { return set_value(config, kind, value); }, key.value);
  if (allowed.empty()) return {};
  return std::unexpected(
      fmt::format("{}: {} is not allowed; expected {}", key.full_name(), quoted(value), allowed));
}

std::string config_section_names() {
  std::string names;
  std::string_view last;
  for (const ConfigKey& key : kKeys) {
    if (key.section == last) continue;
    names += names.empty() ? "" : ", ";
    names += last = key.section;
  }
  return names;
}

std::string config_key_names(std::string_view section) {
  std::string names;
  for (const ConfigKey& key : kKeys) {
    if (key.section != section) continue;
    names += names.empty() ? "" : ", ";
    names += key.name;
  }
  return names;
}

}  // namespace tcmurbd
