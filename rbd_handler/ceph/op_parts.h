// SPDX-License-Identifier: Apache-2.0
// Ops that librbd has no call for: read, looked at and written by us, which only the range and the
// exclusive lock make one step. Here: which calls they come to, and what is done in between. Pure,
// any thread.
#pragma once

#include <cstdint>
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

}  // namespace tcmurbd::ceph
