// SPDX-License-Identifier: Apache-2.0
// The commands that this disk serves, as values: CDB bytes are not used after parse(). Lengths are
// in blocks or bytes, as documented for each field; plan() checks them against the disk. Any
// thread.
//
// To add a command: a struct here and in Command, a row in opcode_table.cc, its parser
// (cdb_parsers.h) and its plan_command() (handlers.h).
#pragma once

#include <cstdint>
#include <expected>
#include <span>
#include <variant>

#include "rbd_handler/scsi/sense.h"

namespace tcmurbd::scsi {

// A member `allocation_length` bounds the Data-In of its command (SPC-4, allocation length), in
// bytes; plan() applies it for all commands.

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
  uint32_t lba = 0;  // Only valid with `partial`.
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
  // Return the mask of changeable values; else the current values, which are the defaults.
  bool changeable = false;
  uint8_t page_code = 0;
  uint8_t subpage_code = 0;
  uint32_t allocation_length = 0;
};

struct ModeSelect {
  bool ten = false;
  uint32_t parameter_list_length = 0;  // Bytes.
};

// parse() accepts only start, without load, eject or power condition.
struct StartStopUnit {};

// The medium is not removable: PREVENT has no effect.
struct PreventAllowMediumRemoval {};

// READ and WRITE of 6, 10, 12 and 16 bytes. FUA and DPO are ignored: there is no volatile cache
// (rbd_cache is off), so every acknowledged write is on the medium, and every read comes from it.
struct Read {
  uint64_t lba = 0;
  uint64_t blocks = 0;  // 0 = none: parse() converts the 0 of a 6-byte CDB to 256.
};

struct Write {
  uint64_t lba = 0;
  uint64_t blocks = 0;
};

// WRITE ATOMIC. parse() refuses an ATOMIC BOUNDARY, which would allow to split it.
struct WriteAtomic {
  uint64_t lba = 0;
  uint64_t blocks = 0;
};

struct SynchronizeCache {
  uint64_t lba = 0;
  uint64_t blocks = 0;  // 0 = to the end of the disk.
  bool immediate = false;
};

// There is no cache to fetch into. IMMED is ignored: the command takes no time.
struct PreFetch {
  uint64_t lba = 0;
  uint64_t blocks = 0;  // 0 = to the end of the disk.
};

struct Unmap {
  uint32_t parameter_list_length = 0;  // Bytes.
};

// The UNMAP bit is ignored: zeroes are always exact zeroing, which deallocates whole objects, and a
// non-zero pattern cannot be unmapped because LBPRZ=1 requires zeroes.
struct WriteSame {
  uint64_t lba = 0;
  uint64_t blocks = 0;
  bool no_data_out = false;  // NDOB: the block is zero and is not transferred.
};

// At most one block, as VPD B0 reports. DPO and FUA are ignored, as with Write.
struct CompareAndWrite {
  uint64_t lba = 0;
  uint64_t blocks = 0;  // 0 = nothing is compared, nothing written.
};

// VERIFY, WRITE AND VERIFY and ORWRITE. DPO and FUA are ignored, as with Write.
struct Verify {
  // BYTCHK. kOneBlock: one block is sent and compared with each block.
  enum class Comparison : uint8_t { kNone, kAll, kOneBlock };
  uint64_t lba = 0;
  uint64_t blocks = 0;
  Comparison comparison = Comparison::kNone;
};

struct WriteAndVerify {
  uint64_t lba = 0;
  uint64_t blocks = 0;
  bool compare = false;  // BYTCHK; otherwise only read back.
};

struct OrWrite {
  uint64_t lba = 0;
  uint64_t blocks = 0;
};

// All provisioning states are reported: parse() refuses a REPORT TYPE (SBC-4) that omits some.
struct GetLbaStatus {
  uint64_t lba = 0;
  uint32_t allocation_length = 0;
};

struct ReadDefectData {
  bool twelve = false;      // READ DEFECT DATA(12): the long header.
  bool primary = false;     // REQ_PLIST
  bool grown = false;       // REQ_GLIST
  uint8_t list_format = 0;  // Any format of SBC-3: all are the same for an empty list.
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

// Accepts any bytes, also none: a CDB that is too short is refused, additional bytes are ignored.
// Unknown operation code: 5/20/00; unknown service action or unsupported field: 5/24/00.
std::expected<Command, Sense> parse(std::span<const uint8_t> cdb);

}  // namespace tcmurbd::scsi
