// SPDX-License-Identifier: Apache-2.0
// The kernel's side of one TCMU ring, at full speed: what target_core_user.c (Linux 6.1) does in
// queue_cmd_ring, tcmu_handle_completions and reset_ring. For the checks of a test, see
// tests/support/fake_kernel.h; this one only measures.
//
// Thread: any; `mutex` guards all of it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "common/unique_fd.h"

namespace tcmurbd::bench {

enum class Direction : uint8_t { kNone, kToDevice, kFromDevice };

// One command of the initiator. Owned by it, and in the ring's hands from queue() to its end.
struct Command {
  std::vector<uint8_t> cdb;
  Direction direction = Direction::kNone;
  std::span<uint8_t> data;
  uint64_t queued_ns = 0;
  uint64_t ended_ns = 0;
  uint16_t id = 0;  // 0: not open.
  uint8_t status = 0;
};

uint64_t now_ns();

class KernelRing {
 public:
  static constexpr size_t kRingBytes = 8U << 20U;  // The default of the kernel.
  static constexpr size_t kDataBytes = 64U << 20U;
  static constexpr size_t kMapBytes = kRingBytes + kDataBytes;
  using Ended = std::function<void(Command&)>;

  // `populated`: its pages are there from the beginning.
  explicit KernelRing(bool populated);

  // For each command that ends, with `mutex` locked. To be set before the first one is queued.
  Ended on_end = [](Command&) {};

  int memory() const { return memory_.get(); }
  int daemon_end() const { return daemon_end_.get(); }
  // Readable when the daemon rings.
  int doorbell() const { return kernel_end_.get(); }
  // After the daemon has inherited it.
  void close_daemon_end() { daemon_end_.reset(); }

  // False: there is no room, or the device is blocked; try again after a completion.
  bool queue(Command& command);
  // A TMR entry for an ABORT TASK of that open command. False: there is no room.
  bool queue_abort(const Command& command);
  // Wakes the daemon, unless a wake-up is on its way that it has not read, as uio.c.
  void notify();
  // Waits up to 100 ms for a doorbell. False: the daemon has closed its end.
  bool wait_for_doorbell();
  // Ends what the daemon completed. Throws std::runtime_error if it broke the ring.
  void take_completions();
  // The action files.
  void set_blocked(bool blocked) { blocked_ = blocked; }
  void free_kept(uint32_t id);
  void reset();

  size_t in_flight() const { return in_flight_; }
  bool blocked() const { return blocked_; }
  uint64_t doorbells() const { return doorbells_; }
  // cmd_tail, as the daemon stored it.
  uint32_t tail() const;

  std::mutex mutex;

 private:
  static constexpr uint32_t kMailboxBytes = 128;
  static constexpr uint32_t kRingEnd = kRingBytes - kMailboxBytes;
  static constexpr uint32_t kBlockBytes = 4096;
  static constexpr uint32_t kBlocks = kDataBytes / kBlockBytes;

  struct Open {
    Command* command = nullptr;  // Null: unused, or only its buffer is kept.
    bool kept = false;
    std::vector<uint32_t> blocks;
  };
  // The lowest free one, as find_first_zero_bit. False: none.
  static bool take_lowest(std::vector<uint64_t>& bitmap, uint32_t size, uint32_t& index);
  static void give_back(std::vector<uint64_t>& bitmap, uint32_t index);
  uint8_t* at(uint64_t offset) { return map_ + offset; }
  uint8_t* entry(uint32_t position) { return map_ + kMailboxBytes + position; }
  uint32_t head() const;
  void set_head(uint32_t position);
  bool has_room(uint32_t bytes) const;
  // The position of an entry; pads if it does not fit before the ring's end.
  uint32_t place(uint32_t bytes);
  bool take_blocks(Open& open, size_t bytes);
  // Writes the iovecs and the data of a command. Returns how many iovecs.
  uint32_t write_data(const Command& command, const Open& open, uint8_t* iovecs);
  void end(uint8_t* entry);
  void release(uint32_t id);

  UniqueFd memory_;
  UniqueFd kernel_end_;
  UniqueFd daemon_end_;
  uint8_t* map_ = nullptr;
  uint32_t cleaned_ = 0;  // Up to here completions were taken.
  std::vector<uint64_t> used_blocks_;
  std::vector<uint64_t> used_ids_;
  uint32_t free_blocks_ = kBlocks;
  std::vector<Open> open_;  // By id.
  size_t in_flight_ = 0;
  bool blocked_ = false;
  int32_t events_ = 0;
  uint64_t doorbells_ = 0;
};

}  // namespace tcmurbd::bench
