// SPDX-License-Identifier: Apache-2.0
// Private to scsi/: the limits that VPD B0 reports and the commands enforce. Any thread.
#pragma once

#include <algorithm>
#include <cstdint>
#include <expected>

#include "common/units.h"
#include "rbd_handler/scsi/facts.h"
#include "rbd_handler/scsi/sense.h"

namespace tcmurbd::scsi {

// Maximum range of one UNMAP (all descriptors together) or WRITE SAME, in RADOS objects. librbd
// issues one op per object: 64 keep a command well within its deadline and leave room for others;
// with 4 MiB objects they are 256 MiB, so a host trims a terabyte in 4096 commands.
inline constexpr uint64_t kObjectsPerZeroingMax = 64;

// Blocks for one UNMAP or WRITE SAME. At least 1; fits in 32 bits.
inline uint32_t max_zeroing_blocks(const DiskFacts& disk) {
  const uint64_t blocks = kObjectsPerZeroingMax * disk.object_bytes / disk.block_size;
  return static_cast<uint32_t>(std::clamp<uint64_t>(blocks, 1, UINT32_MAX));
}

// Blocks of one COMPARE AND WRITE. Hosts need no more: ESXi's on-disk locks are one block.
inline constexpr uint8_t kCompareAndWriteBlocksMax = 1;

// Maximum length of a command that needs a separate buffer: the largest transfer of common hosts,
// or MAXIMUM TRANSFER LENGTH of VPD B0 if that is larger. Some initiators, such as libiscsi's
// tests, ignore it and send more than the kernel's default of 64 KiB.
inline constexpr uint32_t kReadBackBytesMax = 4 * kMiB;

inline uint32_t max_read_back_blocks(const DiskFacts& disk) {
  return std::max(disk.max_transfer_bytes, kReadBackBytesMax) / disk.block_size;
}

// A write within one object is one RADOS op, which is atomic, also after a crash. Alignment,
// granularity and maximum length of atomic writes are the same value, so that every valid atomic
// write is within one object. 16 KiB is the largest page that common databases write; Linux offers
// no atomic writes that are smaller than the alignment.
inline constexpr uint32_t kAtomicBytes = 16 * kKiB;

// In blocks; 0: there are no atomic writes.
inline uint32_t atomic_blocks(const DiskFacts& disk) {
  const bool transferred = disk.max_transfer_bytes == 0 || disk.max_transfer_bytes >= kAtomicBytes;
  return disk.stripe_bytes % kAtomicBytes == 0 && transferred ? kAtomicBytes / disk.block_size : 0;
}

// The optimal alignment, and the smallest range that zeroing deallocates: BlueStore's allocation
// unit (4 KiB today, 64 KiB on disks of older clusters). The object size would be too coarse: only
// whole objects are deleted, but the OSD frees allocation units within objects too (measured,
// BlueStore of Pacific, within an object of 4 MiB: UNMAP of 64 KiB freed 64 KiB, of 1 MiB 1 MiB, of
// 4 KiB 4 KiB, of a block nothing). VMFS6 does not reclaim automatically if the granularity is
// above 1 MiB, and Linux trims no ranges below it.
inline constexpr uint32_t kGranularityBytes = 64 * kKiB;

inline uint32_t granularity_blocks(const DiskFacts& disk) {
  return std::max(1u, std::min(kGranularityBytes, disk.object_bytes) / disk.block_size);
}

// The bytes of `blocks` from `lba` on, or LOGICAL BLOCK ADDRESS OUT OF RANGE. Any values are
// allowed. Zero blocks are within the disk up to and including its end.
inline std::expected<ByteRange, Sense> range_within(const DiskFacts& disk, uint64_t lba,
                                                    uint64_t blocks) {
  if (lba > disk.blocks || blocks > disk.blocks - lba) return std::unexpected(kLbaOutOfRange);
  return ByteRange{lba * disk.block_size, blocks * disk.block_size};
}

}  // namespace tcmurbd::scsi
