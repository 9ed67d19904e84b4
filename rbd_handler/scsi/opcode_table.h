// SPDX-License-Identifier: Apache-2.0
// The table of operation codes, used by the parser, REPORT SUPPORTED OPERATION CODES, log lines and
// tests. Only VPD 8F repeats two operation codes: its list of third-party copy commands
// (extended_copy.cc). Any thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "rbd_handler/scsi/cdb_parsers.h"

namespace tcmurbd::scsi {

// The longest CDB in the table.
inline constexpr size_t kCdbUsageMax = 16;

struct OpcodeRow {
  uint8_t opcode;
  std::optional<uint8_t>
      service_action;     // In byte 1, bits 4-0, for operation codes that have them.
  std::string_view name;  // As in the standard.
  uint8_t cdb_length;     // Bytes.
  // The CDB usage bitmap from byte 1 on (SPC-4, REPORT SUPPORTED OPERATION CODES): a 1 for each bit
  // that is evaluated. cdb_usage() adds the operation code and the service action.
  std::array<uint8_t, kCdbUsageMax - 1> usage_after_opcode;
  ParsedCommand (*parse)(CdbBytes);  // REQUIRES: exactly cdb_length bytes.
  // The remark in COMMANDS.md; a test compares that page with this table.
  std::string_view remark{};
};

// All rows, by operation code and service action.
std::span<const OpcodeRow> opcode_table();

// The rows of one operation code: none if it is not served, several if it has service actions.
std::span<const OpcodeRow> rows_of(uint8_t opcode);

// The row of a CDB, or nullptr. `cdb` may be empty or truncated.
const OpcodeRow* find_row(std::span<const uint8_t> cdb);

// The CDB usage data of REPORT SUPPORTED OPERATION CODES: cdb_length bytes are valid.
std::array<uint8_t, kCdbUsageMax> cdb_usage(const OpcodeRow& row);

// For logs: the command's name, or "unknown command".
std::string_view command_name(std::span<const uint8_t> cdb);

}  // namespace tcmurbd::scsi
