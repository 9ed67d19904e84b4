// SPDX-License-Identifier: Apache-2.0
// SPC-4: EXTENDED COPY (LID1) and RECEIVE COPY RESULTS, and VPD 8F, which reports the same limits.
#include <algorithm>
#include <boost/endian/conversion.hpp>
#include <iterator>

#include "rbd_handler/scsi/copy_history.h"
#include "rbd_handler/scsi/handlers.h"
#include "rbd_handler/scsi/inquiry_pages.h"

namespace tcmurbd::scsi {
namespace {

using boost::endian::store_big_u16;
using boost::endian::store_big_u32;
using Results = ReceiveCopyResults::Results;

// Segment and CSCD descriptor types, in ascending order.
constexpr uint8_t kDescriptorTypes[] = {0x02, 0xe4};
// Data may be split at any byte: 2^0 bytes.
constexpr uint8_t kSegmentGranularity = 0;

void append_operating_parameters(std::vector<uint8_t>& out) {
  constexpr size_t kBytes = 44;
  uint8_t* data = append(out, kBytes);
  data[4] = 0x01;  // SNLID: LIST ID USAGE 11b is supported.
  store_big_u16(&data[8], kCopyCscdsMax);
  store_big_u16(&data[10], kCopySegmentsMax);
  store_big_u32(&data[12], kCopyDescriptorBytesMax);
  store_big_u32(&data[16], kCopySegmentBytesMax);
  // No inline data, no held data, no stream devices.
  store_big_u16(&data[34], kCopiesMax);  // TOTAL CONCURRENT COPIES
  data[36] = kCopiesMax;                 // MAXIMUM CONCURRENT COPIES
  data[37] = kSegmentGranularity;
  data[43] = std::size(kDescriptorTypes);
  out.insert(out.end(), std::begin(kDescriptorTypes), std::end(kDescriptorTypes));
  store_big_u32(out.data(), static_cast<uint32_t>(out.size() - 4));
}

// TRANSFER COUNT in the smallest unit that it fits in: bytes, KiB, MiB and so on.
void append_status(const CopyHistory::Entry& entry, std::vector<uint8_t>& out) {
  const bool failed = entry.result != Result::good();
  uint8_t units = 0;
  uint64_t count = entry.bytes;
  for (; count > UINT32_MAX; count >>= 10) ++units;
  uint8_t* data = append(out, 12);
  store_big_u32(&data[0], 8);
  data[4] = !entry.ended ? 0x00 : failed ? 0x02 : 0x01;
  store_big_u16(&data[5], entry.segments);
  data[7] = units;
  store_big_u32(&data[8], static_cast<uint32_t>(count));
}

// Empty for a copy that did not fail.
void append_failed_segment(const CopyHistory::Entry& entry, std::vector<uint8_t>& out) {
  if (!entry.ended || entry.result == Result::good()) {
    append(out, 4);
    return;
  }
  WholeSense sense{};
  sense.length = 0;
  if (entry.result.status == ScsiStatus::kCheckCondition) sense = encode_whole(entry.result.sense);
  uint8_t* data = append(out, 60);
  store_big_u32(&data[0], static_cast<uint32_t>(56 + sense.length));
  data[56] = static_cast<uint8_t>(entry.result.status);  // EXTENDED COPY COMMAND STATUS
  store_big_u16(&data[58], static_cast<uint16_t>(sense.length));
  out.insert(out.end(), sense.span().begin(), sense.span().end());
}

// A descriptor of VPD 8F, padded to a multiple of four bytes.
void append_descriptor(uint16_t type, std::initializer_list<uint8_t> body,
                       std::vector<uint8_t>& out) {
  const size_t padded = (body.size() + 3) / 4 * 4;
  uint8_t* descriptor = append(out, 4 + padded);
  store_big_u16(&descriptor[0], type);
  store_big_u16(&descriptor[2], static_cast<uint16_t>(padded));
  std::ranges::copy(body, descriptor + 4);
}

}  // namespace

Plan plan_command(const ExtendedCopy& command, const Context& context) {
  const uint32_t list_length = command.parameter_list_length;
  if (list_length == 0) return good();
  if (context.request.data_length < list_length) return check(kParameterListLengthError);
  auto request = read_copy_list(context.request.data, list_length);
  if (!request) return check(request.error());
  if (request->segments.empty()) return good();
  return std::move(*request);
}

Plan plan_command(const ReceiveCopyResults& command, const Context& context) {
  if (command.results == Results::kOperatingParameters) {
    append_operating_parameters(context.data_in);
    return good();
  }
  CopyHistory* const copies = context.request.copies;
  const CopyHistory::Entry* entry = copies != nullptr ? copies->find(command.list_id) : nullptr;
  if (entry == nullptr) return check(kInvalidFieldInCdb);
  if (command.results == Results::kStatus) {
    append_status(*entry, context.data_in);
  } else {
    append_failed_segment(*entry, context.data_in);
  }
  // A failed copy is kept until its failure details were returned, and every copy until the whole
  // answer was returned.
  const bool failed = entry->result != Result::good();
  const bool complete = command.allocation_length >= context.data_in.size();
  if (complete && (command.results == Results::kFailedSegment || !failed))
    copies->forget(command.list_id);
  return good();
}

void append_third_party_copy(const Context& context) {
  std::vector<uint8_t>& out = context.data_in;
  // Supported commands: each an operation code, a count, and its service actions.
  append_descriptor(0x0001, {8, 0x83, 1, 0x00, 0x84, 3, 0x00, 0x03, 0x04}, out);
  append_descriptor(0x0004, {}, out);  // Parameter data.
  out[out.size() - 1] = 28;            // DESCRIPTOR LENGTH
  uint8_t* parameters = append(out, 28) - 4;
  store_big_u16(&parameters[8], kCopyCscdsMax);
  store_big_u16(&parameters[10], kCopySegmentsMax);
  store_big_u32(&parameters[12], kCopyDescriptorBytesMax);
  append_descriptor(0x0008, {2, kDescriptorTypes[0], kDescriptorTypes[1]}, out);
  append_descriptor(0x8001, {}, out);  // General copy operations.
  out[out.size() - 1] = 32;
  uint8_t* operations = append(out, 32) - 4;
  store_big_u32(&operations[4], kCopiesMax);
  store_big_u32(&operations[8], kCopiesMax);
  store_big_u32(&operations[12], kCopySegmentBytesMax);
  operations[16] = kSegmentGranularity;
}

}  // namespace tcmurbd::scsi
