// SPDX-License-Identifier: Apache-2.0
// SBC-3: VERIFY, WRITE AND VERIFY and ORWRITE. The data they read needs additional memory, so their
// length is bounded.
#include "rbd_handler/scsi/handlers.h"
#include "rbd_handler/scsi/limits.h"

namespace tcmurbd::scsi {
namespace {

// One op on `blocks` from `lba` on. The fabric must have sent exactly `data_length` bytes: the
// kernel cannot report a residual of data-out.
Plan one_op(OpKind kind, const Context& context, uint64_t lba, uint64_t blocks,
            uint64_t data_length) {
  const auto range = range_within(context.disk, lba, blocks);
  if (!range) return check(range.error());
  if (blocks > max_read_back_blocks(context.disk)) return check(kInvalidFieldInCdb);
  if (context.request.data_length != data_length) return check(kInvalidFieldInInformationUnit);
  if (blocks == 0) return good();
  ImageOps ops;
  ops.ops.push_back({kind, *range});
  return ops;
}

uint64_t compared_blocks(const Verify& command) {
  switch (command.comparison) {
    case Verify::Comparison::kNone:
      return 0;
    case Verify::Comparison::kAll:
      return command.blocks;
    case Verify::Comparison::kOneBlock:
      return command.blocks == 0 ? 0 : 1;
  }
  return 0;
}

}  // namespace

Plan plan_command(const Verify& command, const Context& context) {
  return one_op(OpKind::kCompare, context, command.lba, command.blocks,
                compared_blocks(command) * context.disk.block_size);
}

Plan plan_command(const WriteAndVerify& command, const Context& context) {
  if (context.disk.read_only) return check(kWriteProtected);
  return one_op(command.compare ? OpKind::kWriteAndCompare : OpKind::kWriteAndRead, context,
                command.lba, command.blocks, command.blocks * context.disk.block_size);
}

Plan plan_command(const OrWrite& command, const Context& context) {
  if (context.disk.read_only) return check(kWriteProtected);
  return one_op(OpKind::kOrWrite, context, command.lba, command.blocks,
                command.blocks * context.disk.block_size);
}

}  // namespace tcmurbd::scsi
