// SPDX-License-Identifier: Apache-2.0
// The one port toward RBD. The core plans ImageOps; an Image runs them. Behind it stands librbd
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
  kWriteZeroes,  // Exact: the whole range reads as zeroes afterwards; whole objects are freed.
  kWriteSame,    // `data` is one pattern, repeated over the range.
  // `data` is the block that is expected, then the block that replaces it. Nothing is written
  // unless the range holds what is expected.
  kCompareAndWrite,
  // Reads the range and compares it with `data`: as long as the range, or one pattern that is
  // repeated over it. Without data it is only read.
  kCompare,
  kOrWrite,          // What is there, or `data`, bit by bit.
  kWriteAndRead,     // Written, then read back from the medium.
  kWriteAndCompare,  // And compared with what was written.
  // Finds which bytes of the range may hold data: `mapped` is filled in. All others read as zeroes.
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

// Objects of the image that one kBlockStatus may touch. Each is asked for its size, all at once, so
// this bounds what one op of kImageOpsMax comes to; with 4 MiB objects it is 256 MiB.
inline constexpr uint64_t kBlockStatusObjectsMax = 64;

struct ImageOp {
  OpKind kind = OpKind::kRead;
  ByteRange range;  // REQUIRES: not empty, within the capacity that plan() checked.
  // kRead: filled in until the completion. Else taken from at submit; later neither the bytes nor
  // the iovecs are looked at. Of kWriteSame one block, of kWriteZeroes and kBlockStatus nothing, of
  // kCompareAndWrite twice the range's length, of kCompare what is said there; of all others as
  // much as the range.
  IovSpan data;
  // kBlockStatus: the runs that may hold data, in order, merged, within the range; none: all of it
  // reads as zeroes. What can't be told is mapped. Counts if the op succeeds. Else not used.
  std::vector<ByteRange>* mapped = nullptr;
};

// Names an op to its completion. Chosen by the core, opaque to the Image.
using OpToken = uint32_t;

// The result of an op that found other data than it expected. A kCompareAndWrite has written
// nothing then.
inline constexpr int32_t kMiscompare = -EILSEQ;

// The result of a change that was refused because the image can't be written here: it was demoted
// and another cluster has the primary image (mirroring). Nothing was written. No call of librbd
// that moves data returns this errno.
inline constexpr int32_t kNotPrimary = -ENOMEDIUM;

// What an op came to: 0 or more = success, else a negative errno (librbd's convention). -ERANGE:
// the op lies beyond the image's end, wholly or in part, since the image is smaller than the
// device.
struct OpDone {
  OpToken token = 0;
  int32_t result = 0;
  uint32_t mismatch_at = 0;  // With kMiscompare: the first byte of `data` that differs.
};

class Image {
 public:
  virtual ~Image() = default;

  // Starts `op`; exactly one OpDone with `token` follows, through the completion inbox and never
  // from within this call, also if the op could not be started (the Image may push to the inbox
  // while submit runs; that only queues).
  // Called on: the reactor that owns the LUN. Never blocks.
  // May assume: the op does not overlap one that is in flight if one of them changes the image (the
  // core orders them, since librbd does not), but for a change after a kBlockStatus; and at most
  // kImageOpsMax ops are in flight with it. A kCompareAndWrite is one block, and nobody else
  // changes the image meanwhile: what is read and then written, as a kOrWrite or a block of more
  // than 512 bytes is, only the range and the exclusive lock make one step. Ownership: the iovec
  // array, `mapped` and, for a kRead, the iovecs' memory stay valid until the OpDone. The memory of
  // all others is free again when submit returns.
  virtual void submit(const ImageOp& op, OpToken token) = 0;

  // The command of this op was answered without the op's end. Steps of it that have not begun in
  // RADOS do not begin any more: the next part of an op in parts, an op that waits for the image's
  // header. A step that has begun goes on. The OpDone still comes: -ECANCELED if nothing was
  // changed. Nothing happens for a token whose op has ended.
  // Called on: the reactor that owns the LUN. Never blocks.
  virtual void give_up(OpToken token) = 0;
};

// Ops in flight per image. This is the only bound: the Objecter's own throttle would block librbd's
// threads, reads of healthy OSDs included, and is off.
inline constexpr uint32_t kImageOpsMax = 256;

}  // namespace tcmurbd
