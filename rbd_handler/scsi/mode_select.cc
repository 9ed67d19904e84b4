// SPDX-License-Identifier: Apache-2.0
// SPC-4: MODE SELECT(6) and (10). Nothing can be changed: a list with the values of MODE SENSE is
// accepted, so that hosts can write back what they read; all other values are refused.
#include <algorithm>
#include <boost/endian/conversion.hpp>
#include <optional>

#include "rbd_handler/scsi/handlers.h"
#include "rbd_handler/scsi/mode_pages.h"

namespace tcmurbd::scsi {
namespace {

using boost::endian::load_big_u16;
using boost::endian::load_big_u24;
using boost::endian::load_big_u32;
using boost::endian::load_big_u64;

using List = std::span<const uint8_t>;
using Refusal = std::optional<Sense>;

struct Header {
  uint8_t medium_type;
  bool long_lba;
  size_t descriptor_bytes;
};

// MODE DATA LENGTH and the device-specific parameter are reserved here and ignored.
Header read_header(List list, bool ten) {
  if (ten) return {list[2], (list[4] & 0x01) != 0, load_big_u16(&list[6])};
  return {list[1], false, list[3]};
}

// NUMBER OF LOGICAL BLOCKS: 0 and all ones request no change (SBC-3).
bool keeps_capacity(uint64_t blocks, uint64_t all_ones, const DiskFacts& disk) {
  return blocks == 0 || blocks == all_ones || blocks == disk.blocks;
}

bool keeps_shape(List descriptor, const DiskFacts& disk) {
  if (descriptor.size() == kLongBlockDescriptorBytes) {
    return keeps_capacity(load_big_u64(descriptor.data()), UINT64_MAX, disk) &&
           load_big_u32(&descriptor[12]) == disk.block_size;
  }
  return keeps_capacity(load_big_u32(descriptor.data()), UINT32_MAX, disk) &&
         load_big_u24(&descriptor[5]) == disk.block_size;
}

Refusal check_pages(List pages) {
  while (!pages.empty()) {
    if (pages.size() < 2) return kParameterListLengthError;
    const bool has_subpage = (pages[0] & 0x40) != 0;  // SPF
    const ModePage* page = find_mode_page(pages[0] & 0x3f);
    if (has_subpage || !page || pages[1] != page->bytes[1]) return kInvalidFieldInParameterList;
    if (pages.size() < page->bytes.size()) return kParameterListLengthError;
    // From byte 1 on: bit 7 of byte 0 (PS) is reserved here.
    if (!std::ranges::equal(pages.first(page->bytes.size()).subspan(1), page->bytes.subspan(1)))
      return kInvalidFieldInParameterList;
    pages = pages.subspan(page->bytes.size());
  }
  return std::nullopt;
}

Refusal check_list(List list, bool ten, const DiskFacts& disk) {
  if (list.size() < mode_header_bytes(ten)) return kParameterListLengthError;
  const Header header = read_header(list, ten);
  list = list.subspan(mode_header_bytes(ten));
  const size_t one_descriptor =
      header.long_lba ? kLongBlockDescriptorBytes : kShortBlockDescriptorBytes;
  if (header.medium_type != 0) return kInvalidFieldInParameterList;
  if (header.descriptor_bytes != 0 && header.descriptor_bytes != one_descriptor)
    return kInvalidFieldInParameterList;
  if (list.size() < header.descriptor_bytes) return kParameterListLengthError;
  if (header.descriptor_bytes != 0 && !keeps_shape(list.first(one_descriptor), disk))
    return kInvalidFieldInParameterList;
  return check_pages(list.subspan(header.descriptor_bytes));
}

}  // namespace

Plan plan_command(const ModeSelect& command, const Context& context) {
  if (command.parameter_list_length == 0) return good();  // An empty list is no error.
  if (context.request.data_length < command.parameter_list_length)
    return check(kParameterListLengthError);
  std::vector<uint8_t> list(command.parameter_list_length);
  if (copy_from_iov(context.request.data, 0, list) != list.size())
    return check(kParameterListLengthError);
  const Refusal refusal = check_list(list, command.ten, context.disk);
  return refusal ? check(*refusal) : good();
}

}  // namespace tcmurbd::scsi
