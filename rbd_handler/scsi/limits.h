// SPDX-License-Identifier: Apache-2.0
// Private to scsi/: the limits that VPD B0 tells and the commands enforce, so that both say the
// same. Any thread.
#pragma once

#include <algorithm>
#include <cstdint>
#include <expected>

#include "common/units.h"
#include "rbd_handler/scsi/facts.h"
#include "rbd_handler/scsi/sense.h"

namespace tcmurbd::scsi {

// RADOS objects' worth of blocks that one UNMAP (all its descriptors together) or WRITE SAME may
// name. Each object is an op of its own inside librbd: 64 keep one command well inside its deadline
// and leave the Objecter's throttle to others, and with 4 MiB objects they are 256 MiB, so that a
// host trims a terabyte in 4096 commands.
inline constexpr uint64_t kObjectsPerZeroingMax = 64;

// Blocks for one UNMAP or WRITE SAME. At least 1; fits in 32 bits.
inline uint32_t max_zeroing_blocks(const DiskFacts& disk) {
  const uint64_t blocks = kObjectsPerZeroingMax * disk.object_bytes / disk.block_size;
  return static_cast<uint32_t>(std::clamp<uint64_t>(blocks, 1, UINT32_MAX));
}

// Blocks of one COMPARE AND WRITE. librbd of Pacific compares one sector at a time, and hosts ask
// for no more: ESXi's locks on disk are one block.
inline constexpr uint8_t kCompareAndWriteBlocksMax = 1;

// Blocks of one command for which we need memory of our own: what common hosts transfer at most, or
// MAXIMUM TRANSFER LENGTH of VPD B0 if that is more. Initiators that do not look at it, libiscsi's
// tests among them, send longer ones than the 64 KiB that the kernel tells unless it is told other.
inline constexpr uint32_t kReadBackBytesMax = 4 * kMiB;

inline uint32_t max_read_back_blocks(const DiskFacts& disk) {
  return std::max(disk.max_transfer_bytes, kReadBackBytesMax) / disk.block_size;
}

// What lies in one object is written by one op of RADOS, which is all or nothing, also after a
// crash. Alignment, granularity and maximum length of atomic writes are one: only then does
// whatever keeps to them lie in one object. 16 KiB is the largest page that common databases write;
// Linux offers no atomic writes that are smaller than the alignment.
inline constexpr uint32_t kAtomicBytes = 16 * kKiB;

// In blocks; 0: there are no atomic writes.
inline uint32_t atomic_blocks(const DiskFacts& disk) {
  const bool transferred = disk.max_transfer_bytes == 0 || disk.max_transfer_bytes >= kAtomicBytes;
  return disk.stripe_bytes % kAtomicBytes == 0 && transferred ? kAtomicBytes / disk.block_size : 0;
}

// What is worth aligning to, and the smallest range that zeroing gives back to the pool:
// BlueStore's allocation unit (4 KiB today, 64 KiB on disks of older clusters). The object size
// would be too coarse to tell: only whole objects are deleted, but the OSD frees allocation units
// within them too (measured, BlueStore of Pacific, within an object of 4 MiB: UNMAP of 64 KiB freed
// 64 KiB, of 1 MiB 1 MiB, of 4 KiB 4 KiB, of a block nothing), VMFS6 reclaims nothing by itself if
// the granularity is above 1 MiB, and Linux trims nothing smaller than it.
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
