// SPDX-License-Identifier: Apache-2.0
#include "config/image_spec.h"

#include <fmt/format.h>

#include <charconv>
#include <cstdint>
#include <set>

#include "common/quote.h"

namespace tcmurbd {
namespace {

using Refusal = std::unexpected<std::string>;

// The limit of ceph-iscsi; more would exceed the timeouts of all initiators many times.
constexpr uint32_t kCommandDeadlineSecondsMax = 600;
constexpr std::string_view kOptionNames = "osd_op_timeout, conf, id";

// Cuts `text` at the first `separator`: returns the part before it, leaves the part after it.
std::string_view take_until(std::string_view& text, char separator) {
  const size_t at = text.find(separator);
  const std::string_view head = text.substr(0, at);
  text.remove_prefix(at == std::string_view::npos ? text.size() : at + 1);
  return head;
}

bool has_control_character(std::string_view text) {
  for (const char c : text)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) return true;
  return false;
}

// POOL[/NAMESPACE]/IMAGE[@SNAP]
std::expected<void, std::string> parse_path(std::string_view path, ImageSpec& spec) {
  constexpr std::string_view kForm = "; expected rbd/POOL[/NAMESPACE]/IMAGE[@SNAP]";
  const auto refuse = [&](std::string_view what) {
    return Refusal(fmt::format("{} in {}{}", what, quoted(path), kForm));
  };
  std::string_view rest = path;
  const size_t at = path.find('@');
  if (at != std::string_view::npos) {
    spec.snapshot = path.substr(at + 1);
    if (spec.snapshot.empty()) return refuse("no snapshot after '@'");
    if (spec.snapshot.find_first_of("@/") != std::string::npos)
      return refuse("'@' or '/' in the snapshot's name");
    rest = path.substr(0, at);
  }
  std::string_view parts[3];
  size_t count = 0;
  for (;;) {
    if (count == std::size(parts)) return refuse("too many parts");
    const bool last = rest.find('/') == std::string_view::npos;
    parts[count] = take_until(rest, '/');
    if (parts[count].empty()) return refuse("an empty part");
    ++count;
    if (last) break;
  }
  if (count == 1) return refuse("no image");
  spec.pool = parts[0];
  if (count == 3) spec.name_space = parts[1];
  spec.image = parts[count - 1];
  return {};
}

std::expected<uint32_t, std::string> parse_seconds(std::string_view name, std::string_view value) {
  uint32_t number = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
  if (error != std::errc{} || end != value.data() + value.size() ||
      number > kCommandDeadlineSecondsMax)
    return Refusal(fmt::format("{}={}: expected whole seconds from 0 to {}", name, quoted(value),
                               kCommandDeadlineSecondsMax));
  return number;
}

std::expected<void, std::string> apply_option(std::string_view name, std::string_view value,
                                              ImageSpec& spec) {
  if (name == "osd_op_timeout") {
    const auto seconds = parse_seconds(name, value);
    if (!seconds) return Refusal(seconds.error());
    spec.command_deadline = std::chrono::seconds(*seconds);
  } else if (name == "conf") {
    // A path relative to the daemon's working directory makes no sense.
    if (!value.starts_with('/'))
      return Refusal(fmt::format("conf={}: expected an absolute path", quoted(value)));
    spec.conf_path = value;
  } else if (name == "id") {
    if (value.empty() || value.starts_with("client."))
      return Refusal(
          fmt::format("id={}: expected a CephX user's name without 'client.'", quoted(value)));
    spec.user = value;
  } else if (name != "tcmur_cmd_time_out") {
    return Refusal(fmt::format("unknown option {}; known: {}", quoted(name), kOptionNames));
  }
  return {};
}

std::expected<void, std::string> parse_options(std::string_view options, ImageSpec& spec) {
  std::set<std::string_view> seen;
  while (!options.empty()) {
    std::string_view value = take_until(options, ';');
    if (value.empty()) continue;  // ";;" or a trailing ';', as tcmu-runner tolerates it.
    const bool has_value = value.find('=') != std::string_view::npos;
    const std::string_view name = take_until(value, '=');
    if (!has_value)
      return Refusal(fmt::format("option {} has no '='; known: {}", quoted(name), kOptionNames));
    if (!seen.insert(name).second)
      return Refusal(fmt::format("option {} appears twice", quoted(name)));
    if (auto applied = apply_option(name, value, spec); !applied) return applied;
  }
  return {};
}

}  // namespace

std::string ImageSpec::to_string() const {
  std::string text = pool;
  if (!name_space.empty()) text += "/" + name_space;
  text += "/" + image;
  if (!snapshot.empty()) text += "@" + snapshot;
  return text;
}

std::expected<ImageSpec, std::string> parse_dev_config(std::string_view dev_config) {
  // configfs and echo leave line ends.
  while (dev_config.ends_with('\n') || dev_config.ends_with('\r')) dev_config.remove_suffix(1);
  if (has_control_character(dev_config))
    return Refusal("a control character in " + quoted(dev_config));
  constexpr std::string_view kSubtype = "rbd/";
  if (dev_config.starts_with(kSubtype)) dev_config.remove_prefix(kSubtype.size());

  ImageSpec spec;
  const std::string_view path = take_until(dev_config, ';');
  if (auto parsed = parse_path(path, spec); !parsed) return Refusal(parsed.error());
  if (auto parsed = parse_options(dev_config, spec); !parsed) return Refusal(parsed.error());
  return spec;
}

}  // namespace tcmurbd
