// SPDX-License-Identifier: Apache-2.0
// SPC-4 6.4: the parameter list of EXTENDED COPY (LID1) and its extents.
#include <algorithm>
#include <array>
#include <boost/endian/conversion.hpp>

#include "rbd_handler/scsi/copy.h"
#include "rbd_handler/scsi/inquiry_pages.h"
#include "rbd_handler/scsi/limits.h"

namespace tcmurbd::scsi {
namespace {

using boost::endian::load_big_u16;
using boost::endian::load_big_u24;
using boost::endian::load_big_u32;
using boost::endian::load_big_u64;

using CscdBytes = std::array<uint8_t, kCscdBytes>;
using SegmentBytes = std::array<uint8_t, kSegmentBytes>;

constexpr uint8_t kIdentificationCscd = 0xe4;
constexpr uint8_t kBlockToBlockSegment = 0x02;
// Offsets of fields in a segment descriptor, for its DESCRIPTOR LENGTH and for field pointers.
constexpr uint16_t kSegmentLengthAfterHeader = 0x18;
constexpr uint16_t kSourceIdField = 4;
constexpr uint16_t kDestinationIdField = 6;
constexpr uint16_t kBlocksField = 10;
constexpr uint16_t kSourceLbaField = 12;
constexpr uint16_t kDestinationLbaField = 20;

Sense copy_aborted(Sense sense, size_t segment, uint16_t field) {
  sense.copy = CopyFailure{.segment = static_cast<uint16_t>(segment), .field = field};
  return sense;
}

// The lengths of the header, checked against each other and the limits.
struct Header {
  CopyRequest request;
  size_t cscd_bytes = 0;
  size_t segment_bytes = 0;
};

std::expected<Header, Sense> read_header(IovSpan data, uint32_t list_length) {
  std::array<uint8_t, kCopyHeaderBytes> bytes;
  if (list_length < bytes.size() || copy_from_iov(data, 0, bytes) != bytes.size())
    return std::unexpected(kParameterListLengthError);
  Header header;
  header.request.list_id = bytes[0];
  header.request.usage = static_cast<CopyListId>((bytes[1] >> 3) & 0x03);
  header.cscd_bytes = load_big_u16(&bytes[2]);
  header.segment_bytes = load_big_u32(&bytes[8]);
  const uint64_t descriptors = header.cscd_bytes + uint64_t{header.segment_bytes};
  if (descriptors > kCopyDescriptorBytesMax || descriptors > list_length - bytes.size())
    return std::unexpected(kParameterListLengthError);
  // No segment type uses it.
  if (load_big_u32(&bytes[12]) != 0) return std::unexpected(kInlineDataLengthExceeded);
  const auto usage = static_cast<uint8_t>(header.request.usage);
  if (usage == 1 || (header.request.usage == CopyListId::kNone && header.request.list_id != 0))
    return std::unexpected(kInvalidFieldInParameterList);
  return header;
}

std::expected<CopyCscd, Sense> read_cscd(const CscdBytes& bytes) {
  if (bytes[0] != kIdentificationCscd) return std::unexpected(kUnsupportedCscdType);
  const bool null_device = (bytes[1] & 0x20) != 0;
  const uint8_t peripheral_type = bytes[1] & 0x1f;
  const uint8_t association = (bytes[5] >> 4) & 0x03;
  const uint8_t length = bytes[7];
  CopyCscd cscd{.code_set = static_cast<uint8_t>(bytes[4] & 0x0f),
                .designator_type = static_cast<uint8_t>(bytes[5] & 0x0f),
                .designator = {},
                .block_bytes = load_big_u24(&bytes[29])};
  // LU ID TYPE is for other descriptor types, which have an LU IDENTIFIER.
  if (association != 0 || length > cscd.designator.capacity())
    return std::unexpected(kInvalidFieldInParameterList);
  // Obsolete since SPC-4; an initiator that sets it does not want this disk to be written.
  if (null_device) return std::unexpected(kCopyTargetNotReachable);
  if (peripheral_type != 0) return std::unexpected(kIncorrectCopyTargetType);
  cscd.designator.assign(&bytes[8], &bytes[8] + length);
  return cscd;
}

std::expected<CopySegment, Sense> read_segment(const SegmentBytes& bytes, size_t number,
                                               size_t cscds) {
  CopySegment segment{.source = load_big_u16(&bytes[kSourceIdField]),
                      .destination = load_big_u16(&bytes[kDestinationIdField]),
                      .source_lba = load_big_u64(&bytes[kSourceLbaField]),
                      .destination_lba = load_big_u64(&bytes[kDestinationLbaField]),
                      .blocks = load_big_u16(&bytes[kBlocksField]),
                      .counts_destination_blocks = (bytes[1] & 0x02) != 0};
  if (segment.source >= cscds)
    return std::unexpected(copy_aborted(kUnreachableCopyTarget, number, kSourceIdField));
  if (segment.destination >= cscds)
    return std::unexpected(copy_aborted(kUnreachableCopyTarget, number, kDestinationIdField));
  return segment;
}

std::expected<void, Sense> read_cscds(IovSpan data, size_t bytes, CopyRequest& request) {
  if (bytes % kCscdBytes != 0) return std::unexpected(kParameterListLengthError);
  if (bytes / kCscdBytes > kCopyCscdsMax) return std::unexpected(kTooManyCscds);
  for (size_t at = 0; at < bytes; at += kCscdBytes) {
    CscdBytes descriptor;
    if (copy_from_iov(data, kCopyHeaderBytes + at, descriptor) != descriptor.size())
      return std::unexpected(kParameterListLengthError);
    auto cscd = read_cscd(descriptor);
    if (!cscd) return std::unexpected(cscd.error());
    request.cscds.push_back(*cscd);
  }
  return {};
}

// The next descriptor is found only by type and length, so both are checked first.
std::expected<void, Sense> read_segments(IovSpan data, size_t begin, size_t bytes,
                                         CopyRequest& request) {
  for (size_t at = 0; at < bytes; at += kSegmentBytes) {
    SegmentBytes descriptor{};
    const size_t present = copy_from_iov(data, begin + at, descriptor);
    if (present == 0) return std::unexpected(kParameterListLengthError);
    if (descriptor[0] != kBlockToBlockSegment) return std::unexpected(kUnsupportedSegmentType);
    if (present != descriptor.size() || bytes - at < kSegmentBytes)
      return std::unexpected(kParameterListLengthError);
    if (load_big_u16(&descriptor[2]) != kSegmentLengthAfterHeader)
      return std::unexpected(kInvalidFieldInParameterList);
    if (request.segments.size() == kCopySegmentsMax) return std::unexpected(kTooManySegments);
    auto segment = read_segment(descriptor, at / kSegmentBytes, request.cscds.size());
    if (!segment) return std::unexpected(segment.error());
    request.segments.push_back(*segment);
  }
  return {};
}

}  // namespace

std::expected<CopyRequest, Sense> read_copy_list(IovSpan data, uint32_t list_length) {
  auto header = read_header(data, list_length);
  if (!header) return std::unexpected(header.error());
  CopyRequest& request = header->request;
  if (auto read = read_cscds(data, header->cscd_bytes, request); !read)
    return std::unexpected(read.error());
  const size_t segments_begin = kCopyHeaderBytes + header->cscd_bytes;
  if (auto read = read_segments(data, segments_begin, header->segment_bytes, request); !read)
    return std::unexpected(read.error());
  return request;
}

bool names(const CopyCscd& cscd, const TargetFacts& target) {
  std::vector<uint8_t> page;
  append_designators(target, page);
  for (size_t at = 0; at + 4 <= page.size(); at += 4u + page[at + 3]) {
    const uint8_t* descriptor = &page[at];
    const bool logical_unit = (descriptor[1] & 0x30) == 0;
    const std::span<const uint8_t> designator(descriptor + 4, descriptor[3]);
    if (logical_unit && (descriptor[0] & 0x0f) == cscd.code_set &&
        (descriptor[1] & 0x0f) == cscd.designator_type &&
        std::ranges::equal(designator, cscd.designator))
      return true;
  }
  return false;
}

std::expected<CopyExtents, Sense> plan_copy(const CopyRequest& request,
                                            std::span<const ServedDisk> disks) {
  for (size_t i = 0; i < request.cscds.size(); ++i) {
    const uint32_t declared = request.cscds[i].block_bytes;
    if (declared != 0 && declared != disks[i].facts.block_size)
      return std::unexpected(kInvalidFieldInParameterList);
  }
  CopyExtents extents;
  for (size_t i = 0; i < request.segments.size(); ++i) {
    const CopySegment& segment = request.segments[i];
    const ServedDisk& source = disks[segment.source];
    const ServedDisk& destination = disks[segment.destination];
    const uint64_t unit =
        segment.counts_destination_blocks ? destination.facts.block_size : source.facts.block_size;
    const uint64_t length = segment.blocks * unit;
    if (length > kCopySegmentBytesMax) return std::unexpected(kInvalidFieldInParameterList);
    // A partial block at the end would have to be kept for the next segment (CAT) or padded.
    if (length % source.facts.block_size != 0 || length % destination.facts.block_size != 0)
      return std::unexpected(copy_aborted(kUnexpectedInexactSegment, i, kBlocksField));
    const auto from =
        range_within(source.facts, segment.source_lba, length / source.facts.block_size);
    if (!from) return std::unexpected(copy_aborted(kCopyAborted, i, kSourceLbaField));
    const auto to = range_within(destination.facts, segment.destination_lba,
                                 length / destination.facts.block_size);
    if (!to) return std::unexpected(copy_aborted(kCopyAborted, i, kDestinationLbaField));
    if (destination.facts.read_only && length != 0)
      return std::unexpected(
          third_party_failure(i, CopyFailure::Who::kDestination, Result::check(kWriteProtected)));
    extents.push_back({.source = source.number,
                       .destination = destination.number,
                       .from = from->offset,
                       .to = to->offset,
                       .length = length});
  }
  return extents;
}

}  // namespace tcmurbd::scsi
