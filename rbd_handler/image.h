// SPDX-License-Identifier: Apache-2.0
// The one port toward RBD. The core plans ImageOps; an Image runs them. Behind it stands librbd
// (ceph/) or, in tests, a fake that completes in any order, late or never.
#pragma once

#include <cstdint>

#include "common/iov.h"
#include "common/units.h"

namespace tcmurbd {

enum class OpKind : uint8_t {
  kRead,
  kWrite,
  kWriteZeroes,  // Exact: the whole range reads as zeroes afterwards; whole objects are freed.
  kWriteSame,    // `data` is one pattern, repeated over the range.
};

constexpr bool changes_image(OpKind kind) { return kind != OpKind::kRead; }

struct ImageOp {
  OpKind kind = OpKind::kRead;
  ByteRange range;  // REQUIRES: not empty, within the capacity that plan() checked.
  // Read: filled in until the completion. Write: taken from at submit. WriteSame: one block.
  // Else empty. kRead/kWrite: iov_bytes(data) == range.length.
  IovSpan data;
};

// Names an op to its completion. Chosen by the core, opaque to the Image.
using OpToken = uint32_t;

// What an op came to: 0 or more = success, else a negative errno (librbd's convention). -ERANGE:
// the op lies beyond the image's end, wholly or in part, since the image is smaller than the
// device.
struct OpDone {
  OpToken token = 0;
  int32_t result = 0;
};

class Image {
 public:
  virtual ~Image() = default;

  // Starts `op`; exactly one OpDone with `token` follows, through the completion inbox and never
  // from within this call, also if the op could not be started (the Image may push to the inbox
  // while submit runs; that only queues).
  // Called on: the reactor that owns the LUN. Never blocks.
  // May assume: the op does not overlap a write that is in flight (the core orders overlapping ops,
  // since librbd does not), and at most kImageOpsMax ops are in flight with it.
  // Ownership: the iovec array and, for reads, its memory stay valid until the OpDone. The memory
  // of a write is free again when submit returns.
  virtual void submit(const ImageOp& op, OpToken token) = 0;
};

// Ops in flight per image. This is the only bound: the Objecter's own throttle would block librbd's
// threads, reads of healthy OSDs included, and is off.
inline constexpr uint32_t kImageOpsMax = 256;

}  // namespace tcmurbd
