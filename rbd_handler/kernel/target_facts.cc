// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <string_view>

#include "common/quote.h"
#include "rbd_handler/kernel/alua_groups.h"
#include "rbd_handler/kernel/configfs.h"
#include "rbd_handler/kernel/small_file.h"

namespace tcmurbd::kernel {
namespace {

constexpr std::string_view kSerialPrefix = "T10 VPD Unit Serial Number:";

void trim(std::string& text) {
  const auto blank = [](char c) { return c == ' '; };
  while (!text.empty() && blank(text.back())) text.pop_back();
  text.erase(text.begin(), std::ranges::find_if_not(text, blank));
}

// One value of wwn/. It is sent in INQUIRY data, which SPC-4 4.4.1 limits to printable ASCII.
std::expected<std::string, std::string> read_value(const std::string& path,
                                                   std::string_view prefix) {
  std::error_code error;
  if (!std::filesystem::exists(path, error)) {
    if (error) return std::unexpected(errno_text(path, error.value()));
    return "";  // Kernels before 5.0 have only the serial number.
  }
  auto text = read_small_file(path);
  if (!text) return text;
  if (!text->starts_with(prefix)) {
    return std::unexpected(
        fmt::format("{}: {} does not begin with '{}'", path, tcmurbd::quoted(*text), prefix));
  }
  text->erase(0, prefix.size());
  trim(*text);
  if (!std::ranges::all_of(*text, [](char c) { return c >= 0x20 && c <= 0x7e; })) {
    return std::unexpected(fmt::format("{}: not printable ASCII", path));
  }
  return text;
}

}  // namespace

std::expected<scsi::TargetFacts, std::string> ConfigfsDevice::read_identity() const {
  std::error_code error;
  if (!std::filesystem::is_directory(path_, error)) {
    return std::unexpected(fmt::format("{}: no such device", path_));
  }
  scsi::TargetFacts facts;
  struct Source {
    std::string_view file;
    std::string_view prefix;
    std::string* value;
  };
  for (const Source& source :
       {Source{"vpd_unit_serial", kSerialPrefix, &facts.unit_serial},
        Source{"vendor_id", "", &facts.vendor}, Source{"product_id", "", &facts.product},
        Source{"revision", "", &facts.revision}}) {
    auto text = read_value(fmt::format("{}/wwn/{}", path_, source.file), source.prefix);
    if (!text) return std::unexpected(text.error());
    if (!text->empty()) *source.value = std::move(*text);
  }
  return facts;
}

std::expected<scsi::TargetFacts, std::string> ConfigfsDevice::read_target_facts() const {
  auto facts = read_identity();
  if (facts) facts->groups = read_port_groups(below(root_, "/sys/kernel/config/target"), path_);
  return facts;
}

}  // namespace tcmurbd::kernel
