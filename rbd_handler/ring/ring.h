// SPDX-License-Identifier: Apache-2.0
// The TCMU ring (linux/drivers/target/target_core_user.c): decodes the entries that the kernel
// queued and writes completions. The mapping is untrusted input: lengths, offsets and ids are
// checked here and never read twice. Pure: no system calls; the owner of the mapping sends the
// doorbell.
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
#include "rbd_handler/ring/layout.h"
#include "rbd_handler/ring/shared_memory.h"

namespace tcmurbd::ring {

// The longest CDB: a variable-length one (7Fh) with 8 + 252 bytes.
inline constexpr size_t kCdbBytesMax = 260;

// One command, copied out of the ring: a later completion may overwrite its slot with another
// command's response.
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
  std::vector<uint16_t> cmd_ids;  // May be empty; may contain ids that are completed already.
};

enum class Next : uint8_t {
  kNone,        // Nothing more to read for now.
  kCommand,     // `command` is filled in.
  kBadCommand,  // `command.cmd_id` is valid, but CDB or iovecs are outside of the entry or the map,
                // or the command is bidirectional or has protection information, which is not
                // supported. Complete it with an error. CDB and iov are empty.
  kTmr,         // `tmr` is filled in.
  kBroken,  // The ring is corrupt or was reset; see broken_reason(). Permanent: needs a reset of
            // the ring and a new Ring.
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

// How much of the mapping is in use, in bytes.
struct Usage {
  uint32_t used = 0;  // Of the ring: entries that are not completed, and those behind them.
  uint32_t ring_bytes = 0;
  uint64_t data_bytes = 0;  // Of the data area, which the kernel gives out.
};

class Ring {
 public:
  // `map` is the whole UIO mapping and must outlive the Ring. Fails for a mailbox of another
  // version, with offsets outside of the map, or without out-of-order completion. REQUIRES: freshly
  // mapped, the ring empty or reset (slots of a predecessor must not be executed again).
  static std::expected<Ring, std::string> attach(std::span<std::byte> map);

  // Reads the next entry, strictly in ring order; PAD and unknown entries are skipped (unknown ones
  // are marked UNKNOWN_OP, as the protocol requires). Each call reads the head once, so its work is
  // bounded.
  Next next(CommandEntry& command, TmrEntry& tmr);

  // Writes a completion into the oldest free slot. The kernel sees it after publish(), or never if
  // the ring breaks before.
  // REQUIRES: a command that next() returned and that is not completed yet;
  // sense and keep_buffer as above.
  void complete(const Response& response);

  // Moves cmd_tail past all completed entries, including PAD and TMR entries. True if it moved: the
  // owner then sends one doorbell for the whole batch. Does nothing on a broken ring. If another
  // process has reset the ring, the ring becomes broken: with the old tail, the kernel would search
  // for it among new entries forever.
  bool publish();

  // Checks that no other process has reset the ring. After a reset, the kernel has ended all its
  // commands: waiting ones are dropped, changes in flight keep their ranges locked, and the ring is
  // attached again when no read can write to its data area any more. With the tail at 0, a reset
  // cannot be detected once the new head is beyond the position already read.
  std::expected<void, std::string> look() const;

  // Whether the ring has entries that next() has not returned yet (cheap: reads cmd_head, for
  // polling). False once next() has returned kBroken.
  bool has_entries() const;

  // Of a broken ring: nothing is in use.
  Usage usage() const;

  const std::string& broken_reason() const { return broken_reason_; }
  // Commands read and not completed.
  size_t commands_open() const { return slots_.size(); }

  // Capabilities of the kernel, from the mailbox.
  bool supports_read_length() const { return (flags_ & kCapReadLength) != 0; }
  bool supports_tmr() const { return (flags_ & kCapTmr) != 0; }
  bool supports_keep_buffer() const { return (flags_ & kCapKeepBuffer) != 0; }

 private:
  Ring() = default;

  // The used bytes between the tail and `position`.
  uint32_t used_up_to(uint32_t position) const;
  // Checks head and tail; returns the number of bytes that next() may read, or an error.
  std::expected<uint32_t, std::string> read_head() const;
  // The entry at parsed_, `unread` bytes before the head: its header is checked, parsed_ is not
  // advanced.
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
  // Slots of commands that were read and are not used for a completion yet, oldest first. A
  // completion takes the first one, whichever command it held. TMR and PAD slots are not listed:
  // the tail passes them once all command slots before them are used.
  boost::circular_buffer<uint32_t> slots_;
  std::string broken_reason_;
};

}  // namespace tcmurbd::ring
