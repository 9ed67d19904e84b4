// SPDX-License-Identifier: Apache-2.0
// Private to scsi/: mode pages and their headers. They cannot be changed (a change would apply to
// this gateway only, and a host uses several), so current and default values are the same, and MODE
// SELECT accepts only these. Any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "rbd_handler/scsi/facts.h"

namespace tcmurbd::scsi {

struct ModePage {
  uint8_t code;
  std::span<const uint8_t> bytes;  // The whole page in page_0 format, with its two header bytes.
};

// By page code. No page has subpages.
std::span<const ModePage> mode_pages();
const ModePage* find_mode_page(uint8_t code);

// Mode parameter header of the 6 and the 10-byte commands (SPC-4).
constexpr size_t mode_header_bytes(bool ten) { return ten ? 8 : 4; }
inline constexpr size_t kShortBlockDescriptorBytes = 8;  // SBC-3
inline constexpr size_t kLongBlockDescriptorBytes = 16;

}  // namespace tcmurbd::scsi
