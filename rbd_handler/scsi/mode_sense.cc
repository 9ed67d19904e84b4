// SPDX-License-Identifier: Apache-2.0
// SPC-4: MODE SENSE(6) and (10).
#include <algorithm>
#include <boost/endian/conversion.hpp>

#include "rbd_handler/scsi/handlers.h"
#include "rbd_handler/scsi/mode_pages.h"

namespace tcmurbd::scsi {
namespace {

using boost::endian::store_big_u16;
using boost::endian::store_big_u24;
using boost::endian::store_big_u32;
using boost::endian::store_big_u64;

constexpr uint8_t kAllPages = 0x3f;
constexpr uint8_t kAllSubpages = 0xff;

void append_header(const ModeSense& command, const DiskFacts& disk, size_t descriptor_bytes,
                   std::vector<uint8_t>& out) {
  uint8_t* header = append(out, mode_header_bytes(command.ten));
  // DEVICE-SPECIFIC PARAMETER (SBC-3): WP, and DPOFUA=1: both bits are accepted in all reads and
  // writes.
  const uint8_t device_specific = (disk.read_only ? 0x80 : 0x00) | 0x10;
  if (command.ten) {
    header[3] = device_specific;
    header[4] = descriptor_bytes == kLongBlockDescriptorBytes ? 0x01 : 0x00;  // LONGLBA
    store_big_u16(&header[6], static_cast<uint16_t>(descriptor_bytes));
  } else {
    header[2] = device_specific;
    header[3] = static_cast<uint8_t>(descriptor_bytes);
  }
}

void append_block_descriptor(const DiskFacts& disk, size_t bytes, std::vector<uint8_t>& out) {
  if (bytes == 0) return;
  uint8_t* descriptor = append(out, bytes);
  if (bytes == kLongBlockDescriptorBytes) {
    store_big_u64(&descriptor[0], disk.blocks);
    store_big_u32(&descriptor[12], disk.block_size);
    return;
  }
  store_big_u32(&descriptor[0], static_cast<uint32_t>(std::min<uint64_t>(disk.blocks, UINT32_MAX)));
  store_big_u24(&descriptor[5], disk.block_size);
}

// Changeable values are a mask: all zero.
void append_page(const ModePage& page, bool changeable, std::vector<uint8_t>& out) {
  uint8_t* bytes = append(out, page.bytes.size());
  std::ranges::copy(changeable ? page.bytes.first(2) : page.bytes, bytes);
}

size_t block_descriptor_bytes(const ModeSense& command) {
  if (command.no_block_descriptor) return 0;
  return command.long_lba_accepted ? kLongBlockDescriptorBytes : kShortBlockDescriptorBytes;
}

}  // namespace

Plan plan_command(const ModeSense& command, const Context& context) {
  // 'All subpages' of a page without any, or of all pages, is the pages themselves.
  if (command.subpage_code != 0 && command.subpage_code != kAllSubpages)
    return check(kInvalidFieldInCdb);
  const bool all = command.page_code == kAllPages;
  if (!all && !find_mode_page(command.page_code)) return check(kInvalidFieldInCdb);

  std::vector<uint8_t>& out = context.data_in;
  const size_t descriptor_bytes = block_descriptor_bytes(command);
  append_header(command, context.disk, descriptor_bytes, out);
  append_block_descriptor(context.disk, descriptor_bytes, out);
  for (const ModePage& page : mode_pages()) {
    if (all || page.code == command.page_code) append_page(page, command.changeable, out);
  }
  // MODE DATA LENGTH: the length of the data after it, independent of the allocation length.
  if (command.ten) {
    store_big_u16(out.data(), static_cast<uint16_t>(out.size() - 2));
  } else {
    out[0] = static_cast<uint8_t>(out.size() - 1);
  }
  return good();
}

}  // namespace tcmurbd::scsi
