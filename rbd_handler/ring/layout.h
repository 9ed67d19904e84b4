// SPDX-License-Identifier: Apache-2.0
// The shared memory's layout, as linux/include/uapi/linux/target_core_user.h defines it, in
// separate types: the structs of that header are packed (references to their members are not
// allowed), and only the kernel edge may include it. kernel/layout_check.cc compares the two.
// Native byte order. Offsets of data and CDBs count from the mailbox, the start of the map; head
// and tail count from the start of the ring.
#pragma once

#include <cstddef>
#include <cstdint>

namespace tcmurbd::ring {

inline constexpr uint16_t kMailboxVersion = 2;

// Mailbox.flags
inline constexpr uint32_t kCapOutOfOrder = 0x1;
inline constexpr uint32_t kCapReadLength = 0x2;
inline constexpr uint32_t kCapTmr = 0x4;
inline constexpr uint32_t kCapKeepBuffer = 0x8;

struct Mailbox {
  uint16_t version;
  uint16_t flags;
  uint32_t ring_offset;
  uint32_t ring_bytes;
  uint32_t head;              // Written by the kernel.
  alignas(64) uint32_t tail;  // Written by the daemon.
};
static_assert(sizeof(Mailbox) == 128 && offsetof(Mailbox, head) == 12 &&
              offsetof(Mailbox, tail) == 64);

// Offset and length of every entry are multiples of 8; the low bits of the length hold the op.
inline constexpr uint32_t kEntryAlignment = 8;
inline constexpr uint32_t kOpMask = 0x7;
inline constexpr uint32_t kOpPad = 0;
inline constexpr uint32_t kOpCommand = 1;
inline constexpr uint32_t kOpTmr = 2;

// EntryHeader.uflags
inline constexpr uint8_t kFlagUnknownOp = 0x1;
inline constexpr uint8_t kFlagReadLength = 0x2;
inline constexpr uint8_t kFlagKeepBuffer = 0x4;

struct EntryHeader {
  uint32_t length_op;
  uint16_t cmd_id;
  uint8_t kflags;
  uint8_t uflags;
};
static_assert(sizeof(EntryHeader) == 8);

// A command. The iovecs follow (for a bidirectional command, those for data-in last), then the CDB.
struct CommandRequest {
  EntryHeader header;
  uint32_t iov_count;
  uint32_t iov_bidi_count;
  uint32_t iov_dif_count;
  uint64_t cdb_offset;
  uint64_t pad[2];
};
static_assert(sizeof(CommandRequest) == 48 && offsetof(CommandRequest, cdb_offset) == 24);

struct IoVector {
  uint64_t offset;  // From the mailbox, although the kernel declares it as a pointer.
  uint64_t length;
};
static_assert(sizeof(IoVector) == 16);

inline constexpr size_t kSenseBufferBytes = 96;

// The response; overlays the request.
struct CommandResponse {
  EntryHeader header;
  uint8_t scsi_status;
  uint8_t pad1;
  uint16_t pad2;
  uint32_t read_length;
  uint8_t sense[kSenseBufferBytes];
};
static_assert(sizeof(CommandResponse) == 112 && offsetof(CommandResponse, read_length) == 12 &&
              offsetof(CommandResponse, sense) == 16);

// The kernel makes every command's entry large enough for its response.
inline constexpr uint32_t kCommandEntryBytesMin = sizeof(CommandResponse);

// A task management notification. The ids (16 bits each) follow.
struct TmrHeader {
  EntryHeader header;
  uint8_t type;
  uint8_t pad1;
  uint16_t pad2;
  uint32_t cmd_count;
  uint64_t pad[2];
};
static_assert(sizeof(TmrHeader) == 32 && offsetof(TmrHeader, cmd_count) == 12);

}  // namespace tcmurbd::ring
