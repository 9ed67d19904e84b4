// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/ceph/image_facts.h"

#include <fmt/format.h>
#include <rbd/librbd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <span>
#include <string_view>

#include "common/quote.h"
#include "rbd_handler/ceph/ceph_quirks.h"
#include "rbd_handler/ceph/client.h"

namespace tcmurbd::ceph {
namespace {

// Settings that an open handle ignores, or that only reduce performance. All others take effect at
// once: librbd applies the metadata each time it reads the header.
constexpr std::array<std::string_view, 3> kHarmlessWhileOpen{
    "rbd_cache", "rbd_non_blocking_aio", "rbd_invalidate_object_map_on_timeout"};

struct Limit {
  std::string_view name;
  uint64_t task::RateLimits::* value;
};
constexpr std::array kLimits{Limit{"rbd_qos_iops_limit", &task::RateLimits::iops},
                             Limit{"rbd_qos_bps_limit", &task::RateLimits::bps},
                             Limit{"rbd_qos_read_iops_limit", &task::RateLimits::read_iops},
                             Limit{"rbd_qos_read_bps_limit", &task::RateLimits::read_bps},
                             Limit{"rbd_qos_write_iops_limit", &task::RateLimits::write_iops},
                             Limit{"rbd_qos_write_bps_limit", &task::RateLimits::write_bps}};

// librbd returns decimal numbers; anything else means no limit.
uint64_t number(std::string_view text) {
  uint64_t value = 0;
  const auto end = std::from_chars(text.data(), text.data() + text.size(), value).ptr;
  return end == text.data() + text.size() ? value : 0;
}

void take_option(const rbd_config_option_t& option, ImageFacts& facts) {
  const std::string_view name = option.name;
  for (const Limit& limit : kLimits)
    if (name == limit.name) facts.limits.*limit.value = number(option.value);
  for (const Setting& setting : image_settings())
    if (name == setting.name && std::string_view(option.value) != setting.value)
      facts.wrong_settings.push_back({.name = option.name,
                                      .value = option.value,
                                      .of_pool = option.source == RBD_CONFIG_SOURCE_POOL});
}

int read_options(rbd_image_t image, ImageFacts& facts) {
  int count = kImageOptions;  // ceph_quirks.h 7.
  std::vector<rbd_config_option_t> options(static_cast<size_t>(count));
  int r = rbd_config_image_list(image, options.data(), &count);
  if (r == -ERANGE) {
    options.resize(static_cast<size_t>(count));
    r = rbd_config_image_list(image, options.data(), &count);
  }
  if (r < 0) return r;
  for (const rbd_config_option_t& option : std::span(options).first(static_cast<size_t>(count)))
    take_option(option, facts);
  rbd_config_image_list_cleanup(options.data(), count);
  return 0;
}

bool harmless(const WrongSetting& setting) {
  return std::ranges::find(kHarmlessWhileOpen, setting.name) != kHarmlessWhileOpen.end();
}

std::string described(const WrongSetting& setting) {
  return fmt::format("{}={} in the {}'s metadata", setting.name, quoted(setting.value),
                     setting.of_pool ? "pool" : "image");
}

constexpr std::string_view kNoChanges = "writes get BUSY until then";

void note_features(const std::string& image, const ImageFacts& before, const ImageFacts& now,
                   std::vector<std::string>& warnings) {
  if (now.journaling() && !before.journaling())
    warnings.push_back(
        fmt::format("{} now has the feature journaling: a journal would replay aborted writes; "
                    "disable it with 'rbd feature disable'; {}",
                    image, kNoChanges));
  if (before.exclusive_lock() && !now.exclusive_lock())
    warnings.push_back(fmt::format(
        "{} has lost the feature exclusive-lock: gateways would no longer wait for each other's "
        "writes; enable it with 'rbd feature enable', or remove the device on all gateways and "
        "create it again; {}",
        image, kNoChanges));
  if (!before.exclusive_lock() && now.exclusive_lock())
    warnings.push_back(fmt::format(
        "{} now has the feature exclusive-lock: the next write gets BUSY and reopens the image",
        image));
  if (before.primary() && !now.primary())
    warnings.push_back(
        fmt::format("{} was demoted (mirroring): reads are served, writes are refused until it is "
                    "promoted with 'rbd mirror image promote'",
                    image));
  if (!before.primary() && now.primary())
    warnings.push_back(fmt::format("{} was promoted (mirroring): writes are served", image));
}

void note_settings(const std::string& image, const ImageFacts& before, const ImageFacts& now,
                   std::vector<std::string>& warnings) {
  for (const WrongSetting& setting : now.wrong_settings) {
    if (std::ranges::find(before.wrong_settings, setting) != before.wrong_settings.end()) continue;
    warnings.push_back(fmt::format(
        "{} now has {}, {}; remove it with 'rbd config {} rm'{}", image, described(setting),
        harmless(setting)
            ? "which takes effect, and is refused, when the image is opened the next time"
            : "and cannot be served safely with it",
        setting.of_pool ? "pool" : "image",
        harmless(setting) ? "" : fmt::format("; {}", kNoChanges)));
  }
}

}  // namespace

bool primary_by(uint64_t features) { return (features & RBD_FEATURE_NON_PRIMARY) == 0; }
bool ImageFacts::exclusive_lock() const { return (features & RBD_FEATURE_EXCLUSIVE_LOCK) != 0; }
bool ImageFacts::object_map() const { return (features & RBD_FEATURE_OBJECT_MAP) != 0; }
bool ImageFacts::journaling() const { return (features & RBD_FEATURE_JOURNALING) != 0; }
bool ImageFacts::primary() const { return primary_by(features); }

std::expected<ImageFacts, int> read_facts(void* image) {
  ImageFacts facts;
  int r = rbd_get_features(image, &facts.features);
  if (r >= 0) r = rbd_get_size(image, &facts.bytes);
  if (r >= 0) r = read_options(image, facts);
  if (r < 0) return std::unexpected(r);
  return facts;
}

std::optional<std::string> refusal(const ImageFacts& facts, bool head) {
  // The image's next owner would replay an aborted write from the journal, over newer data.
  if (head && facts.journaling())
    return "has the feature journaling: a journal would replay aborted writes; disable "
           "it with 'rbd feature disable'";
  if (facts.wrong_settings.empty()) return std::nullopt;
  const WrongSetting& setting = facts.wrong_settings.front();
  return fmt::format(
      "has {}, and cannot be served safely with it; remove it with 'rbd config {} rm'",
      described(setting), setting.of_pool ? "pool" : "image");
}

bool unsafe(const ImageFacts& opened, const ImageFacts& now) {
  return now.journaling() || (opened.exclusive_lock() && !now.exclusive_lock()) ||
         !std::ranges::all_of(now.wrong_settings, harmless);
}

ImageNews news_of(const std::string& name, const ImageFacts& opened, const ImageFacts& before,
                  const ImageFacts& now) {
  ImageNews news{.limits = now.limits,
                 .primary = now.primary(),
                 .bytes = now.bytes,
                 .unsafe = unsafe(opened, now)};
  const std::string image = "image " + quoted(name);
  note_features(image, before, now, news.warnings);
  note_settings(image, before, now, news.warnings);
  if (now.bytes < before.bytes)
    news.warnings.push_back(
        fmt::format("{} was shrunk from {} to {} bytes: I/O beyond its end is refused; enlarge it "
                    "with 'rbd resize'",
                    image, before.bytes, now.bytes));
  if (unsafe(opened, before) && !news.unsafe)
    news.warnings.push_back(fmt::format("{} can be served safely again: writes are served", image));
  return news;
}

}  // namespace tcmurbd::ceph
