// SPDX-License-Identifier: Apache-2.0
// The kernel's side of one TCMU device, for tests: a model of what
// linux/drivers/target/target_core_user.c does with the shared memory, over a plain buffer. A test
// plays the initiator (queue, abort, lun_reset), the code under test plays the daemon on map(), and
// doorbell() plays what the kernel does when it is kicked:
//
//   FakeKernel kernel;
//   auto ring = Ring::attach(kernel.map());
//   const uint64_t tag = kernel.queue({.cdb = {0x28, ...}, .data_in_bytes = 4096});
//   ... ring->next(...), complete(...), publish() ...
//   kernel.doorbell();
//   const FakeResult result = kernel.take_result(tag).value();
//
// Like the kernel it
//  - gives the lowest free id from 1 on, so ids return at once;
//  - puts a PAD entry before the ring's end when an entry doesn't fit there;
//  - lets a command wait if ring or data area are full, and everything behind it too (qfull queue);
//  TMRs wait apart, and
//    are put on the ring first;
//  - takes completions by the id that stands in the slot at its own position, and calls the ring
//  broken for an unknown
//    one: then no doorbell does anything until reset_ring();
//  - discards the status of an aborted or expired command, and keeps its id and blocks until it is
//  completed;
//  - reads READ_LEN and KEEP_BUF as the kernel does; a kept id is free again only after
//  free_kept_buf().
//
// Beyond the kernel it watches memory: a block is filled with kStaleByte when a command gets it
// (what an earlier command left there) and with kFreedByte when it is freed. Whoever writes to
// freed memory is found at the next allocation or by violations(). kStaleByte in a result's data
// means that somebody else's data leaked.
//
// Not modelled: BIDI, command timers (see expire()), block_dev, page reclaim. Not thread safe: with
// a threaded daemon the test takes care that nobody is in the ring while it calls in here.
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

namespace tcmurbd::testing {

// A command as a fabric submits it. At most one of data_out and data_in_bytes.
struct FakeCommand {
  std::vector<uint8_t> cdb{};
  std::vector<uint8_t> data_out{};
  uint32_t data_in_bytes = 0;  // Expected length of a command that reads.
  bool scattered = false;      // Never two neighbouring blocks: an iovec per block.
};

// What became of a command.
struct FakeResult {
  enum class How : uint8_t {
    kAnswered,  // The initiator gets status, sense and data.
    kAborted,   // Ended after an abort; the daemon's status was discarded.
    kExpired,   // The kernel's timer ended it; there will be no other result for it.
    kReset,     // Ended by reset_ring or refused by a blocked device, BUSY.
  };
  How how = How::kAnswered;
  uint16_t cmd_id = 0;  // 0: never was on the ring.
  uint8_t status = 0;
  std::array<uint8_t, 96> sense{};  // Only with CHECK CONDITION (02h).
  std::vector<uint8_t>
      data_in{};  // What was copied to the initiator, as many bytes as the kernel would.
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
  };
  static constexpr std::byte kStaleByte{0xa5};
  static constexpr std::byte kFreedByte{0xdd};
  static constexpr uint32_t kRingOffset = 128;

  FakeKernel() : FakeKernel(Options{}) {}
  explicit FakeKernel(const Options& options);

  // Mailbox, ring, data area; the buffer's address never changes.
  std::span<std::byte> map() { return {memory_.get(), bytes_}; }

  // --- the initiator ---

  // Submits a command; the tag names it from now on. It may wait for room, see cmd_id().
  uint64_t queue(FakeCommand command);
  // ABORT TASK: the command's result will be kAborted. A waiting one ends at once. Notifies with no
  // id if the command has ended or is unknown.
  void abort(uint64_t tag);
  // LUN RESET: aborts all that is outstanding and not aborted already, with one notification.
  void lun_reset();
  // A notification alone, with any ids.
  void notify(uint8_t type, std::vector<uint16_t> ids);
  // An entry of an op that this kernel doesn't have, `length` bytes (a multiple of 8). It must be
  // marked UNKNOWN_OP when the tail passes it. False: no room.
  bool queue_unknown(uint32_t op, uint32_t length);

  // The result, once; nothing if the command is still outstanding.
  std::optional<FakeResult> take_result(uint64_t tag);
  // All results that have not been taken, by tag.
  std::map<uint64_t, FakeResult> take_results() { return std::exchange(results_, {}); }

  // --- the kernel ---

  // What the write() to /dev/uioN does: takes completions up to the tail, then moves waiting TMRs
  // and commands to the ring.
  void doorbell();
  // cmd_time_out has passed: the initiator is answered, id and blocks stay.
  void expire(uint64_t tag);
  // block_dev. While blocked a new command ends BUSY at once, and one that waits for room ends too.
  void set_blocked(bool blocked);
  // Writes to the action files. False where the kernel says EINVAL.
  bool free_kept_buf(uint16_t cmd_id);
  // All that is outstanding ends, both ends of the ring go to 0, the ring isn't broken any more.
  void reset_ring();

  // --- looking inside ---

  std::optional<uint16_t> cmd_id(uint64_t tag) const;  // Nothing: ended, or waits for room.
  size_t on_ring() const;  // Commands that the daemon owes a completion.
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
  // What the daemon did wrong without breaking the ring. Looks at all freed memory now.
  std::vector<std::string> violations();

  // Plain access, to write what no kernel writes.
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
  std::unique_ptr<std::byte, FreeMemory> memory_;
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
