// SPDX-License-Identifier: Apache-2.0
// Finds the LUNs of this daemon that an EXTENDED COPY names, and checks whether every possible
// sender has access to them, using the current configfs. It reads many files and directories of
// configfs, whose locks the kernel holds while a LUN is removed and its hung commands are waited
// for.
//
// Thread: a separate one. BLOCKS as long as the kernel holds such a lock.
#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "rbd_handler/kernel/device_name.h"
#include "rbd_handler/scsi/copy.h"
#include "rbd_handler/scsi/facts.h"
#include "rbd_handler/scsi/sense.h"

namespace tcmurbd {

// A LUN as the control thread knows it.
struct KnownLun {
  kernel::DeviceName name;
  scsi::TargetFacts identity;           // As last read.
  std::optional<scsi::DiskFacts> disk;  // No value: it is not served.
};

struct NamedLuns {
  // Each named LUN once, as an index in the `luns` argument. The extents' disk numbers are indexes
  // in this vector.
  std::vector<size_t> luns;
  std::vector<uint16_t> of_cscd;  // For each CSCD its index in `luns`.
  Duration kernel_limit{};        // Of the LUN that received the copy; see ConfigfsDevice.
};

struct NamedLunsResult {
  std::expected<NamedLuns, scsi::Sense> found;
  std::string refusal;  // Of the copy, for the log; may be empty.
  // The identities that were read, by index.
  std::vector<std::pair<size_t, scsi::TargetFacts>> identities;
};

// `luns.front()` received the copy. `root` is the prefix of /sys: "/" or a test tree.
NamedLunsResult find_named_luns(const scsi::CopyRequest& request, std::span<const KnownLun> luns,
                                const std::string& root = "/");

}  // namespace tcmurbd
