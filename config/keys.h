// SPDX-License-Identifier: Apache-2.0
// The table of configuration keys: name, allowed values, field. Independent of YAML. Pure, any
// thread.
#pragma once

#include <cstdint>
#include <expected>
#include <span>
#include <string>
#include <string_view>
#include <variant>

#include "config/config.h"

namespace tcmurbd {

// A whole number in decimal digits, both limits allowed.
struct NumberRange {
  uint32_t min;
  uint32_t max;
  std::string_view unit;  // Empty: none.
  void (*set)(Config& config, uint32_t value);
};

// An absolute path of at most `bytes_max` bytes.
struct AbsolutePath {
  size_t bytes_max;
  std::string& (*field)(Config& config);
};

// One of log_level_names().
struct LogLevelName {};

// "yes" or "no", not quoted or quoted.
struct YesNo {
  void (*set)(Config& config, bool value);
};

// An IPv4 or IPv6 address in numbers.
struct IpAddress {
  std::string& (*field)(Config& config);
};

struct ConfigKey {
  std::string_view section;
  std::string_view name;
  std::variant<NumberRange, AbsolutePath, LogLevelName, YesNo, IpAddress> value;

  std::string full_name() const;  // "section.name"
};

// All keys, grouped by section.
std::span<const ConfigKey> config_keys();

// Nullptr: no such key.
const ConfigKey* find_config_key(std::string_view section, std::string_view name);

// Sets the key's field from the text of its value. The error says what is allowed, without file and
// line.
std::expected<void, std::string> set_config_key(Config& config, const ConfigKey& key,
                                                std::string_view value);

// "log, paths, reactor, device, metrics", for messages.
std::string config_section_names();
// "level, burst, per_minute"; empty: no such section.
std::string config_key_names(std::string_view section);

}  // namespace tcmurbd
