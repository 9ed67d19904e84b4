// SPDX-License-Identifier: Apache-2.0
// SBC-3: GET LBA STATUS. An op of the image (kBlockStatus) finds mapped ranges; a block is
// deallocated if none of its bytes can hold data, and then reads as zeroes (LBPRZ).
#include <algorithm>
#include <boost/endian/conversion.hpp>

#include "rbd_handler/scsi/handlers.h"

namespace tcmurbd::scsi {
namespace {

using boost::endian::store_big_u32;
using boost::endian::store_big_u64;

// PROVISIONING STATUS.
enum class Provisioning : uint8_t { kMapped = 0x0, kDeallocated = 0x1 };

constexpr size_t kLengthBytes = 4;  // PARAMETER DATA LENGTH, which does not include itself.

void append_descriptor(uint64_t lba, uint64_t blocks, Provisioning status,
                       std::vector<uint8_t>& out) {
  if (blocks == 0) return;
  uint8_t* descriptor = append(out, 16);
  store_big_u64(&descriptor[0], lba);
  store_big_u32(&descriptor[8], static_cast<uint32_t>(blocks));
  descriptor[12] = static_cast<uint8_t>(status);
}

}  // namespace

void append_lba_status(uint32_t block_size, const ByteRange& range,
                       std::span<const ByteRange> mapped, std::vector<uint8_t>& out) {
  const size_t start = out.size();
  append(out, 8);
  uint64_t reported = range.offset / block_size;
  for (auto run = mapped.begin(); run != mapped.end();) {
    const uint64_t first = run->offset / block_size;
    uint64_t end = first;
    // Merges ranges in the same or adjacent blocks.
    for (; run != mapped.end() && run->offset / block_size <= end; ++run)
      end = (run->end() + block_size - 1) / block_size;
    append_descriptor(reported, first - reported, Provisioning::kDeallocated, out);
    append_descriptor(first, end - first, Provisioning::kMapped, out);
    reported = end;
  }
  append_descriptor(reported, range.end() / block_size - reported, Provisioning::kDeallocated, out);
  store_big_u32(&out[start], static_cast<uint32_t>(out.size() - start - kLengthBytes));
}

// The answer may be shorter than the rest of the disk (SBC-3 5.4): it ends with the last object
// that one op may query.
Plan plan_command(const GetLbaStatus& command, const Context& context) {
  const DiskFacts& disk = context.disk;
  if (command.lba >= disk.blocks) return check(kLbaOutOfRange);
  if (command.allocation_length == 0) return good();
  const uint64_t offset = command.lba * disk.block_size;
  const uint64_t reported = kBlockStatusObjectsMax * disk.object_bytes - offset % disk.object_bytes;
  const uint64_t left = (disk.blocks - command.lba) * disk.block_size;
  ImageOps ops;
  ops.ops.push_back({OpKind::kBlockStatus, {offset, std::min(reported, left)}});
  return ops;
}

}  // namespace tcmurbd::scsi
