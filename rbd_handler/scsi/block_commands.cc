// SPDX-License-Identifier: Apache-2.0
// SBC-3: READ, WRITE, WRITE ATOMIC (SBC-4), WRITE SAME, COMPARE AND WRITE, SYNCHRONIZE CACHE and
// PRE-FETCH.
#include <algorithm>

#include "rbd_handler/scsi/handlers.h"
#include "rbd_handler/scsi/limits.h"

namespace tcmurbd::scsi {
namespace {

Plan one_op(OpKind kind, const ByteRange& range) {
  ImageOps ops;
  ops.ops.push_back({kind, range});
  return ops;
}

// True if the first `length` bytes are all zero. False if there are fewer.
bool starts_with_zeroes(IovSpan iov, uint64_t length) {
  for (const iovec& v : iov) {
    const auto* bytes = static_cast<const uint8_t*>(v.iov_base);
    const uint64_t n = std::min<uint64_t>(v.iov_len, length);
    if (!std::all_of(bytes, bytes + n, [](uint8_t byte) { return byte == 0; })) return false;
    length -= n;
    if (length == 0) return true;
  }
  return length == 0;
}

}  // namespace

// The fabric may expect more than the CDB requests: a legal underflow, whose residual the kernel
// derives from the read length. Less is an overflow, which the kernel cannot report: the initiator
// would take truncated data as complete.
Plan plan_command(const Read& command, const Context& context) {
  const auto range = range_within(context.disk, command.lba, command.blocks);
  if (!range) return check(range.error());
  if (context.request.data_length < range->length) return check(kInvalidFieldInInformationUnit);
  if (range->length == 0) return good();
  return one_op(OpKind::kRead, *range);
}

// The data of a write must match its CDB: the kernel cannot report a residual of data-out, so GOOD
// would mean that all of it was written. The kernel's own backends refuse it with the same sense
// data.
Plan plan_command(const Write& command, const Context& context) {
  if (context.disk.read_only) return check(kWriteProtected);
  const auto range = range_within(context.disk, command.lba, command.blocks);
  if (!range) return check(range.error());
  if (context.request.data_length != range->length) return check(kInvalidFieldInInformationUnit);
  if (range->length == 0) return good();
  return one_op(OpKind::kWrite, *range);
}

// One RADOS op, which is atomic; this includes writes within one object that are longer than VPD B0
// allows.
Plan plan_command(const WriteAtomic& command, const Context& context) {
  const DiskFacts& disk = context.disk;
  Plan plan = plan_command(Write{command.lba, command.blocks}, context);
  const auto* ops = std::get_if<ImageOps>(&plan);
  if (!ops) return plan;
  const uint32_t unit = atomic_blocks(disk);
  if (unit == 0 || command.lba % unit != 0 || command.blocks % unit != 0)
    return check(kInvalidFieldInCdb);
  const ByteRange& range = ops->ops.front().range;
  if (range.offset / disk.stripe_bytes != (range.end() - 1) / disk.stripe_bytes)
    return check(kInvalidFieldInCdb);
  return plan;
}

// With IMMED the status is returned at once. There is no cache to synchronize.
Plan plan_command(const SynchronizeCache& command, const Context& context) {
  const auto range = range_within(context.disk, command.lba, command.blocks);
  if (!range) return check(range.error());
  if (command.immediate) return good();
  return Flush{};
}

// GOOD, not CONDITION MET, which would mean that the blocks are in the cache (SBC-3, PRE-FETCH).
Plan plan_command(const PreFetch& command, const Context& context) {
  const auto range = range_within(context.disk, command.lba, command.blocks);
  return range ? good() : check(range.error());
}

Plan plan_command(const WriteSame& command, const Context& context) {
  if (context.disk.read_only) return check(kWriteProtected);
  // Zero would mean 'to the end of the disk', without a limit: VPD B0 has WSNZ=1.
  if (command.blocks == 0 || command.blocks > max_zeroing_blocks(context.disk))
    return check(kInvalidFieldInCdb);
  const auto range = range_within(context.disk, command.lba, command.blocks);
  if (!range) return check(range.error());
  const uint64_t pattern_bytes = command.no_data_out ? 0 : context.disk.block_size;
  if (context.request.data_length != pattern_bytes) return check(kInvalidFieldInInformationUnit);

  const bool zeroes =
      command.no_data_out || starts_with_zeroes(context.request.data, pattern_bytes);
  return one_op(zeroes ? OpKind::kWriteZeroes : OpKind::kWriteSame, *range);
}

// The data-out is the block to compare, then the block to write (SBC-3 5.2).
Plan plan_command(const CompareAndWrite& command, const Context& context) {
  if (context.disk.read_only) return check(kWriteProtected);
  const auto range = range_within(context.disk, command.lba, command.blocks);
  if (!range) return check(range.error());
  // NUMBER OF LOGICAL BLOCKS is one byte: 256 blocks' worth of data comes with a 0.
  if (command.blocks == 0)
    return context.request.data_length == 0 ? good() : check(kInvalidFieldInCdb);
  if (context.request.data_length != 2 * range->length)
    return check(kInvalidFieldInInformationUnit);
  return one_op(OpKind::kCompareAndWrite, *range);
}

}  // namespace tcmurbd::scsi
