// SPDX-License-Identifier: Apache-2.0
// Data scattered over iovecs, as the kernel passes a command's data. The views do not own the
// memory; it must outlive the call. Any thread.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <span>

namespace tcmurbd {

using IovSpan = std::span<const iovec>;

// The sum of the lengths.
uint64_t iov_bytes(IovSpan iov);

// Copies `source` to the iovecs, beginning `offset` bytes into them. Returns the bytes copied,
// fewer than source.size() if the iovecs end first.
size_t copy_to_iov(IovSpan iov, uint64_t offset, std::span<const uint8_t> source);

// Copies from the iovecs, beginning `offset` bytes into them, to `target`. Returns the bytes
// copied.
size_t copy_from_iov(IovSpan iov, uint64_t offset, std::span<uint8_t> target);

// Zeroes everything from `offset` to the end, so that a short answer does not leak data of an
// earlier command (the kernel never clears the data area).
void zero_iov(IovSpan iov, uint64_t offset);

}  // namespace tcmurbd
