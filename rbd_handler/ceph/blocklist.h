// SPDX-License-Identifier: Apache-2.0
// The OSD map's blocklist as the monitors tell it, and what an address on it looks like. Pure, any
// thread.
#pragma once

#include <cstdint>
#include <expected>
#include <set>
#include <string>
#include <string_view>

namespace tcmurbd::ceph {

// How long an entry of ours lives: far longer than any op of a fenced instance can
// (rados_osd_op_timeout). One that expires before lets such an op in again.
inline constexpr uint32_t kBlocklistSeconds = 24 * 60 * 60;

// Addresses without the messenger's type: "10.0.0.1:0/3706536469".
using Blocklist = std::set<std::string>;

// The answer to `osd blocklist ls` in JSON. An entry that is not understood is left out; an answer
// that is no list of entries is an error.
std::expected<Blocklist, std::string> parse_blocklist(std::string_view json);

// Whether it can be an instance's address: printable, of a bounded length, and with a nonce, so
// that it is never a whole host. For addresses that come from a file or an object.
bool is_instance_address(std::string_view address);

// Some answers have the messenger's type in front, "v1:10.0.0.1:0/37"; the instances' own addresses
// and the blocklist have none.
std::string without_type(std::string_view address);

}  // namespace tcmurbd::ceph
