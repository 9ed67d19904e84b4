// SPDX-License-Identifier: Apache-2.0
// Ops that librbd has no call for: read, looked at and written by us, which only the range and the
// exclusive lock make one step. Here: which calls they come to, and what is done in between. Pure,
// any thread.
#pragma once

#include <cerrno>
#include <cstdint>
#include <expected>
#include <span>

#include "rbd_handler/image.h"

namespace tcmurbd::ceph {

// A call of librbd.
enum class Part : uint8_t {
  kWhole,  // Does all of the op.
  kRead,   // The range, to memory of ours, in pieces.
  kWrite,  // The range, from the op's data.
};

// Those of `op`, in turn; at least one.
std::span<const Part> parts_of(const ImageOp& op);

// The length of a piece; the last may be shorter. It bounds what an initiator makes us allocate
// with a VERIFY that brings no data: 128 MiB if it fills an image's 256 ops. A multiple of any
// block.
inline constexpr uint64_t kPieceBytes = 512 * kKiB;

// What is to be done with a piece that was read, `at` bytes into the range: `data` is our copy of
// the op's. 0, or kMiscompare: then `mismatch` is the first byte of `data` that differs.
int32_t look_at(OpKind kind, std::span<uint8_t> data, std::span<const uint8_t> found, uint64_t at,
                uint64_t& mismatch);

// The result of an op beyond the image's end, wholly or in part: the image is smaller than the
// device. No data call of librbd gives this errno, so it is free to be told apart (SCSI: 5/21/00).
inline constexpr int32_t kBeyondEnd = -ERANGE;

// What an op on `range` has come to, of which librbd says `result`. It cuts a change at the image's
// end and calls that a success, or says -EINVAL when nothing is left. `bytes`: the image's size,
// read after the op had ended, or why it can't be read. Without it, being cut can't be ruled out,
// so it is no success then. Its reason, but -EAGAIN for -ETIMEDOUT: the size was not told in time,
// while of the op itself nothing is under way any more, so that it need not be fenced.
int32_t result_at_end(const ByteRange& range, int32_t result,
                      const std::expected<uint64_t, int>& bytes);

}  // namespace tcmurbd::ceph
