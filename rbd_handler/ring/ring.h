// SPDX-License-Identifier: Apache-2.0
// The TCMU ring as bytes (linux/drivers/target/target_core_user.c): decodes what the kernel queued,
// writes completions. Everything in the mapping is input: lengths, offsets and ids are checked here
// and never read twice. Pure: no system call; whoever owns the mapping sends the doorbell.
//
// Thread: the reactor that owns the LUN. Only one Ring may exist for a mapping (it owns cmd_tail).
#pragma once

#include <array>
#include <boost/circular_buffer.hpp>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <span>
#include <string>
#include <vector>

#include "common/iov.h"
#include "rbd_handler/ring/shared_memory.h"

namespace tcmurbd::ring {

// The longest CDB: a variable-length one (7Fh) with 8 + 252 bytes.
inline constexpr size_t kCdbBytesMax = 260;

// One command, copied out of the ring: a completion may overwrite its slot with another command's
// response at any time after.
struct CommandEntry {
  uint16_t cmd_id = 0;
  uint16_t cdb_length = 0;
  std::array<uint8_t, kCdbBytesMax> cdb{};
  // Points into the data area; valid until the command is completed on the ring (without KEEP_BUF).
  // Capacity is kept across uses, so the steady state allocates nothing.
  std::vector<iovec> iov;
  uint64_t data_length = 0;  // Sum of iov: the fabric's expected data transfer length.

  std::span<const uint8_t> cdb_bytes() const { return {cdb.data(), cdb_length}; }
};

// One task management notification. Types: 1 ABORT TASK, 5 LUN RESET, 128 LUN RESET by PREEMPT AND
// ABORT.
struct TmrEntry {
  uint8_t type = 0;
  std::vector<uint16_t> cmd_ids;  // May be empty, may name ids that are completed already.
};

enum class Next : uint8_t {
  kNone,        // Nothing more to read for now.
  kCommand,     // `command` is filled in.
  kBadCommand,  // `command.cmd_id` is right, but CDB or iovecs lie outside of the entry or the map,
                // or there are iovecs for data-in beside data-out (bidirectional) or for protection
                // information, which nothing here serves; complete it with an error. CDB and iov
                // are empty.
  kTmr,         // `tmr` is filled in.
  kBroken,  // The ring cannot be followed any more; broken_reason() says why. Sticky: only a reset
            // of the ring and a new Ring help.
};

// A completion. Exactly one per command that next() returned, in any order.
struct Response {
  uint16_t cmd_id = 0;
  uint8_t scsi_status = 0;
  bool keep_buffer = false;  // TCMU_UFLAG_KEEP_BUF: needs supports_keep_buffer().
  uint32_t read_length = 0;  // Data-In bytes that are valid; 0 = all (the kernel's own rule).
  std::span<const uint8_t>
      sense{};  // At most 96 bytes; the rest is zeroed. Only with CHECK CONDITION (02h).
};

class Ring {
 public:
  // `map` is the whole UIO mapping and must outlive the Ring. Refuses a mailbox of another version
  // or with offsets outside of the map, and one without out-of-order completion, and says which.
  // REQUIRES: freshly mapped, the ring empty or reset (tcmu-abi: slots of a predecessor must not be
  // re-run).
  static std::expected<Ring, std::string> attach(std::span<std::byte> map);

  // Reads the next entry, strictly in ring order; PAD and unknown entries are skipped (the latter
  // marked UNKNOWN_OP, as the protocol asks). One call looks at the head once, so its work is
  // bounded.
  Next next(CommandEntry& command, TmrEntry& tmr);

  // Writes a completion into the oldest free slot. Not seen by the kernel before publish(), and
  // never if the ring breaks before.
  // REQUIRES: a command that next() returned and that is not completed yet; sense and keep_buffer
  // as above.
  void complete(const Response& response);

  // Moves cmd_tail over all that is completed, PAD and TMR entries included. True if it moved: the
  // owner then sends one doorbell for the whole batch. On a broken ring it does nothing, and one
  // that somebody else has reset is broken by it: the kernel would look for the tail among new
  // entries, for ever.
  bool publish();

  // Whether the ring is still the one that was attached, or why not: somebody else may have reset
  // it. With the tail at 0 that can't be seen once the new head is beyond what was read.
  std::expected<void, std::string> look() const;

  // Entries in the ring that next() has not returned yet (a cheap look at cmd_head, for polling).
  // False once next() has said kBroken.
  bool has_entries() const;

  const std::string& broken_reason() const { return broken_reason_; }
  // Commands read and not completed.
  size_t commands_open() const { return slots_.size(); }

  bool supports_read_length() const { return (flags_ & 0x2) != 0; }
  bool supports_tmr() const { return (flags_ & 0x4) != 0; }
  bool supports_keep_buffer() const { return (flags_ & 0x8) != 0; }

 private:
  Ring() = default;

  // From the tail up to `position`, in bytes: what of the ring is in use up to there.
  uint32_t used_up_to(uint32_t position) const;
  // Looks at both ends of the ring: the bytes that next() may read, or why they can't be.
  std::expected<uint32_t, std::string> read_head() const;
  // The entry at parsed_, `unread` bytes before the head: header checked, not yet stepped over.
  struct Entry;
  std::expected<Entry, std::string> read_header(uint32_t unread) const;
  Next take_command(const Entry& entry, CommandEntry& command);
  Next broken(std::string reason);

  SharedMemory memory_;
  uint32_t flags_ = 0;
  uint32_t ring_offset_ = 0;  // From the start of the map.
  uint32_t ring_bytes_ = 0;   // Head, tail and slots count modulo this.
  uint32_t parsed_ = 0;       // Where next() reads.
  uint32_t published_ = 0;    // cmd_tail as last stored.
  // Slots of commands that were read and whose slot is not used for a completion yet, oldest first.
  // A completion takes the front one, whatever command was there. TMR and PAD slots are not in
  // here: the tail passes them once the command slots before them are used up.
  boost::circular_buffer<uint32_t> slots_;
  std::string broken_reason_;
};

}  // namespace tcmurbd::ring
