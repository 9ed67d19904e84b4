// SPDX-License-Identifier: Apache-2.0
// The kernel's side of one TCMU device, for tests: a model of the shared memory handling of
// linux/drivers/target/target_core_user.c, over a plain buffer. A test acts as the initiator
// (queue, abort, lun_reset), the code under test acts as the daemon on map(), and doorbell() does
// what the kernel does when it is notified:
//
//   FakeKernel kernel;
//   auto ring = Ring::attach(kernel.map());
//   const uint64_t tag = kernel.queue({.cdb = {0x28, ...}, .data_in_bytes = 4096});
//   ... ring->next(...), complete(...), publish() ...
//   kernel.doorbell();
//   const FakeResult result = kernel.take_result(tag).value();
//
// Like the kernel it
//  - uses the lowest free id from 1 on, so ids are reused at once;
//  - puts a PAD entry before the ring's end when an entry does not fit there;
//  - queues a command if ring or data area are full, and all commands after it (qfull queue); TMRs
//    have their own queue and are put on the ring first;
//  - takes completions by the id in the slot at its own position; an unknown id breaks the ring:
//    then doorbells have no effect until reset_ring();
//  - discards the status of an aborted or expired command, and keeps its id and blocks until it is
//    completed;
//  - handles READ_LEN and KEEP_BUF; a kept id is free again only after free_kept_buf().
//
// In addition it checks memory: a block is filled with kStaleByte when a command gets it (data of
// an earlier command) and with kFreedByte when it is freed. A write to freed memory is detected at
// the next allocation or by violations(). kStaleByte in the data of a result means that data of
// another command leaked.
//
// Not modelled: BIDI, command timers (see expire()), block_dev, page reclaim. Not thread safe: with
// a threaded daemon the test ensures that the ring is not in use during its calls.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "common/unique_fd.h"

namespace tcmurbd::testing {

// A command as a fabric submits it. At most one of data_out and data_in_bytes.
struct FakeCommand {
  std::vector<uint8_t> cdb{};
  std::vector<uint8_t> data_out{};
  uint32_t data_in_bytes = 0;  // Expected length of a command that reads.
  bool scattered = false;      // No adjacent blocks: one iovec per block.
};

// The result of a command.
struct FakeResult {
  enum class How : uint8_t {
    kAnswered,  // The initiator got status, sense and data.
    kAborted,   // Ended after an abort; the daemon's status was discarded.
    kExpired,   // The kernel's timer ended it; there is no other result.
    kReset,     // Ended by reset_ring or refused by a blocked device, BUSY.
  };
  How how = How::kAnswered;
  uint16_t cmd_id = 0;  // 0: never was on the ring.
  uint8_t status = 0;
  std::array<uint8_t, 96> sense{};  // Only with CHECK CONDITION (02h).
  std::vector<uint8_t>
      data_in{};  // The data for the initiator, with the length that the kernel would copy.
  bool kept = false;
};

class FakeKernel {
 public:
  struct Options {
    uint32_t ring_bytes = 4096 - 128;  // A multiple of 8. The kernel's: 1 to 8 MiB - 128.
    uint32_t block_bytes = 4096;       // Of the data area; a multiple of 8.
    uint32_t blocks = 256;
    uint16_t flags = 0xf;          // Mailbox capabilities: OOOC 1, READ_LEN 2, TMR 4, KEEP_BUF 8.
    bool tmr_notification = true;  // The attribute; the kernel's default is off.
    bool shared = false;           // Memory that map_again() maps once more.
  };
  static constexpr std::byte kStaleByte{0xa5};
  static constexpr std::byte kFreedByte{0xdd};
  static constexpr uint32_t kRingOffset = 128;

  FakeKernel() : FakeKernel(Options{}) {}
  explicit FakeKernel(const Options& options);

  // Mailbox, ring, data area; the buffer's address never changes.
  std::span<std::byte> map() { return {memory_.get(), bytes_}; }
  // A mapping of the same memory, as a process that opens the device has it; the caller unmaps it.
  // REQUIRES: Options::shared.
  std::span<std::byte> map_again() const;

  // --- the initiator ---

  // Submits a command and returns its tag. It may wait for space, see cmd_id().
  uint64_t queue(FakeCommand command);
  // ABORT TASK: the command's result will be kAborted. A waiting one ends at once. Sends a TMR
  // without ids if the command has ended or is unknown.
  void abort(uint64_t tag);
  // LUN RESET: aborts all outstanding commands that are not aborted yet, with one TMR.
  void lun_reset();
  // Only a TMR, with any ids.
  void notify(uint8_t type, std::vector<uint16_t> ids);
  // An entry with an unknown op, `length` bytes (a multiple of 8). It must be marked UNKNOWN_OP
  // when the tail passes it. False: no space.
  bool queue_unknown(uint32_t op, uint32_t length);

