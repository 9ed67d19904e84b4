// SPDX-License-Identifier: Apache-2.0
// EXTENDED COPY (LID1) as values: the request of the parameter list, its extents on known disks,
// and the limits that RECEIVE COPY RESULTS and VPD 8F report. Any thread.
//
//   read_copy_list:  parameter list -> CopyRequest (CSCDs and blocks)
//   names:           whether a descriptor names a logical unit
//   plan_copy:       CopyRequest + the disks -> CopyExtents in bytes, all within their disks
//
// Served: CSCD descriptors of type E4h (identification descriptor) and segment descriptors of type
// 02h (block device to block device); hosts use no others for disks.
#pragma once

#include <boost/container/static_vector.hpp>
#include <cstdint>
#include <expected>
#include <span>

#include "common/iov.h"
#include "common/units.h"
#include "rbd_handler/scsi/facts.h"
#include "rbd_handler/scsi/sense.h"

namespace tcmurbd::scsi {

// Hosts use one or two logical units.
inline constexpr size_t kCopyCscdsMax = 8;
// ESXi's largest claim rule, 240 MiB, is eight segments of 30 MiB.
inline constexpr size_t kCopySegmentsMax = 16;
// Fits 65535 blocks of 512 bytes, the maximum of a segment. With kCopySegmentsMax it bounds the
// duration of one command.
inline constexpr uint32_t kCopySegmentBytesMax = 32 * kMiB;
inline constexpr size_t kCopyHeaderBytes = 16;
inline constexpr size_t kCscdBytes = 32;
inline constexpr size_t kSegmentBytes = 28;
inline constexpr uint32_t kCopyDescriptorBytesMax =
    kCopyCscdsMax * kCscdBytes + kCopySegmentsMax * kSegmentBytes;
// Copies that run at a time on all LUNs together: each has a share of the memory for copies.
inline constexpr uint32_t kCopiesMax = 8;

// A copy source or destination: a designator as in VPD 83.
struct CopyCscd {
  uint8_t code_set = 0;
  uint8_t designator_type = 0;
  boost::container::static_vector<uint8_t, 20> designator;
  uint32_t block_bytes = 0;  // DISK BLOCK LENGTH; 0: not given.
};

struct CopySegment {
  uint16_t source = 0;  // Index in cscds.
  uint16_t destination = 0;
  uint64_t source_lba = 0;
  uint64_t destination_lba = 0;
  uint16_t blocks = 0;  // Of the source, or of the destination with DC=1.
  bool counts_destination_blocks = false;
};

// LIST ID USAGE.
enum class CopyListId : uint8_t {
  kKeep = 0,     // RECEIVE COPY RESULTS may ask for it, also after the copy has ended.
  kDiscard = 2,  // Only while it runs.
  kNone = 3,
};

struct CopyRequest {
  uint8_t list_id = 0;
  CopyListId usage = CopyListId::kKeep;
  boost::container::static_vector<CopyCscd, kCopyCscdsMax> cscds;
  boost::container::static_vector<CopySegment, kCopySegmentsMax> segments;
};

// `list_length` of the CDB, not 0. Never reads beyond it or beyond `data`. On success each
// segment's source and destination are valid indexes in cscds.
std::expected<CopyRequest, Sense> read_copy_list(IovSpan data, uint32_t list_length);

// Whether `cscd` is one of the logical unit's designators in VPD 83. Target port designators do not
// count: other logical units have the same.
bool names(const CopyCscd& cscd, const TargetFacts& target);

// A segment on known disks.
struct CopyExtent {
  uint16_t source = 0;  // Number of a disk, as passed to plan_copy().
  uint16_t destination = 0;
  uint64_t from = 0;  // Bytes.
  uint64_t to = 0;
  uint64_t length = 0;  // 0: nothing to copy.
  bool operator==(const CopyExtent&) const = default;
};
using CopyExtents = boost::container::static_vector<CopyExtent, kCopySegmentsMax>;

// The disk of a CSCD. CSCDs of the same disk have the same number.
struct ServedDisk {
  uint16_t number = 0;
  DiskFacts facts;
};

// One extent for each segment, in their order. `disks`: one for each CSCD.
std::expected<CopyExtents, Sense> plan_copy(const CopyRequest& request,
                                            std::span<const ServedDisk> disks);

}  // namespace tcmurbd::scsi
