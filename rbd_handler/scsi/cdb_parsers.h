// SPDX-License-Identifier: Apache-2.0
// Private to scsi/: parsers from the bytes of a CDB to its Command, one for each layout. They check
// everything that does not depend on the disk; parse.cc has already checked operation code, length
// and CONTROL byte.
#pragma once

#include <cstdint>
#include <expected>
#include <span>

#include "rbd_handler/scsi/command.h"
#include "rbd_handler/scsi/sense.h"

namespace tcmurbd::scsi {

using ParsedCommand = std::expected<Command, Sense>;
using CdbBytes =
    std::span<const uint8_t>;  // Exactly as long as the command's row in the table says.

// parse_block.cc
ParsedCommand parse_read6(CdbBytes cdb);
ParsedCommand parse_read10(CdbBytes cdb);
ParsedCommand parse_read12(CdbBytes cdb);
ParsedCommand parse_read16(CdbBytes cdb);
ParsedCommand parse_write6(CdbBytes cdb);
ParsedCommand parse_write10(CdbBytes cdb);
ParsedCommand parse_write12(CdbBytes cdb);
ParsedCommand parse_write16(CdbBytes cdb);
ParsedCommand parse_write_atomic16(CdbBytes cdb);
ParsedCommand parse_synchronize_cache10(CdbBytes cdb);
ParsedCommand parse_synchronize_cache16(CdbBytes cdb);
ParsedCommand parse_pre_fetch10(CdbBytes cdb);
ParsedCommand parse_pre_fetch16(CdbBytes cdb);
ParsedCommand parse_unmap(CdbBytes cdb);
ParsedCommand parse_write_same10(CdbBytes cdb);
ParsedCommand parse_write_same16(CdbBytes cdb);
ParsedCommand parse_compare_and_write(CdbBytes cdb);
ParsedCommand parse_verify10(CdbBytes cdb);
ParsedCommand parse_verify12(CdbBytes cdb);
ParsedCommand parse_verify16(CdbBytes cdb);
ParsedCommand parse_write_and_verify10(CdbBytes cdb);
ParsedCommand parse_write_and_verify12(CdbBytes cdb);
ParsedCommand parse_write_and_verify16(CdbBytes cdb);
ParsedCommand parse_orwrite16(CdbBytes cdb);
ParsedCommand parse_read_capacity10(CdbBytes cdb);
ParsedCommand parse_read_capacity16(CdbBytes cdb);
ParsedCommand parse_get_lba_status(CdbBytes cdb);
ParsedCommand parse_read_defect_data10(CdbBytes cdb);
ParsedCommand parse_read_defect_data12(CdbBytes cdb);

// parse_primary.cc
ParsedCommand parse_test_unit_ready(CdbBytes cdb);
ParsedCommand parse_request_sense(CdbBytes cdb);
ParsedCommand parse_inquiry(CdbBytes cdb);
ParsedCommand parse_mode_sense6(CdbBytes cdb);
ParsedCommand parse_mode_sense10(CdbBytes cdb);
ParsedCommand parse_mode_select6(CdbBytes cdb);
ParsedCommand parse_mode_select10(CdbBytes cdb);
ParsedCommand parse_log_sense(CdbBytes cdb);
ParsedCommand parse_start_stop_unit(CdbBytes cdb);
ParsedCommand parse_prevent_allow_medium_removal(CdbBytes cdb);
ParsedCommand parse_report_target_port_groups(CdbBytes cdb);
ParsedCommand parse_report_supported_operation_codes(CdbBytes cdb);
ParsedCommand parse_report_supported_task_management_functions(CdbBytes cdb);
ParsedCommand parse_extended_copy(CdbBytes cdb);
ParsedCommand parse_receive_copy_status(CdbBytes cdb);
ParsedCommand parse_receive_copy_operating_parameters(CdbBytes cdb);
ParsedCommand parse_receive_copy_failure_details(CdbBytes cdb);

}  // namespace tcmurbd::scsi
