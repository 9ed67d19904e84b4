// SPDX-License-Identifier: Apache-2.0
// Copies of a Device, controlled by a fuzzer's input: reads and writes from copies of other LUNs,
// and EXTENDED COPY commands to this one, with this one as source and destination. Checks that each
// op is reported once, and that its memory lives as long as it is used.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <vector>

#include "rbd_handler/copy/copy_pipeline.h"
#include "rbd_handler/device/device.h"
#include "tests/fuzz/input.h"
#include "tests/support/taken_effects.h"

namespace tcmurbd::fuzz {

class CopyDriver {
 public:
  CopyDriver(Device& device, testing::TakenEffects& effects) : device_(device), effects_(effects) {}

  // An op of another LUN's copy, or such a copy is given up.
  void begin_op(Input& input, uint64_t blocks, TimePoint now);
  void cancel(Input& input, TimePoint now);
  // After each event of the device.
  void run(TimePoint now);
  bool idle() const { return ops_.empty() && own_.empty(); }

 private:
  static constexpr uint64_t kOthers = 3;  // Copies 1 to 3 are of other LUNs.

  struct Own {
    uint64_t id = 0;
    std::unique_ptr<copy::CopyPipeline> job;
    bool cancelled = false;
  };

  void start(const CopyStart& start, TimePoint now);
  void give(uint64_t id, const copy::Op& op, TimePoint now);
  void drive(TimePoint now);
  size_t ops_of(uint64_t id) const;

  Device& device_;
  testing::TakenEffects& effects_;
  std::multiset<std::pair<uint64_t, uint32_t>> ops_;  // Copy and token of ops in flight.
  std::map<task::TaskId, Own> own_;                   // By the task.
  uint64_t last_id_ = kOthers;
  uint32_t last_token_ = 0;
};

}  // namespace tcmurbd::fuzz
