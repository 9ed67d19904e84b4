// SPDX-License-Identifier: Apache-2.0
// The kinds of commands that counters and histograms tell apart. Any thread.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "rbd_handler/scsi/command.h"

namespace tcmurbd::scsi {

enum class Operation : uint8_t {
  kRead,
  kWrite,  // And WRITE ATOMIC, ORWRITE, WRITE AND VERIFY.
  kUnmap,
  kWriteSame,
  kCompareAndWrite,
  kVerify,
  kExtendedCopy,
  kFlush,  // SYNCHRONIZE CACHE.
  kOther,  // Also what is no command.
};

// As the value of a label, by Operation.
inline constexpr std::array<std::string_view, 9> kOperationNames{
    "read",   "write",         "unmap", "write_same", "compare_and_write",
    "verify", "extended_copy", "flush", "other"};
inline constexpr size_t kOperations = kOperationNames.size();
static_assert(kOperations == static_cast<size_t>(Operation::kOther) + 1);

Operation operation_of(const Command& command);

}  // namespace tcmurbd::scsi
