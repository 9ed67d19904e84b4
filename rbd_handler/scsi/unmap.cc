// SPDX-License-Identifier: Apache-2.0
// SBC-3: UNMAP. Unmapped blocks read as zeroes (LBPRZ), so it is planned as exact zeroing; librbd's
// discard would leave old data at the edges of a range.
#include <algorithm>
#include <array>
#include <boost/endian/conversion.hpp>

#include "rbd_handler/scsi/handlers.h"
#include "rbd_handler/scsi/limits.h"

namespace tcmurbd::scsi {
namespace {

using boost::endian::load_big_u16;
using boost::endian::load_big_u32;
using boost::endian::load_big_u64;

constexpr size_t kHeaderBytes = 8;       // UNMAP parameter list header.
constexpr size_t kDescriptorBytes = 16;  // UNMAP block descriptor.

using Ranges = boost::container::static_vector<ByteRange, kUnmapDescriptorsMax>;

// The number of complete descriptors in the list. It is bounded by three lengths, of which the
// shortest applies; a truncated descriptor is ignored without an error.
size_t descriptor_count(const std::array<uint8_t, kHeaderBytes>& header, size_t list_length) {
  const size_t data_length = load_big_u16(header.data()) + size_t{2};
  const size_t descriptors_length = load_big_u16(&header[2]);
  const size_t available = std::min(data_length, list_length);
  if (available <= kHeaderBytes) return 0;
  return std::min(available - kHeaderBytes, descriptors_length) / kDescriptorBytes;
}

// The ranges of all non-empty descriptors, or the error.
std::expected<Ranges, Sense> read_descriptors(const DiskFacts& disk, IovSpan data, size_t count) {
  Ranges ranges;
  uint64_t blocks_sum = 0;
  for (size_t i = 0; i < count; ++i) {
    std::array<uint8_t, kDescriptorBytes> descriptor;
    if (copy_from_iov(data, kHeaderBytes + i * kDescriptorBytes, descriptor) != kDescriptorBytes)
      return std::unexpected(kParameterListLengthError);
    const uint64_t blocks = load_big_u32(&descriptor[8]);
    blocks_sum += blocks;
    const auto range = range_within(disk, load_big_u64(descriptor.data()), blocks);
    if (!range) return std::unexpected(range.error());
    if (blocks != 0) ranges.push_back(*range);
  }
  if (blocks_sum > max_zeroing_blocks(disk)) return std::unexpected(kInvalidFieldInParameterList);
  return ranges;
}

// Merges the ranges: librbd does not order overlapping ops.
ImageOps merged(Ranges ranges) {
  std::ranges::sort(ranges, {}, &ByteRange::offset);
  ImageOps plan;
  for (const ByteRange& range : ranges) {
    if (plan.ops.empty() || plan.ops.back().range.end() < range.offset) {
      plan.ops.push_back({OpKind::kWriteZeroes, range});
      continue;
    }
    ByteRange& last = plan.ops.back().range;
    last.length = std::max(last.end(), range.end()) - last.offset;
  }
  return plan;
}

}  // namespace

Plan plan_command(const Unmap& command, const Context& context) {
  if (context.disk.read_only) return check(kWriteProtected);
  const size_t list_length = command.parameter_list_length;
  if (list_length == 0) return good();
  if (list_length < kHeaderBytes || context.request.data_length < list_length)
    return check(kParameterListLengthError);

  std::array<uint8_t, kHeaderBytes> header;
  if (copy_from_iov(context.request.data, 0, header) != kHeaderBytes)
    return check(kParameterListLengthError);
  const size_t count = descriptor_count(header, list_length);
  if (count > kUnmapDescriptorsMax) return check(kInvalidFieldInParameterList);

  const auto ranges = read_descriptors(context.disk, context.request.data, count);
  if (!ranges) return check(ranges.error());
  if (ranges->empty()) return good();
  return merged(*ranges);
}

}  // namespace tcmurbd::scsi
