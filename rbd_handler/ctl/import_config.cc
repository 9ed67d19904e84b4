// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/ctl/import_config.h"

#include <fmt/format.h>

#include <expected>
#include <filesystem>
#include <iostream>
#include <optional>

#include "common/replace_file.h"
#include "config/tcmu_conf.h"

namespace tcmurbd {
namespace {

namespace fs = std::filesystem;

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
  if (auto done = replace_file(to, *text); !done) return std::unexpected(done.error());
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
