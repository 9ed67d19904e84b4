// SPDX-License-Identifier: Apache-2.0
// SPC-4: REPORT SUPPORTED OPERATION CODES, from the table. It lists the commands of this program,
// not those that the kernel handles itself: REPORT LUNS, which is mandatory, and reservations. Only
// the kernel knows whether reservations are enabled, and they are valid at one gateway only, so a
// host that checks before it relies on them should find none. Neither ESXi nor libiscsi's suite
// looks for them here.
#include <algorithm>
#include <boost/endian/conversion.hpp>

#include "rbd_handler/scsi/handlers.h"
#include "rbd_handler/scsi/opcode_table.h"

namespace tcmurbd::scsi {
namespace {

using boost::endian::store_big_u16;
using boost::endian::store_big_u32;
using Options = ReportSupportedOperationCodes::Options;

// Command timeouts descriptor. Zero: no timeouts are specified. A cluster has no nominal processing
// time. The recommended timeout would be a bit above the daemon's deadline, but that is a setting
// of each gateway and results in BUSY: a host gains nothing by waiting longer than its own timeout.
void append_timeouts(std::vector<uint8_t>& out) {
  constexpr size_t kBytes = 12;
  store_big_u16(append(out, kBytes), kBytes - 2);  // DESCRIPTOR LENGTH
}

void append_all(bool timeouts, std::vector<uint8_t>& out) {
  append(out, 4);
  for (const OpcodeRow& row : opcode_table()) {
    uint8_t* descriptor = append(out, 8);
    descriptor[0] = row.opcode;
    store_big_u16(&descriptor[2], row.service_action.value_or(0));
    descriptor[5] =
        (timeouts ? 0x02 : 0x00) | (row.service_action ? 0x01 : 0x00);  // CTDP, SERVACTV
    store_big_u16(&descriptor[6], row.cdb_length);
    if (timeouts) append_timeouts(out);
  }
  store_big_u32(out.data(), static_cast<uint32_t>(out.size() - 4));  // COMMAND DATA LENGTH
}

void append_one(const OpcodeRow* row, bool timeouts, std::vector<uint8_t>& out) {
  uint8_t* head = append(out, 4);
  if (!row) {
    head[1] = 0x01;  // SUPPORT: not supported. No other field is valid then.
    return;
  }
  head[1] = (timeouts ? 0x80 : 0x00) | 0x03;  // CTDP; SUPPORT: in conformance with the standard.
  store_big_u16(&head[2], row->cdb_length);
  const auto usage = cdb_usage(*row);
  out.insert(out.end(), usage.begin(), usage.begin() + row->cdb_length);
  if (timeouts) append_timeouts(out);
}

const OpcodeRow* with_service_action(std::span<const OpcodeRow> rows, uint16_t service_action) {
  const auto row = std::ranges::find_if(
      rows, [&](const OpcodeRow& r) { return r.service_action.value_or(0) == service_action; });
  return row == rows.end() ? nullptr : &*row;
}

}  // namespace

Plan plan_command(const ReportSupportedOperationCodes& command, const Context& context) {
  if (command.options == Options::kAll) {
    append_all(command.timeouts, context.data_in);
    return good();
  }
  const auto rows = rows_of(command.opcode);
  const bool known = !rows.empty();
  const bool has_service_actions = known && rows.front().service_action.has_value();
  // To ask for an operation code without its service action, or with one that it can't have, is an
  // error.
  if (command.options == Options::kOpcode && has_service_actions) return check(kInvalidFieldInCdb);
  if (command.options == Options::kServiceAction && known && !has_service_actions)
    return check(kInvalidFieldInCdb);

  const OpcodeRow* row = nullptr;
  if (command.options == Options::kOpcode) {
    row = known ? &rows.front() : nullptr;
  } else {
    row = with_service_action(rows, command.service_action);
  }
  append_one(row, command.timeouts, context.data_in);
  return good();
}

// SPC-4. The functions that LIO supports (target_tmr_work in target_core_transport.c): it rejects
// all others itself.
Plan plan_command(const ReportSupportedTaskManagementFunctions& command, const Context& context) {
  constexpr size_t kBasicBytes = 4;
  constexpr size_t kExtendedBytes = 16;
  const size_t bytes = command.extended ? kExtendedBytes : kBasicBytes;
  uint8_t* data = append(context.data_in, bytes);
  data[0] = 0x88;                                       // ATS, LURS
  data[3] = static_cast<uint8_t>(bytes - kBasicBytes);  // The timeouts, none of which is valid.
  return good();
}

}  // namespace tcmurbd::scsi
