// SPDX-License-Identifier: Apache-2.0
// The latencies of a LUN since it was opened by this process. Plain values; the reactor counts, an
// edge prints. Times are those of the turns of the reactor, so they include its wait for its turn
// and none is shorter than a turn.
#pragma once

#include <array>
#include <utility>

#include "common/latency_histogram.h"
#include "rbd_handler/scsi/operation.h"

namespace tcmurbd {

using LatencyByOperation = std::array<LatencyHistogram, scsi::kOperations>;

struct DeviceLatency {
  // From the ring to the answer. Not those that the kernel has answered itself.
  LatencyByOperation command{};
  // The part of them in librbd: from the submission of a command's image ops to the end of the
  // last one, which may come after the answer. Also reads and writes of EXTENDED COPY.
  LatencyByOperation image{};
};

}  // namespace tcmurbd
