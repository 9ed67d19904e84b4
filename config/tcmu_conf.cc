// SPDX-License-Identifier: Apache-2.0
#include "config/tcmu_conf.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <set>
#include <utility>

#include "common/quote.h"

namespace tcmurbd {
namespace {

constexpr std::string_view kBlanks = " \t";
constexpr std::array kLevels{LogLevel::kError, LogLevel::kError, LogLevel::kWarning,
                             LogLevel::kInfo,  LogLevel::kDebug, LogLevel::kDebug};

struct Meaningless {
  std::string_view key;
  std::string_view reason;
};
constexpr std::string_view kNoLogFile =
    "there is no log file; the log goes to the journal, or to standard error";
constexpr std::string_view kUnitLimits =
    "the systemd unit sets the limits (LimitNOFILE), and the daemon uses all of them";
constexpr std::array kMeaningless{
    Meaningless{"log_dir", kNoLogFile},
    Meaningless{"log_dir_path", kNoLogFile},
    Meaningless{"ulimit", kUnitLimits},
    Meaningless{"nofile", kUnitLimits},
    Meaningless{"handler_path", "the handler for RBD is built in, and there is no other"},
};

std::string_view trimmed(std::string_view text) {
  const size_t begin = std::min(text.find_first_not_of(kBlanks), text.size());
  const size_t end = text.find_last_not_of(kBlanks);
  return end == text.npos ? std::string_view{} : text.substr(begin, end - begin + 1);
}

// Cuts the first line off, and its end.
std::string_view take_line(std::string_view& text) {
  const size_t end = std::min(text.find('\n'), text.size());
  std::string_view line = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

bool is_key(std::string_view key) {
  return !key.empty() && std::ranges::all_of(key, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
  });
}

std::expected<LogLevel, std::string> level_of(std::string_view value) {
  const std::string_view digits = trimmed(value.substr(0, value.find('#')));
  size_t number = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (error != std::errc{} || end != digits.data() + digits.size() || number >= kLevels.size())
    return std::unexpected(
        fmt::format("log_level: {} is not allowed; expected a number from 0 to {}", quoted(value),
                    kLevels.size() - 1));
  return kLevels[number];
}

std::string_view reason_of(std::string_view key) {
  const auto* known = std::ranges::find(kMeaningless, key, &Meaningless::key);
  return known == kMeaningless.end() ? "tcmu-rbd has no such setting" : known->reason;
}

// The indentation of the keys of a section: that of the first line after its name that has a key.
std::string indentation(std::string_view rest) {
  while (!rest.empty()) {
    const std::string_view line = take_line(rest);
    const size_t begin = line.find_first_not_of(kBlanks);
    if (begin == line.npos || line[begin] == '#') continue;
    if (begin > 0) return std::string(line.substr(0, begin));
    break;
  }
  return "  ";
}

// The offset after the line "log:" of the text, 0: there is none in this form.
size_t after_section_line(std::string_view text) {
  std::string_view rest = text;
  while (!rest.empty()) {
    const std::string_view line = take_line(rest);
    if (!line.starts_with("log:")) continue;
    const std::string_view after = trimmed(line.substr(4));
    if (after.empty() || after.starts_with('#')) return text.size() - rest.size();
  }
  return 0;
}

// One line of the file. The error is without file and line.
std::expected<void, std::string> take_setting(std::string_view line, std::string_view place,
                                              std::set<std::string_view>& named, TcmuConf& conf) {
  const std::string_view content = trimmed(line);
  if (content.empty() || content.starts_with('#')) return {};
  const size_t equals = content.find('=');
  const std::string_view key = trimmed(content.substr(0, equals));
  if (!is_key(key))
    return std::unexpected(
        fmt::format("{} is no setting of tcmu-runner; expected KEY = VALUE", quoted(content)));
  if (key != "log_level") {
    if (named.insert(key).second)
      conf.without_effect.push_back(
          fmt::format("{}: {} has no effect: {}", place, key, reason_of(key)));
    return {};
  }
  const auto level =
      level_of(equals == content.npos ? std::string_view{} : trimmed(content.substr(equals + 1)));
  if (!level) return std::unexpected(level.error());
  conf.level = *level;
  return {};
}

}  // namespace

std::expected<TcmuConf, std::string> parse_tcmu_conf(std::string_view text, std::string_view name) {
  if (text.size() > kConfigBytesMax)
    return std::unexpected(fmt::format("{}: larger than {} bytes", name, kConfigBytesMax));
  TcmuConf conf;
  std::set<std::string_view> named;
  for (int number = 1; !text.empty(); ++number) {
    const std::string place = fmt::format("{}:{}", name, number);
    if (auto taken = take_setting(take_line(text), place, named, conf); !taken)
      return std::unexpected(fmt::format("{}: {}", place, taken.error()));
  }
  return conf;
}

std::expected<std::optional<std::string>, std::string> add_log_level(std::string_view text,
                                                                     std::string_view name,
                                                                     LogLevel level) {
  const auto before = parse_config(text, name);
  if (!before) return std::unexpected(before.error());
  const auto keys = config_keys_in(text, name);
  if (!keys) return std::unexpected(keys.error());
  if (keys->contains("log.level")) return std::nullopt;

  std::string result(text);
  if (!result.empty() && !result.ends_with('\n')) result += '\n';
  if (keys->contains("log")) {
    const size_t at = after_section_line(result);
    result.insert(at, fmt::format("{}level: {}\n", indentation(std::string_view(result).substr(at)),
                                  log_level_name(level)));
  } else {
    result += fmt::format("log:\n  level: {}\n", log_level_name(level));
  }
  // A flow map or an end marker is valid YAML, and no place to insert lines.
  Config wanted = *before;
  wanted.log.level = level;
  const auto after = parse_config(result, name);
  if (!after || *after != wanted)
    return std::unexpected(
        fmt::format("{}: cannot insert a line into this layout; set log.level to {} by hand", name,
                    log_level_name(level)));
  return result;
}

std::string_view log_level_name(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return "debug";
    case LogLevel::kInfo:
      return "info";
    case LogLevel::kWarning:
      return "warning";
    case LogLevel::kError:
      return "error";
  }
  return "";
}

}  // namespace tcmurbd
