// SPDX-License-Identifier: Apache-2.0
// The commands that this disk serves, as values: after parse() nobody looks at CDB bytes again.
// Lengths are in blocks or bytes as each field says; nothing is checked against the disk yet,
// plan() does that. Any thread.
//
// To serve another command: a struct here and in Command, a row in opcode_table.cc, its parser
// (cdb_parsers.h) and its plan_command() (handlers.h).
#pragma once

#include <cstdint>
#include <expected>
#include <span>
#include <variant>

#include "rbd_handler/scsi/sense.h"

namespace tcmurbd::scsi {

// A member `allocation_length` bounds the Data-In of its command (SPC-4, allocation length); plan()
// obeys it for all of them in one place. Bytes.

struct TestUnitReady {};

struct RequestSense {
  bool descriptor_format = false;
  uint32_t allocation_length = 0;
};

struct Inquiry {
  bool vital_product_data = false;  // EVPD; false: the standard data, and page_code is 0.
  uint8_t page_code = 0;
  uint32_t allocation_length = 0;
};

struct ReadCapacity10 {
  uint32_t lba = 0;  // Counts with `partial` only.
  bool partial = false;
};

struct ReadCapacity16 {
  uint64_t lba = 0;
  bool partial = false;
  uint32_t allocation_length = 0;
};

struct ModeSense {
  bool ten = false;  // MODE SENSE(10): the long header.
  bool no_block_descriptor = false;
  bool long_lba_accepted = false;
  // Tell the mask of what MODE SELECT may change; else the current values, which are the default.
  bool changeable = false;
  uint8_t page_code = 0;
  uint8_t subpage_code = 0;
  uint32_t allocation_length = 0;
};

struct ModeSelect {
  bool ten = false;
  uint32_t parameter_list_length = 0;  // Bytes.
};

// Only what leaves the disk as it is passes parse(): start, without load, eject or power condition.
struct StartStopUnit {};

// The medium is fixed: what PREVENT asks for holds anyway.
struct PreventAllowMediumRemoval {};

// READ and WRITE of 6, 10, 12 and 16 bytes. FUA and DPO are not kept: there is no volatile cache
// (rbd_cache is off), so every write that is acknowledged is on the medium and every read comes
// from it.
struct Read {
  uint64_t lba = 0;
  uint64_t blocks = 0;  // 0 = none: parse() has made the 0 of a 6-byte CDB into 256.
};

struct Write {
  uint64_t lba = 0;
  uint64_t blocks = 0;
};

// WRITE ATOMIC. An ATOMIC BOUNDARY, which would allow to split it, does not pass parse().
struct WriteAtomic {
  uint64_t lba = 0;
  uint64_t blocks = 0;
};

struct SynchronizeCache {
  uint64_t lba = 0;
  uint64_t blocks = 0;  // 0 = to the end of the disk.
  bool immediate = false;
};

// There is no cache to fetch into. IMMED is not kept: it takes no time.
struct PreFetch {
  uint64_t lba = 0;
  uint64_t blocks = 0;  // 0 = to the end of the disk.
};

struct Unmap {
  uint32_t parameter_list_length = 0;  // Bytes.
};

// The UNMAP bit is not kept: zeroes are always written as exact zeroing, which frees what it can,
// and a pattern that is not zero can't be unmapped since LBPRZ promises zeroes.
struct WriteSame {
  uint64_t lba = 0;
  uint64_t blocks = 0;
  bool no_data_out = false;  // NDOB: the block is all zeroes and is not transferred.
};

// At most one block, as VPD B0 says. DPO and FUA are not kept, as with Write.
struct CompareAndWrite {
  uint64_t lba = 0;
  uint64_t blocks = 0;  // 0 = nothing is compared, nothing written.
};

// VERIFY, WRITE AND VERIFY and ORWRITE. DPO and FUA are not kept, as with Write.
struct Verify {
  // BYTCHK. kOneBlock: one block is sent, and compared with each.
  enum class Comparison : uint8_t { kNone, kAll, kOneBlock };
  uint64_t lba = 0;
  uint64_t blocks = 0;
  Comparison comparison = Comparison::kNone;
};

struct WriteAndVerify {
  uint64_t lba = 0;
  uint64_t blocks = 0;
  bool compare = false;  // BYTCHK; else it is only read back.
};

struct OrWrite {
  uint64_t lba = 0;
  uint64_t blocks = 0;
};

// All provisioning states are told: a REPORT TYPE (SBC-4) that leaves some out does not pass
// parse().
struct GetLbaStatus {
  uint64_t lba = 0;
  uint32_t allocation_length = 0;
};

struct ReadDefectData {
  bool twelve = false;      // READ DEFECT DATA(12): the long header.
  bool primary = false;     // REQ_PLIST
  bool grown = false;       // REQ_GLIST
  uint8_t list_format = 0;  // One that SBC-3 defines: all of them are the same for an empty list.
  uint32_t allocation_length = 0;
};

struct LogSense {
  uint8_t page_control = 0;
  uint8_t page_code = 0;
  uint8_t subpage_code = 0;
  uint16_t parameter_pointer = 0;
  uint32_t allocation_length = 0;
};

struct ReportTargetPortGroups {
  bool extended_header = false;
  uint32_t allocation_length = 0;
};

// EXTENDED COPY (LID1); see copy.h.
struct ExtendedCopy {
  uint32_t parameter_list_length = 0;  // Bytes.
};

struct ReceiveCopyResults {
  enum class Results : uint8_t { kStatus, kOperatingParameters, kFailedSegment };
  Results results = Results::kStatus;
  uint8_t list_id = 0;
  uint32_t allocation_length = 0;
};

struct ReportSupportedOperationCodes {
  enum class Options : uint8_t { kAll, kOpcode, kServiceAction, kEither };
  Options options = Options::kAll;
  bool timeouts = false;  // RCTD
  uint8_t opcode = 0;
  uint16_t service_action = 0;
  uint32_t allocation_length = 0;
};

struct ReportSupportedTaskManagementFunctions {
  bool extended = false;  // REPD
  uint32_t allocation_length = 0;
};

using Command =
    std::variant<TestUnitReady, RequestSense, Inquiry, ReadCapacity10, ReadCapacity16, ModeSense,
                 ModeSelect, StartStopUnit, PreventAllowMediumRemoval, Read, Write, WriteAtomic,
                 SynchronizeCache, PreFetch, Unmap, WriteSame, CompareAndWrite, Verify,
                 WriteAndVerify, OrWrite, ReadDefectData, LogSense, GetLbaStatus,
                 ReportTargetPortGroups, ReportSupportedOperationCodes,
                 ReportSupportedTaskManagementFunctions, ExtendedCopy, ReceiveCopyResults>;

// Any bytes are allowed, none too: a CDB shorter than its command is refused, bytes beyond it are
// ignored. Unknown operation code: 5/20/00; unknown service action or a field that can't be served:
// 5/24/00.
std::expected<Command, Sense> parse(std::span<const uint8_t> cdb);

}  // namespace tcmurbd::scsi
