// SPDX-License-Identifier: Apache-2.0
// SPC-4 and SBC-3: vital product data pages.
#include <algorithm>
#include <array>
#include <boost/endian/conversion.hpp>

#include "rbd_handler/scsi/handlers.h"
#include "rbd_handler/scsi/inquiry_pages.h"
#include "rbd_handler/scsi/limits.h"

namespace tcmurbd::scsi {
namespace {

using boost::endian::store_big_u16;
using boost::endian::store_big_u32;
using boost::endian::store_big_u64;

constexpr size_t kHeaderBytes = 4;

void append_supported_pages(const Context& context);

// Empty while no serial is set: ceph-iscsi writes it after it enables the device.
void append_serial_number(const Context& context) {
  const std::string& serial = context.target.unit_serial;
  // 252: the maximum for hosts that read PAGE LENGTH as one byte and request 256 bytes in total.
  append_ascii(context.data_in, serial, std::min<size_t>(serial.size(), 252));
}

void append_device_identification(const Context& context) {
  append_designators(context.target, context.data_in);
}

// 86. Only SIMPSUP: the kernel accepts ORDERED and HEAD OF QUEUE too, but does not pass them on, so
// they have no effect. No groups (GROUP NUMBER is ignored), no priorities, no protection; V_SUP=0:
// no volatile cache. The kernel handles the unit attentions of LUICLR.
void append_extended_inquiry(const Context& context) {
  uint8_t* page = append(context.data_in, 60) - kHeaderBytes;
  page[5] = 0x01;
}

// B0. Field names and byte numbers as in SBC-3, counted from the page's first byte; of atomic
// writes, as in SBC-4. None has a boundary.
void append_block_limits(const Context& context) {
  const DiskFacts& disk = context.disk;
  const uint32_t granularity = granularity_blocks(disk);
  const uint32_t max_transfer = disk.max_transfer_bytes / disk.block_size;
  // A transfer of one object is one RADOS op, longer ones are split.
  uint32_t optimal_transfer = std::max(1u, disk.object_bytes / disk.block_size);
  if (max_transfer != 0) optimal_transfer = std::min(optimal_transfer, max_transfer);

  uint8_t* page = append(context.data_in, 60) - kHeaderBytes;
  page[4] = 0x01;                       // WSNZ
  page[5] = kCompareAndWriteBlocksMax;  // MAXIMUM COMPARE AND WRITE LENGTH
  store_big_u16(&page[6],               // OPTIMAL TRANSFER LENGTH GRANULARITY
                static_cast<uint16_t>(std::min<uint32_t>(granularity, UINT16_MAX)));
  store_big_u32(&page[8], max_transfer);  // MAXIMUM TRANSFER LENGTH
  store_big_u32(&page[12], optimal_transfer);
  store_big_u32(&page[20], max_zeroing_blocks(disk));  // MAXIMUM UNMAP LBA COUNT
  store_big_u32(&page[24], kUnmapDescriptorsMax);      // MAXIMUM UNMAP BLOCK DESCRIPTOR COUNT
  store_big_u32(&page[28], granularity);               // OPTIMAL UNMAP GRANULARITY
  store_big_u32(&page[32], 0x80000000);                // UGAVALID, UNMAP GRANULARITY ALIGNMENT 0
  store_big_u64(&page[36], max_zeroing_blocks(disk));  // MAXIMUM WRITE SAME LENGTH
  store_big_u32(&page[44], atomic_blocks(disk));       // MAXIMUM ATOMIC TRANSFER LENGTH
  store_big_u32(&page[48], atomic_blocks(disk));       // ATOMIC ALIGNMENT
  store_big_u32(&page[52], atomic_blocks(disk));       // ATOMIC TRANSFER LENGTH GRANULARITY
}

// B1. MEDIUM ROTATION RATE: 0001h = does not rotate; 0000h = not reported, which hosts take for a
// rotating disk.
void append_block_characteristics(const Context& context) {
  uint8_t* page = append(context.data_in, 60) - kHeaderBytes;
  store_big_u16(&page[4], context.disk.rotational ? 0x0000 : 0x0001);
}

// B2. LBPU, LBPWS, LBPWS10; LBPRZ 001b: UNMAP and WRITE SAME are exact zeroing. No anchoring. Thin
// provisioned.
void append_logical_block_provisioning(const Context& context) {
  uint8_t* page = append(context.data_in, 4) - kHeaderBytes;
  page[5] = 0x80 | 0x40 | 0x20 | 0x04;
  page[6] = 0x02;  // PROVISIONING TYPE: thin.
}

struct VpdPage {
  uint8_t code;
  void (*append_body)(const Context&);
};

constexpr auto kPages = std::to_array<VpdPage>({
    {0x00, append_supported_pages},
    {0x80, append_serial_number},
    {0x83, append_device_identification},
    {0x86, append_extended_inquiry},
    {0x8f, append_third_party_copy},
    {0xb0, append_block_limits},
    {0xb1, append_block_characteristics},
    {0xb2, append_logical_block_provisioning},
});

void append_supported_pages(const Context& context) {
  for (const VpdPage& page : kPages) context.data_in.push_back(page.code);
}

}  // namespace

bool append_vpd_page(uint8_t page_code, const Context& context) {
  const auto page = std::ranges::find(kPages, page_code, &VpdPage::code);
  if (page == kPages.end()) return false;
  const size_t start = context.data_in.size();
  append(context.data_in, kHeaderBytes)[1] = page_code;
  page->append_body(context);
  const size_t length = context.data_in.size() - start - kHeaderBytes;
  store_big_u16(&context.data_in[start + 2], static_cast<uint16_t>(length));
  return true;
}

}  // namespace tcmurbd::scsi
