// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/scsi/command.h"
#include "rbd_handler/scsi/opcode_table.h"

namespace tcmurbd::scsi {
namespace {

// SAM-5, CONTROL byte: a logical unit without the NACA feature refuses NACA=1. The other bits are
// vendor specific, obsolete or reserved.
constexpr uint8_t kNaca = 0x04;

}  // namespace

std::expected<Command, Sense> parse(std::span<const uint8_t> cdb) {
  const OpcodeRow* row = find_row(cdb);
  if (!row) {
    const bool other_service_action = !cdb.empty() && !rows_of(cdb[0]).empty();
    return std::unexpected(other_service_action ? kInvalidFieldInCdb : kInvalidOpcode);
  }
  if (cdb.size() < row->cdb_length) return std::unexpected(kInvalidFieldInCdb);
  cdb = cdb.first(row->cdb_length);
  if (cdb.back() & kNaca) return std::unexpected(kInvalidFieldInCdb);
  return row->parse(cdb);
}

}  // namespace tcmurbd::scsi