  // The result, once; nothing if the command is still outstanding.
  std::optional<FakeResult> take_result(uint64_t tag);
  // All results that have not been taken, by tag.
  std::map<uint64_t, FakeResult> take_results() { return std::exchange(results_, {}); }

  // --- the kernel ---

  // The write() to /dev/uioN: takes completions up to the tail, then moves waiting TMRs and
  // commands to the ring.
  void doorbell();
  // cmd_time_out has passed: the initiator gets an answer; id and blocks stay in use.
  void expire(uint64_t tag);
  // block_dev. While blocked, new commands and those waiting for space end with BUSY.
  void set_blocked(bool blocked);
  // Writes to the action files. False: the kernel would return EINVAL.
  bool free_kept_buf(uint16_t cmd_id);
  // All outstanding commands end, head and tail become 0, and the ring is not broken any more.
  void reset_ring();

  // --- looking inside ---

  std::optional<uint16_t> cmd_id(
      uint64_t tag) const;  // No value: it has ended, or waits for space.
  size_t on_ring() const;   // Commands without a completion by the daemon.
  size_t waiting() const { return waiting_.size(); }
  bool waits(uint64_t tag) const;  // For room.
  size_t waiting_tmrs() const { return waiting_tmrs_.size(); }
  size_t kept() const;
  uint32_t free_blocks() const;
  uint32_t head() const { return head_; }
  uint32_t tail();  // As the daemon stored it.
  // Wake-ups of the daemon so far: /dev/uioN is readable if this changed.
  uint32_t events() const { return events_; }
  bool broken() const { return !broken_reason_.empty(); }
  const std::string& broken_reason() const { return broken_reason_; }
  // Protocol violations of the daemon that did not break the ring. Checks all freed memory now.
  std::vector<std::string> violations();

  // Raw access, to write values that no kernel writes.
  template <typename T>
  void poke(uint64_t offset, T value) {
    std::memcpy(memory_.get() + offset, &value, sizeof(value));
  }
  template <typename T>
  T peek(uint64_t offset) const {
    T value;
    std::memcpy(&value, memory_.get() + offset, sizeof(value));
    return value;
  }

 private:
  struct Command {
    uint64_t tag = 0;
    FakeCommand request;
    std::vector<uint32_t> blocks;
    bool aborted = false;
    bool expired = false;
    bool kept = false;
  };
  struct Tmr {
    uint8_t type = 0;
    std::vector<uint16_t> ids;
  };
  struct FreeMemory {
    size_t mapped;  // 0: allocated.
    void operator()(std::byte* memory) const;
  };

  uint64_t data_offset() const { return kRingOffset + uint64_t{options_.ring_bytes}; }
  std::byte* block(uint32_t index);
  bool allocate(Command& command);
  void free_blocks_of(Command& command);
  void check_block(uint32_t index);
  std::vector<std::pair<uint64_t, uint64_t>> iovecs(const Command& command) const;
  void copy_out(const Command& command);
  std::vector<uint8_t> copy_in(Command& command, uint64_t limit);

  bool room_for(uint32_t entry_bytes) const;
  uint32_t begin_entry(uint32_t entry_bytes);  // Pads; returns the offset in the map.
  void end_entry(uint32_t entry_bytes);
  void write_header(uint64_t at, uint32_t length_op, uint16_t id);
  bool put_on_ring(Command& command);  // False: no room.
  bool put_on_ring(const Tmr& tmr);
  void take_completions();
  void take_completion(uint64_t slot, uint16_t id);
  FakeResult gather(uint64_t slot, uint16_t id, Command& command);
  Command* find(uint64_t tag, uint16_t* id);

  Options options_;
  size_t bytes_ = 0;
  UniqueFd file_;  // Of shared memory.
  std::unique_ptr<std::byte, FreeMemory> memory_{nullptr, FreeMemory{0}};
  std::vector<bool> block_used_;
  std::map<uint16_t, Command> commands_;  // By id: outstanding and kept.
  std::deque<Command> waiting_;
  std::deque<Tmr> waiting_tmrs_;
  std::map<uint64_t, FakeResult> results_;
  uint64_t last_tag_ = 0;
  uint32_t head_ = 0;
  uint32_t cleaned_ = 0;  // Completions before it are taken.
  uint32_t events_ = 0;
  bool blocked_ = false;
  std::string broken_reason_;
  std::vector<std::string> violations_;
};

}  // namespace tcmurbd::testing
