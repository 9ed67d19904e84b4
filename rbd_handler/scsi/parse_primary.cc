// SPDX-License-Identifier: Apache-2.0
// CDBs of SPC-4: identity and capabilities of the disk.
#include <boost/endian/conversion.hpp>

#include "rbd_handler/scsi/cdb_parsers.h"

namespace tcmurbd::scsi {
namespace {

using boost::endian::load_big_u16;
using boost::endian::load_big_u32;

enum PageControl : uint8_t { kCurrent, kChangeable, kDefault, kSaved };

// ALLOCATION LENGTH or PARAMETER LIST LENGTH of the mode commands.
uint32_t length_field(CdbBytes cdb, bool ten) { return ten ? load_big_u16(&cdb[7]) : cdb[4]; }

ParsedCommand mode_sense(CdbBytes cdb, bool ten) {
  const uint8_t page_control = cdb[2] >> 6;
  // Nothing can be saved, because nothing can be changed.
  if (page_control == kSaved) return std::unexpected(kSavingParametersNotSupported);
  return ModeSense{.ten = ten,
                   .no_block_descriptor = (cdb[1] & 0x08) != 0,
                   .long_lba_accepted = ten && (cdb[1] & 0x10) != 0,
                   .changeable = page_control == kChangeable,
                   .page_code = static_cast<uint8_t>(cdb[2] & 0x3f),
                   .subpage_code = cdb[3],
                   .allocation_length = length_field(cdb, ten)};
}

ParsedCommand mode_select(CdbBytes cdb, bool ten) {
  const bool page_format = (cdb[1] & 0x10) != 0;
  const bool save_pages = (cdb[1] & 0x01) != 0;
  // PF=0 means a vendor's own format; SP=1 means to save, which MODE SENSE says is not supported.
  if (!page_format || save_pages) return std::unexpected(kInvalidFieldInCdb);
  return ModeSelect{.ten = ten, .parameter_list_length = length_field(cdb, ten)};
}

ParsedCommand receive_copy_results(CdbBytes cdb, ReceiveCopyResults::Results results) {
  return ReceiveCopyResults{
      .results = results, .list_id = cdb[2], .allocation_length = load_big_u32(&cdb[10])};
}

}  // namespace

ParsedCommand parse_extended_copy(CdbBytes cdb) {
  return ExtendedCopy{.parameter_list_length = load_big_u32(&cdb[10])};
}

ParsedCommand parse_receive_copy_status(CdbBytes cdb) {
  return receive_copy_results(cdb, ReceiveCopyResults::Results::kStatus);
}
ParsedCommand parse_receive_copy_operating_parameters(CdbBytes cdb) {
  return receive_copy_results(cdb, ReceiveCopyResults::Results::kOperatingParameters);
}
ParsedCommand parse_receive_copy_failure_details(CdbBytes cdb) {
  return receive_copy_results(cdb, ReceiveCopyResults::Results::kFailedSegment);
}

ParsedCommand parse_test_unit_ready(CdbBytes) { return TestUnitReady{}; }

ParsedCommand parse_request_sense(CdbBytes cdb) {
  return RequestSense{.descriptor_format = (cdb[1] & 0x01) != 0, .allocation_length = cdb[4]};
}

ParsedCommand parse_inquiry(CdbBytes cdb) {
  const bool vital_product_data = (cdb[1] & 0x01) != 0;
  const bool command_data =
      (cdb[1] & 0x02) != 0;  // CMDDT, obsolete: requests data that does not exist.
  const uint8_t page_code = cdb[2];
  if (command_data || (!vital_product_data && page_code != 0))
    return std::unexpected(kInvalidFieldInCdb);
  return Inquiry{.vital_product_data = vital_product_data,
                 .page_code = page_code,
                 .allocation_length = load_big_u16(&cdb[3])};
}

ParsedCommand parse_mode_sense6(CdbBytes cdb) { return mode_sense(cdb, false); }
ParsedCommand parse_mode_sense10(CdbBytes cdb) { return mode_sense(cdb, true); }
ParsedCommand parse_mode_select6(CdbBytes cdb) { return mode_select(cdb, false); }
ParsedCommand parse_mode_select10(CdbBytes cdb) { return mode_select(cdb, true); }

ParsedCommand parse_log_sense(CdbBytes cdb) {
  // SP: nothing is saved. PPC, obsolete: only changed parameters, which are not tracked.
  if (cdb[1] & 0x03) return std::unexpected(kInvalidFieldInCdb);
  return LogSense{.page_control = static_cast<uint8_t>(cdb[2] >> 6),
                  .page_code = static_cast<uint8_t>(cdb[2] & 0x3f),
                  .subpage_code = cdb[3],
                  .parameter_pointer = load_big_u16(&cdb[5]),
                  .allocation_length = load_big_u16(&cdb[7])};
}

ParsedCommand parse_start_stop_unit(CdbBytes cdb) {
  const bool start = (cdb[4] & 0x01) != 0;
  const bool load_eject = (cdb[4] & 0x02) != 0;
  const bool power_condition = (cdb[4] & 0xf0) != 0;
  // Other hosts use the disk too: no host may stop it, and GOOD without stopping would be wrong.
  // IMMED has no effect on a command that takes no time.
  if (!start || load_eject || power_condition) return std::unexpected(kInvalidFieldInCdb);
  return StartStopUnit{};
}

// PREVENT (SBC-3): 00b allows, 01b prevents, the others are of media changers and obsolete.
ParsedCommand parse_prevent_allow_medium_removal(CdbBytes cdb) {
  if ((cdb[4] & 0x02) != 0) return std::unexpected(kInvalidFieldInCdb);
  return PreventAllowMediumRemoval{};
}

ParsedCommand parse_report_target_port_groups(CdbBytes cdb) {
  const uint8_t format = cdb[1] >> 5;  // PARAMETER DATA FORMAT: length only, extended, reserved.
  if (format > 1) return std::unexpected(kInvalidFieldInCdb);
  return ReportTargetPortGroups{.extended_header = format == 1,
                                .allocation_length = load_big_u32(&cdb[6])};
}

ParsedCommand parse_report_supported_operation_codes(CdbBytes cdb) {
  using Options = ReportSupportedOperationCodes::Options;
  const uint8_t options = cdb[2] & 0x07;  // REPORTING OPTIONS; 4 to 7 are reserved.
  if (options > static_cast<uint8_t>(Options::kEither)) return std::unexpected(kInvalidFieldInCdb);
  return ReportSupportedOperationCodes{.options = static_cast<Options>(options),
                                       .timeouts = (cdb[2] & 0x80) != 0,
                                       .opcode = cdb[3],
                                       .service_action = load_big_u16(&cdb[4]),
                                       .allocation_length = load_big_u32(&cdb[6])};
}

ParsedCommand parse_report_supported_task_management_functions(CdbBytes cdb) {
  return ReportSupportedTaskManagementFunctions{.extended = (cdb[2] & 0x80) != 0,
                                                .allocation_length = load_big_u32(&cdb[6])};
}

}  // namespace tcmurbd::scsi
