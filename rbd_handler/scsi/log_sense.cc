// SPDX-License-Identifier: Apache-2.0
// SPC-4: LOG SENSE. Only known facts: no temperature, no self-tests, no corrected errors (the
// cluster repairs without reporting it), and no logical block provisioning (counting used blocks
// requires a scan of the whole image). LOG SELECT is not supported: operators use the counters too,
// and no host may clear them.
#include <algorithm>
#include <array>
#include <boost/endian/conversion.hpp>
#include <span>

#include "rbd_handler/scsi/handlers.h"

namespace tcmurbd::scsi {
namespace {

using boost::endian::store_big_u16;
using boost::endian::store_big_u64;

constexpr uint8_t kAllSubpages = 0xff;
constexpr uint8_t kCumulativeValues = 0x01;  // PC
constexpr size_t kHeaderBytes = 4;

// Parameter control byte: TSD=1 (nothing is saved), then FORMAT AND LINKING.
constexpr uint8_t kCounter = 0x20 | 0x00;
constexpr uint8_t kBinaryList = 0x20 | 0x03;

// Appends a log parameter of `bytes` and returns its value, or nullptr if the initiator wants only
// later ones.
uint8_t* append_parameter(const LogSense& command, uint16_t code, uint8_t control, uint8_t bytes,
                          std::vector<uint8_t>& out) {
  if (code < command.parameter_pointer) return nullptr;
  uint8_t* parameter = append(out, size_t{4} + bytes);
  store_big_u16(&parameter[0], code);
  parameter[2] = control;
  parameter[3] = bytes;
  return parameter + 4;
}

void append_counter(const LogSense& command, uint16_t code, uint64_t value,
                    std::vector<uint8_t>& out) {
  if (uint8_t* bytes = append_parameter(command, code, kCounter, 8, out))
    store_big_u64(bytes, value);
}

// 02 and 03: bytes processed, and write or read errors.
void append_error_counters(const LogSense& command, uint64_t bytes_processed, uint64_t errors,
                           std::vector<uint8_t>& out) {
  append_counter(command, 0x0005, bytes_processed, out);
  append_counter(command, 0x0006, errors, out);  // Total uncorrected errors.
}
void append_write_errors(const LogSense& command, const Context& context) {
  const AccessCounters& counters = context.request.counters;
  append_error_counters(command, counters.write_bytes, counters.write_errors, context.data_in);
}
void append_read_errors(const LogSense& command, const Context& context) {
  const AccessCounters& counters = context.request.counters;
  append_error_counters(command, counters.read_bytes, counters.read_errors, context.data_in);
}

// 19. No times are measured: processing and idle intervals are 0, as on many disks, and their
// length is 0 seconds. They are included because sg_logs rejects a page without them.
void append_statistics(const LogSense& command, const Context& context) {
  const AccessCounters& counters = context.request.counters;
  if (uint8_t* bytes = append_parameter(command, 0x0001, kBinaryList, 64, context.data_in)) {
    store_big_u64(&bytes[0], counters.reads);
    store_big_u64(&bytes[8], counters.writes);
    store_big_u64(&bytes[16], counters.write_bytes / context.disk.block_size);  // Received.
    store_big_u64(&bytes[24], counters.read_bytes / context.disk.block_size);   // Transmitted.
  }
  append_parameter(command, 0x0002, kBinaryList, 8, context.data_in);  // Idle intervals.
  append_parameter(command, 0x0003, kBinaryList, 8, context.data_in);  // Length of an interval.
}

// 2F. No exception is ever pending (mode page 1C). FFh: no temperature and no trip temperature (on
// most disks the last byte, vendor specific).
void append_informational_exceptions(const LogSense& command, const Context& context) {
  if (uint8_t* bytes = append_parameter(command, 0x0000, kBinaryList, 4, context.data_in))
    bytes[2] = bytes[3] = 0xff;
}

struct LogPage {
  uint8_t code;
  void (*append_body)(const LogSense&, const Context&);
};

void append_supported_pages(const LogSense& command, const Context& context);

constexpr auto kPages = std::to_array<LogPage>({
    {0x00, append_supported_pages},
    {0x02, append_write_errors},
    {0x03, append_read_errors},
    {0x19, append_statistics},
    {0x2f, append_informational_exceptions},
});

// 00 lists the pages; 00/FF pages and subpages, including itself.
void append_supported_pages(const LogSense& command, const Context& context) {
  const bool subpages = command.subpage_code == kAllSubpages;
  for (const LogPage& page : kPages) {
    context.data_in.push_back(page.code);
    if (!subpages) continue;
    context.data_in.push_back(0x00);
    if (page.code == 0x00) context.data_in.insert(context.data_in.end(), {0x00, kAllSubpages});
  }
}

}  // namespace

Plan plan_command(const LogSense& command, const Context& context) {
  const auto page = std::ranges::find(kPages, command.page_code, &LogPage::code);
  if (page == kPages.end()) return check(kInvalidFieldInCdb);
  const bool is_list = command.page_code == 0x00;
  if (command.subpage_code != 0 && !(is_list && command.subpage_code == kAllSubpages))
    return check(kInvalidFieldInCdb);
  // There are no threshold or default values. A list of pages has only one kind of values.
  if (!is_list && command.page_control != kCumulativeValues) return check(kInvalidFieldInCdb);

  uint8_t* header = append(context.data_in, kHeaderBytes);
  // DS=1: no parameter can be saved. SPF with a subpage.
  header[0] = command.page_code | (is_list ? 0x00 : 0x80);
  if (command.subpage_code != 0) header[0] |= 0x40;
  header[1] = command.subpage_code;
  page->append_body(command, context);
  const size_t length = context.data_in.size() - kHeaderBytes;
  // PARAMETER POINTER: beyond the page's last parameter, or in a page without any.
  if (command.parameter_pointer != 0 && (is_list || length == 0)) return check(kInvalidFieldInCdb);
  store_big_u16(&context.data_in[2], static_cast<uint16_t>(length));
  return good();
}

}  // namespace tcmurbd::scsi
