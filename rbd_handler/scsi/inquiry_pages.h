// SPDX-License-Identifier: Apache-2.0
// Private to scsi/: the parts of INQUIRY. Each function appends to `out`.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "rbd_handler/scsi/facts.h"
#include "rbd_handler/scsi/handlers.h"

namespace tcmurbd::scsi {

// `text` as a left-aligned ASCII field of `width` bytes (SPC-4, ASCII data field requirements):
// padded with blanks, cut if too long. Bytes that are not allowed become '_'.
void append_ascii(std::vector<uint8_t>& out, std::string_view text, size_t width);

// inquiry.cc: the standard data.
void append_standard_inquiry(const TargetFacts& target, std::vector<uint8_t>& out);

// vpd.cc: one VPD page with its header. False: there is no such page.
bool append_vpd_page(uint8_t page_code, const Context& context);

// extended_copy.cc: the body of VPD 8F.
void append_third_party_copy(const Context& context);

// device_id.cc: the designators of VPD 83.
void append_designators(const TargetFacts& target, std::vector<uint8_t>& out);

}  // namespace tcmurbd::scsi
