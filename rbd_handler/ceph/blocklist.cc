// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/ceph/blocklist.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <sstream>

namespace tcmurbd::ceph {
namespace {

// Far above "[v2:10.0.0.1:0/3706536469,v1:...]" with IPv6.
constexpr size_t kAddressBytesMax = 512;

}  // namespace

std::expected<Blocklist, std::string> parse_blocklist(std::string_view json) {
  // Only the first value (ceph_quirks.h 8).
  std::istringstream answer{std::string(json)};
  nlohmann::json list;
  try {
    answer >> list;
  } catch (const nlohmann::json::exception&) {
    list = nullptr;
  }
  if (!list.is_array()) return std::unexpected(std::string("cannot parse the monitors' reply"));
  Blocklist found;
  for (const auto& entry : list) {
    const auto address = entry.is_object() ? entry.find("addr") : entry.end();
    if (address == entry.end() || !address->is_string()) continue;
    found.insert(without_type(address->get_ref<const std::string&>()));
  }
  return found;
}

bool is_instance_address(std::string_view address) {
  const auto printable = [](char c) { return c > ' ' && c <= '~'; };
  return !address.empty() && address.size() <= kAddressBytesMax &&
         std::ranges::all_of(address, printable) && address.find('/') != address.npos;
}

std::string without_type(std::string_view address) {
  for (const std::string_view type : {"v1:", "v2:", "any:"})
    if (address.starts_with(type)) address.remove_prefix(type.size());
  return std::string(address);
}

}  // namespace tcmurbd::ceph
