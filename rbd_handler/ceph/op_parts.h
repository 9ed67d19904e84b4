// SPDX-License-Identifier: Apache-2.0
// Ops without a librbd call: VERIFY, WRITE AND VERIFY, ORWRITE, and COMPARE AND WRITE of blocks
// larger than 512 bytes (ceph_quirks.h 1). The daemon reads, compares and writes;
// only the range order and the exclusive lock make this atomic, also if the op is aborted, detached
// or fenced between its parts. Here: the sequence of calls, and the processing in between. Pure,
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
  kRead,   // Reads the range into a separate buffer, in pieces.
  kWrite,  // Writes the range from the op's data.
};

// The parts of `op`, in order; at least one.
std::span<const Part> parts_of(const ImageOp& op);

// The length of a piece; the last may be shorter. It bounds the memory that VERIFYs without data
// can allocate: 128 MiB for an image's 256 ops. A multiple of any block size.
inline constexpr uint64_t kPieceBytes = 512 * kKiB;

// Processes a piece that was read, `at` bytes into the range; `data` is a copy of the op's data.
// Returns 0, or kMiscompare and sets `mismatch` to the offset of the first different byte in
// `data`.
int32_t look_at(OpKind kind, std::span<uint8_t> data, std::span<const uint8_t> found, uint64_t at,
                uint64_t& mismatch);

// The result of an op that is partly or completely beyond the image's end, since the image is
// smaller than the device. No data call of librbd returns this errno, so it is unambiguous (SCSI:
// 5/21/00).
inline constexpr int32_t kBeyondEnd = -ERANGE;

// The final result of an op on `range` for which librbd returned `result`. librbd truncates a
// change at the image's end and returns success, or -EINVAL if nothing is left. `bytes`: the
// image's size, read after the op had ended, or the error. Without the size, a truncation cannot be
// ruled out, so the result is that error, but -EAGAIN instead of -ETIMEDOUT: only the read of the
// size timed out; the op itself has ended, so no fence is needed.
int32_t result_at_end(const ByteRange& range, int32_t result,
                      const std::expected<uint64_t, int>& bytes);

}  // namespace tcmurbd::ceph
