// SPDX-License-Identifier: Apache-2.0
// The only port to RBD. The core plans ImageOps; an Image runs them. The implementation is librbd
// (ceph/) or, in tests, a fake that completes in any order, late or never.
#pragma once

#include <cerrno>
#include <cstdint>
#include <vector>

#include "common/iov.h"
#include "common/units.h"

namespace tcmurbd {

enum class OpKind : uint8_t {
  kRead,
  kWrite,
  kWriteZeroes,  // Exact: the whole range reads as zeroes afterwards (LBPRZ=1); whole objects are
                 // freed.
  kWriteSame,    // `data` is one pattern, repeated over the range.
  // `data` is the expected block, then the new block. Nothing is written unless the range contains
  // the expected block.
  kCompareAndWrite,
  // Reads the range and compares it with `data`: as long as the range, or one pattern that is
  // repeated over it. Without data it is only read.
  kCompare,
  kOrWrite,          // Bitwise OR of the present data and `data`.
  kWriteAndRead,     // Written, then read back from the medium.
  kWriteAndCompare,  // Written, read back and compared with `data`.
  // Finds the bytes of the range that may hold data: fills in `mapped`. All others read as zeroes.
  kBlockStatus,
};

constexpr bool changes_image(OpKind kind) {
  return kind != OpKind::kRead && kind != OpKind::kCompare && kind != OpKind::kBlockStatus;
}

// Whether it may end with kMiscompare.
constexpr bool compares(OpKind kind) {
  return kind == OpKind::kCompareAndWrite || kind == OpKind::kCompare ||
         kind == OpKind::kWriteAndCompare;
}

// Maximum number of objects for one kBlockStatus. They are queried in parallel, so this bounds the
// RADOS ops per image op; with 4 MiB objects it is 256 MiB.
inline constexpr uint64_t kBlockStatusObjectsMax = 64;

struct ImageOp {
  OpKind kind = OpKind::kRead;
  ByteRange range;  // REQUIRES: not empty, within the capacity that plan() checked.
  // kRead: written until the completion. Others: read during submit; later neither the bytes nor
  // the iovecs are accessed. Length: one block for kWriteSame, empty for kWriteZeroes and
  // kBlockStatus, twice the range for kCompareAndWrite, see there for kCompare; else the length of
  // the range.
  IovSpan data;
  // kBlockStatus: the runs that may hold data, in order, merged, within the range; none: all of it
  // reads as zeroes. If unknown, a range is mapped. Valid if the op succeeds. Unused by other
  // kinds.
  std::vector<ByteRange>* mapped = nullptr;
};

// Identifies an op in its completion. Chosen by the core, opaque to the Image.
using OpToken = uint32_t;

// The result of an op that found different data than expected. A kCompareAndWrite has written
// nothing then.
inline constexpr int32_t kMiscompare = -EILSEQ;

// The result of a change that was refused because the image was demoted and another cluster has the
// primary image (mirroring). Nothing was written. No call of librbd that moves data returns this
// errno.
inline constexpr int32_t kNotPrimary = -ENOMEDIUM;

// The result of an op: 0 or more = success, else a negative errno (librbd's convention). -ERANGE:
// the op is partly or completely beyond the image's end, since the image is smaller than the
// device.
struct OpDone {
  OpToken token = 0;
  int32_t result = 0;
  uint32_t mismatch_at = 0;  // With kMiscompare: the offset of the first different byte in `data`.
};

class Image {
 public:
  virtual ~Image() = default;

  // Starts `op`; exactly one OpDone with `token` follows, through the completion inbox and never
  // from within this call, also if the op could not be started (the Image may push to the inbox
  // while submit runs; that only queues). Called on: the thread that has the LUN's turn (the
  // reactor, or one on which a completion came). Never blocks.
  // May assume: the op does not overlap one that is in flight if one of them changes the image (the
  // core orders them, since librbd does not), but for a change after a kBlockStatus; and at most
  // kImageOpsMax ops are in flight with it. A kCompareAndWrite is one block, and no other client
  // changes the image meanwhile: a read followed by a write (kOrWrite, or a block of more than 512
  // bytes) is atomic only because of the range order and the exclusive lock. Ownership: the iovec
  // array, `mapped` and, for a kRead, the iovecs' memory stay valid until the OpDone. The memory of
  // all others is free again when submit returns.
  virtual void submit(const ImageOp& op, OpToken token) = 0;

  // The command of this op was answered before the op's end. Steps that have not started in RADOS
  // are not started any more: the next part of an op in parts, an op that waits for the image's
  // header. A step that has started continues. The OpDone still comes: -ECANCELED if nothing was
  // changed. Nothing happens for a token whose op has ended. Called on: the reactor that owns the
  // LUN. Never blocks.
  virtual void give_up(OpToken token) = 0;
};

// Ops in flight per image. This is the only limit: the Objecter's throttle would block librbd's
// threads, including reads from healthy OSDs, and is disabled.
inline constexpr uint32_t kImageOpsMax = 256;

}  // namespace tcmurbd
