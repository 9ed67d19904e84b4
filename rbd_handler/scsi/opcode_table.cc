// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/scsi/opcode_table.h"

#include <algorithm>

namespace tcmurbd::scsi {
namespace {

constexpr std::nullopt_t kNone = std::nullopt;

using Usage = decltype(OpcodeRow::usage_after_opcode);

consteval uint8_t nibble(char c) { return static_cast<uint8_t>(c <= '9' ? c - '0' : c - 'a' + 10); }

// Parses hex digits; blanks are ignored.
consteval Usage usage(std::string_view hex) {
  Usage bytes{};
  size_t digits = 0;
  for (const char c : hex) {
    if (c == ' ') continue;
    bytes.at(digits / 2) |= static_cast<uint8_t>(nibble(c) << (digits % 2 == 0 ? 4 : 0));
    ++digits;
  }
  return bytes;
}

// Usage bits: from byte 1 to the CONTROL byte (04: NACA is checked, and refused). PERSISTENT
// RESERVE IN/OUT, RESERVE, RELEASE and REPORT LUNS are not listed: the kernel handles them before
// commands reach the daemon, and only the kernel knows its settings.
constexpr auto kTable = std::to_array<OpcodeRow>({
    {0x00, kNone, "TEST UNIT READY", 6, usage("00 0000 00 04"), parse_test_unit_ready},
    {0x03, kNone, "REQUEST SENSE", 6, usage("01 0000 ff 04"), parse_request_sense,
     "returns a pending unit attention; either format"},
    {0x08, kNone, "READ(6)", 6, usage("1fffff ff 04"), parse_read6, "0 blocks are 256"},
    {0x0a, kNone, "WRITE(6)", 6, usage("1fffff ff 04"), parse_write6, "0 blocks are 256"},
    {0x12, kNone, "INQUIRY", 6, usage("03 ff ffff 04"), parse_inquiry, "pages: below"},
    {0x15, kNone, "MODE SELECT(6)", 6, usage("11 0000 ff 04"), parse_mode_select6,
     "accepts the values of MODE SENSE: nothing can be changed"},
    {0x1a, kNone, "MODE SENSE(6)", 6, usage("08 ffff ff 04"), parse_mode_sense6, "pages: below"},
    {0x1b, kNone, "START STOP UNIT", 6, usage("01 0000 f3 04"), parse_start_stop_unit,
     "start only, because other hosts use the disk too"},
    {0x1e, kNone, "PREVENT ALLOW MEDIUM REMOVAL", 6, usage("00 0000 03 04"),
     parse_prevent_allow_medium_removal, "the medium is fixed: GOOD, and nothing changes"},
    {0x25, kNone, "READ CAPACITY(10)", 10, usage("00 ffffffff 00 0001 04"), parse_read_capacity10},
    {0x28, kNone, "READ(10)", 10, usage("f8 ffffffff 00 ffff 04"), parse_read10,
     "no cache: DPO and FUA make no difference"},
    {0x2a, kNone, "WRITE(10)", 10, usage("f8 ffffffff 00 ffff 04"), parse_write10,
     "on the medium when acknowledged: DPO and FUA make no difference"},
    {0x2e, kNone, "WRITE AND VERIFY(10)", 10, usage("f6 ffffffff 00 ffff 04"),
     parse_write_and_verify10, "written, then read back; compared with BYTCHK"},
    {0x2f, kNone, "VERIFY(10)", 10, usage("f6 ffffffff 00 ffff 04"), parse_verify10,
     "read; BYTCHK compares with the data sent, or with one block of it"},
    {0x34, kNone, "PRE-FETCH(10)", 10, usage("02 ffffffff 00 ffff 04"), parse_pre_fetch10,
     "no cache: the range is checked, then GOOD"},
    {0x35, kNone, "SYNCHRONIZE CACHE(10)", 10, usage("02 ffffffff 00 ffff 04"),
     parse_synchronize_cache10, "waits for the writes before it"},
    {0x37, kNone, "READ DEFECT DATA(10)", 10, usage("00 1f 00000000 ffff 04"),
     parse_read_defect_data10, "empty lists, in every format of SBC-3"},
    {0x41, kNone, "WRITE SAME(10)", 10, usage("fe ffffffff 00 ffff 04"), parse_write_same10,
     "zeroes deallocate space; up to 64 objects, not 0 blocks"},
    {0x42, kNone, "UNMAP", 10, usage("01 00000000 00 ffff 04"), parse_unmap,
     "unmapped blocks read as zeroes; 64 descriptors, 64 objects in total"},
    {0x4d, kNone, "LOG SENSE", 10, usage("03 ff ff 00 ffff ffff 04"), parse_log_sense,
     "pages: below; cumulative values only"},
    {0x55, kNone, "MODE SELECT(10)", 10, usage("11 00000000 00 ffff 04"), parse_mode_select10,
     "as MODE SELECT(6)"},
    {0x5a, kNone, "MODE SENSE(10)", 10, usage("18 ffff0000 00 ffff 04"), parse_mode_sense10,
     "as MODE SENSE(6); long block descriptors too"},
    {0x83, 0x00, "EXTENDED COPY", 16, usage("00 0000000000000000 ffffffff 00 04"),
     parse_extended_copy, "LID1; between LUNs of this daemon with the same initiators"},
    {0x84, 0x00, "RECEIVE COPY STATUS", 16, usage("00 ff 00000000000000 ffffffff 00 04"),
     parse_receive_copy_status, "by list identifier, not by initiator"},
    {0x84, 0x03, "RECEIVE COPY OPERATING PARAMETERS", 16,
     usage("00 0000000000000000 ffffffff 00 04"), parse_receive_copy_operating_parameters},
    {0x84, 0x04, "RECEIVE COPY FAILURE DETAILS", 16, usage("00 ff 00000000000000 ffffffff 00 04"),
     parse_receive_copy_failure_details, "returned once"},
    {0x88, kNone, "READ(16)", 16, usage("f8 ffffffffffffffff ffffffff 00 04"), parse_read16},
    {0x89, kNone, "COMPARE AND WRITE", 16, usage("f8 ffffffffffffffff 000000 ff 00 04"),
     parse_compare_and_write, "one block, atomic for all gateways"},
    {0x8a, kNone, "WRITE(16)", 16, usage("f8 ffffffffffffffff ffffffff 00 04"), parse_write16},
    {0x8b, kNone, "ORWRITE(16)", 16, usage("f8 ffffffffffffffff ffffffff 00 04"), parse_orwrite16,
     "read, changed and written under the exclusive lock"},
    {0x8e, kNone, "WRITE AND VERIFY(16)", 16, usage("f6 ffffffffffffffff ffffffff 00 04"),
     parse_write_and_verify16},
    {0x8f, kNone, "VERIFY(16)", 16, usage("f6 ffffffffffffffff ffffffff 00 04"), parse_verify16},
    {0x90, kNone, "PRE-FETCH(16)", 16, usage("02 ffffffffffffffff ffffffff 00 04"),
     parse_pre_fetch16},
    {0x91, kNone, "SYNCHRONIZE CACHE(16)", 16, usage("02 ffffffffffffffff ffffffff 00 04"),
     parse_synchronize_cache16},
    {0x93, kNone, "WRITE SAME(16)", 16, usage("ff ffffffffffffffff ffffffff 00 04"),
     parse_write_same16, "as WRITE SAME(10); NDOB too"},
    {0x9c, kNone, "WRITE ATOMIC(16)", 16, usage("f8 ffffffffffffffff ffff ffff 00 04"),
     parse_write_atomic16, "within one object, so all or nothing; no atomic boundary"},
    {0x9e, 0x10, "READ CAPACITY(16)", 16, usage("00 ffffffffffffffff ffffffff 01 04"),
     parse_read_capacity16, "thin, zeroes after UNMAP"},
    {0x9e, 0x12, "GET LBA STATUS", 16, usage("00 ffffffffffffffff ffffffff ff 04"),
     parse_get_lba_status, "from the existing objects; up to 64 objects per command"},
    {0xa3, 0x0a, "REPORT TARGET PORT GROUPS", 12, usage("e0 00000000 ffffffff 00 04"),
     parse_report_target_port_groups, "implicit ALUA, from configfs; either header"},
    {0xa3, 0x0c, "REPORT SUPPORTED OPERATION CODES", 12, usage("00 87 ffffff ffffffff 00 04"),
     parse_report_supported_operation_codes, "this table; without timeouts"},
    {0xa3, 0x0d, "REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS", 12,
     usage("00 80 000000 ffffffff 00 04"), parse_report_supported_task_management_functions,
     "ABORT TASK and LOGICAL UNIT RESET, the functions that LIO supports"},
    {0xa8, kNone, "READ(12)", 12, usage("f8 ffffffff ffffffff 00 04"), parse_read12},
    {0xaa, kNone, "WRITE(12)", 12, usage("f8 ffffffff ffffffff 00 04"), parse_write12},
    {0xae, kNone, "WRITE AND VERIFY(12)", 12, usage("f6 ffffffff ffffffff 00 04"),
     parse_write_and_verify12},
    {0xaf, kNone, "VERIFY(12)", 12, usage("f6 ffffffff ffffffff 00 04"), parse_verify12},
    {0xb7, kNone, "READ DEFECT DATA(12)", 12, usage("1f 00000000 ffffffff 00 04"),
     parse_read_defect_data12},
});

// SPC-4, operation code: the group code in the upper three bits fixes the CDB's length.
constexpr uint8_t length_of_group(uint8_t opcode) {
  constexpr std::array<uint8_t, 8> kLengths = {6, 10, 10, 0, 16, 12, 0, 0};
  return kLengths[opcode >> 5];
}

// The CONTROL byte is the last non-zero byte, and its position matches the length.
constexpr bool usage_fits(const OpcodeRow& row) {
  const Usage& bytes = row.usage_after_opcode;
  const auto control = bytes.begin() + (row.cdb_length - 2);
  return *control == 0x04 &&
         std::all_of(control + 1, bytes.end(), [](uint8_t b) { return b == 0; });
}

constexpr bool table_is_sound() {
  for (size_t i = 0; i < kTable.size(); ++i) {
    if (kTable[i].cdb_length != length_of_group(kTable[i].opcode)) return false;
    if (!usage_fits(kTable[i])) return false;
    if (i == 0) continue;
    const OpcodeRow& before = kTable[i - 1];
    const OpcodeRow& row = kTable[i];
    if (before.opcode > row.opcode) return false;
    if (before.opcode == row.opcode && (!before.service_action || !row.service_action ||
                                        *before.service_action >= *row.service_action))
      return false;
  }
  return true;
}
static_assert(table_is_sound(), "sorted, no row twice, lengths and bitmaps fit");

// The first row of an operation code: a lookup instead of a search for each command.
struct RowRange {
  uint8_t first = 0;
  uint8_t count = 0;
};

constexpr std::array<RowRange, 256> index_rows() {
  std::array<RowRange, 256> index{};
  for (size_t i = kTable.size(); i-- > 0;) {
    RowRange& range = index[kTable[i].opcode];
    range.first = static_cast<uint8_t>(i);
    ++range.count;
  }
  return index;
}
constexpr std::array<RowRange, 256> kIndex = index_rows();

}  // namespace

std::span<const OpcodeRow> opcode_table() { return kTable; }

std::span<const OpcodeRow> rows_of(uint8_t opcode) {
  return std::span(kTable).subspan(kIndex[opcode].first, kIndex[opcode].count);
}

const OpcodeRow* find_row(std::span<const uint8_t> cdb) {
  if (cdb.empty()) return nullptr;
  for (const OpcodeRow& row : rows_of(cdb[0])) {
    if (!row.service_action) return &row;
    if (cdb.size() > 1 && (cdb[1] & 0x1f) == *row.service_action) return &row;
  }
  return nullptr;
}

std::array<uint8_t, kCdbUsageMax> cdb_usage(const OpcodeRow& row) {
  std::array<uint8_t, kCdbUsageMax> usage{};
  usage[0] = row.opcode;
  std::ranges::copy(row.usage_after_opcode, usage.begin() + 1);
  usage[1] |= row.service_action.value_or(0);
  return usage;
}

std::string_view command_name(std::span<const uint8_t> cdb) {
  const OpcodeRow* row = find_row(cdb);
  return row ? row->name : "unknown command";
}

}  // namespace tcmurbd::scsi
