// SPDX-License-Identifier: Apache-2.0
// tcmu-rbdctl import-config: takes the settings of tcmu-runner over, once. Blocks on files only.
#include <fmt/format.h>

#include <expected>
#include <filesystem>
#include <iostream>
#include <memory>
#include <optional>

#include "common/replace_file.h"
#include "config/config.h"
#include "config/tcmu_conf.h"
#include "rbd_handler/ctl/command.h"

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

// Never changes a setting that `to` has. `to` is replaced by a rename, or created, with its
// directory if that is missing. Prints what was done to stdout and what has no effect here to
// stderr. Exit code 0 also if there was nothing to do.
int import_config(const std::string& from, const std::string& to) {
  const auto done = import(from, to);
  if (!done) return complain(done.error());
  std::cout << *done << "\n";
  return 0;
}

}  // namespace

void add_import_config(CommandLine& line) {
  struct Options {
    std::string from = "/etc/tcmu/tcmu.conf";
    std::string to = kConfigPathDefault;
  };
  const auto options = std::make_shared<Options>();
  CLI::App* const command =
      line.add("import-config", "take over the settings of tcmu-runner, once",
               [options] { return import_config(options->from, options->to); });
  command->add_option("--from", options->from, "the settings of tcmu-runner")
      ->capture_default_str();
  command->add_option("--to", options->to, "the settings of tcmu-rbd; what they set stays")
      ->capture_default_str();
}

}  // namespace tcmurbd
