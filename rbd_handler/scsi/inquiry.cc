// SPDX-License-Identifier: Apache-2.0
// SPC-4: INQUIRY, standard data.
#include <array>
#include <boost/endian/conversion.hpp>

#include "rbd_handler/scsi/handlers.h"
#include "rbd_handler/scsi/inquiry_pages.h"

namespace tcmurbd::scsi {
namespace {

using boost::endian::store_big_u16;

constexpr size_t kStandardBytes = 96;

// SPC-4, version descriptor values.
constexpr std::array<uint16_t, 3> kVersionDescriptors = {
    0x00a0,  // SAM-5
    0x0460,  // SPC-4
    0x04c0,  // SBC-3
};

}  // namespace

void append_ascii(std::vector<uint8_t>& out, std::string_view text, size_t width) {
  text = text.substr(0, width);
  for (const char c : text) {
    out.push_back(c >= 0x20 && c <= 0x7e ? static_cast<uint8_t>(c) : uint8_t{'_'});
  }
  out.insert(out.end(), width - text.size(), uint8_t{' '});
}

void append_standard_inquiry(const TargetFacts& target, std::vector<uint8_t>& out) {
  const size_t start = out.size();
  uint8_t* head = append(out, 8);
  head[0] = 0x00;                // Connected, direct access block device.
  head[2] = 0x06;                // VERSION: SPC-4.
  head[3] = 0x10 | 0x02;         // HISUP=1, RESPONSE DATA FORMAT 2.
  head[4] = kStandardBytes - 5;  // ADDITIONAL LENGTH
  // TPGS: implicit only, since no command changes a state. 3PC=1: EXTENDED COPY. PROTECT=0.
  head[5] = (target.groups.empty() ? 0x00 : 0x10) | 0x08;
  head[7] = 0x02;  // CMDQUE=1
  append_ascii(out, target.vendor, 8);
  append_ascii(out, target.product, 16);
  append_ascii(out, target.revision, 4);
  append(out, kStandardBytes - 36);
  for (size_t i = 0; i < kVersionDescriptors.size(); ++i) {
    store_big_u16(&out[start + 58 + 2 * i], kVersionDescriptors[i]);
  }
}

Plan plan_command(const Inquiry& command, const Context& context) {
  if (!command.vital_product_data) {
    append_standard_inquiry(context.target, context.data_in);
    return good();
  }
  return append_vpd_page(command.page_code, context) ? good() : check(kInvalidFieldInCdb);
}

}  // namespace tcmurbd::scsi
