// SPDX-License-Identifier: Apache-2.0
// The length of a CDB, which the ring does not contain. Pure, any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace tcmurbd::ring {

// The length of the CDB that `bytes` begins with, by its operation code (SPC-4 4.2.5.1, group
// codes; 4.2.3 for the variable length of 7Fh). Reserved and vendor specific groups have no defined
// length: takes the available bytes, up to 16, so that the parser can refuse the command. 0:
// `bytes` is too short for it, or it is longer than kCdbBytesMax.
size_t cdb_length(std::span<const uint8_t> bytes);

}  // namespace tcmurbd::ring
