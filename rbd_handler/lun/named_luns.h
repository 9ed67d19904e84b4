// SPDX-License-Identifier: Apache-2.0
// Which LUNs of this daemon an EXTENDED COPY names, and whether whoever may have sent it reaches
// them: by what configfs says now. It reads many files of configfs and lists its directories, whose
// locks the kernel holds while somebody removes a LUN and waits for its hung commands.
//
// Thread: one of its own. BLOCKS, for as long as the kernel holds such a lock.
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
  std::optional<scsi::DiskFacts> disk;  // Nothing: it does not serve.
};

struct NamedLuns {
  // Each LUN that is named, once; places in what was asked about. The extents' numbers are places
  // herein.
  std::vector<size_t> luns;
  std::vector<uint16_t> of_cscd;  // For each CSCD its place in `luns`.
  Duration kernel_limit{};        // Of the LUN that the copy came to; see ConfigfsDevice.
};

struct NamedLunsAnswer {
  std::expected<NamedLuns, scsi::Sense> found;
  std::string refusal;  // A line for the log; may be empty.
  // What was read on the way, by place.
  std::vector<std::pair<size_t, scsi::TargetFacts>> identities;
};

// `luns.front()` is the one that the copy came to. `root` stands before /sys: "/" or a test's tree.
NamedLunsAnswer find_named_luns(const scsi::CopyRequest& request, std::span<const KnownLun> luns,
                                const std::string& root = "/");

}  // namespace tcmurbd
