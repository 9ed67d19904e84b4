// SPDX-License-Identifier: Apache-2.0
// One read or write of a copy, passed from the CopyPipeline to a LUN.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "common/units.h"
#include "rbd_handler/image.h"

namespace tcmurbd::copy {

struct Op {
  uint32_t token = 0;  // For CopyPipeline::on_done(). Ops with the same token run in parallel.
  uint16_t disk = 0;   // As the extents number them.
  OpKind kind = OpKind::kRead;   // kRead, kWrite or kWriteZeroes.
  ByteRange range;               // REQUIRES: not empty.
  std::span<uint8_t> data;       // Of kRead and kWrite, as long as the range.
  std::shared_ptr<void> memory;  // Owns `data`: held until the op has ended.
  TimePoint issued{};            // When its EXTENDED COPY came. Set by the CopySession.
};

}  // namespace tcmurbd::copy
