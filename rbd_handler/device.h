// SPDX-License-Identifier: Apache-2.0
// The conductor of one LUN: takes commands off the ring, has them planned, keeps overlapping ops in
// order, hands them to the image and completes them. Pure: events and time come in as calls,
// effects go out through the ring, the image and the wants_*/publish() answers; there are no
// threads, clocks, kernel or Ceph in here, so tests drive it step by step.
//
// Thread: the reactor that owns the LUN, and no other.
#pragma once

#include <deque>
#include <string>
#include <vector>

#include "rbd_handler/image.h"
#include "rbd_handler/ring/ring.h"
#include "rbd_handler/scsi/plan.h"
#include "rbd_handler/task/range_order.h"
#include "rbd_handler/task/task_table.h"

namespace tcmurbd {

// What a LUN has done since it was started. Only ever grows.
struct DeviceCounters {
  uint64_t commands = 0;  // Taken off the ring.
  uint64_t reads = 0;     // Read commands given to the image, and their bytes.
  uint64_t read_bytes = 0;
  uint64_t writes = 0;  // Commands that change the image.
  uint64_t write_bytes = 0;
  uint64_t check_conditions = 0;
  uint64_t busy = 0;
  uint64_t image_errors = 0;  // Ops that librbd ended with an error.
  uint64_t range_waits = 0;   // Commands that had to wait for an overlapping one.
  uint64_t task_managements = 0;
  uint64_t bad_entries = 0;  // Ring entries with offsets or lengths outside of the map.
};

class Device {
 public:
  // Entries taken off the ring per on_ring(): bounds the work of one wake-up, so that a busy LUN
  // does not starve its neighbours; large enough to fill a batch of the usual queue depths (64,
  // 128).
  static constexpr uint32_t kEntriesPerWake = 128;

  // `image` must outlive the Device and every op submitted to it.
  Device(ring::Ring ring, Image& image, const scsi::DiskFacts& disk);

  // --- events ---
  // The kernel rang, or might have. True: entries are left, call again soon.
  bool on_ring(TimePoint now);
  // An image op ended.
  void on_done(const OpDone& done, TimePoint now);
  // Fresh facts, as asked for through wants_target_facts().
  void on_target_facts(const scsi::TargetFacts& facts, TimePoint now);
  // attrib/dev_size was written. Served at once; each later command is held against the new size,
  // and the next one that may tell is answered with unit attention 2A/09 CAPACITY DATA HAS CHANGED.
  // (One per device: the kernel tells a handler nothing of initiators.)
  void on_resized(uint64_t bytes);
  // The broken ring was reset and mapped anew.
  // REQUIRES: idle().
  void restart(ring::Ring ring);

  // --- effects ---
  // Shows the kernel what was completed. True: ring the doorbell once.
  bool publish() { return ring_.publish(); }
  // Commands are parked for facts. True: begin a fetch now, then call on_target_facts(); one at a
  // time.
  bool wants_target_facts();
  // Set when the ring can't be followed any more: the reason. Nothing is read from it then; ops in
  // flight still end.
  const std::string& broken_reason() const { return broken_; }

  // Nothing of the kernel's is open and nothing is with the image.
  bool idle() const { return tasks_.size() == 0; }
  size_t tasks() const { return tasks_.size(); }
  bool has_entries() const { return ring_.has_entries(); }
  const DeviceCounters& counters() const { return counters_; }
  const scsi::DiskFacts& disk() const { return disk_; }

 private:
  void start(uint32_t index);
  bool answer_unit_attention(uint32_t index);
  void plan_and_run(uint32_t index);
  void start_image_ops(uint32_t index);
  void order(uint32_t index);
  void submit(uint32_t index);
  void start_backlog();
  void end_image_ops(uint32_t index);
  void answer(uint32_t index, const scsi::Result& result, std::span<const uint8_t> data_in);
  void complete(uint32_t index, const scsi::Result& result, uint32_t read_length);

  ring::Ring ring_;
  Image& image_;
  scsi::DiskFacts disk_;
  scsi::TargetFacts target_;
  task::TaskTable tasks_;
  task::RangeOrder order_;
  std::deque<uint32_t> backlog_;          // Tasks in kBacklog, oldest first.
  std::vector<uint32_t> awaiting_facts_;  // Tasks in kAwaitingFacts, oldest first.
  size_t facts_asked_for_ =
      0;  // Of these, the ones parked when the fetch under way began; 0: none is.
  uint32_t ops_claimed_ = 0;  // Ops of tasks in kAwaitingRange and kInImage; at most kImageOpsMax.
  std::optional<scsi::Sense> unit_attention_;
  ring::TmrEntry tmr_;  // Scratch, like the two below.
  std::vector<uint8_t> data_in_;
  std::vector<uint32_t> ready_;
  DeviceCounters counters_;
  std::string broken_;
};

}  // namespace tcmurbd
