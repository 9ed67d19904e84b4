// SPDX-License-Identifier: Apache-2.0
// The blocklist of the OSD map as reported by the monitors, and the format of its addresses. Pure,
// any thread.
#pragma once

#include <cstdint>
#include <expected>
#include <set>
#include <string>
#include <string_view>

namespace tcmurbd::ceph {

// Lifetime of our entries: much longer than any op of a fenced instance (rados_osd_op_timeout). If
// an entry expired earlier, such an op could be applied.
inline constexpr uint32_t kBlocklistSeconds = 24 * 60 * 60;

// Addresses without the messenger's type: "10.0.0.1:0/3706536469".
using Blocklist = std::set<std::string>;

// The answer to `osd blocklist ls` in JSON. Unknown entries are skipped; a reply that is not a list
// of entries is an error.
std::expected<Blocklist, std::string> parse_blocklist(std::string_view json);

// Whether it can be the address of an instance: printable, of a bounded length, and with a nonce,
// so that it is never a whole host. For addresses from a file or an object.
bool is_instance_address(std::string_view address);

// Some replies have the messenger's type as a prefix, "v1:10.0.0.1:0/37"; the instances' own
// addresses and the blocklist do not.
std::string without_type(std::string_view address);

}  // namespace tcmurbd::ceph
