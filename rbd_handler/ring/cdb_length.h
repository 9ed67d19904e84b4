// SPDX-License-Identifier: Apache-2.0
// How long a CDB is: the ring doesn't say. Pure, any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace tcmurbd::ring {

// The length of the CDB that `bytes` begins with, by its operation code (SPC-4 4.2.5.1, group
// codes; 4.2.3 for the variable length of 7Fh). Reserved and vendor specific groups have no length
// of their own: what is there, up to 16 bytes, so that the parser can refuse the command by name.
// 0: `bytes` is too short for it, or it is longer than kCdbBytesMax.
size_t cdb_length(std::span<const uint8_t> bytes);

}  // namespace tcmurbd::ring
