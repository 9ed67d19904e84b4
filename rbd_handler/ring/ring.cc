// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/ring/ring.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "common/check.h"
#include "rbd_handler/ring/decode.h"
#include "rbd_handler/ring/layout.h"

namespace tcmurbd::ring {
namespace {

std::unexpected<std::string> refuse(std::string reason) {
  return std::unexpected(std::move(reason));
}

}  // namespace

struct Ring::Entry {
  EntryPlace place;
  uint32_t op = 0;
  uint16_t cmd_id = 0;
};

std::expected<Ring, std::string> Ring::attach(std::span<std::byte> map) {
  if (map.size() < sizeof(Mailbox)) {
    return refuse(fmt::format("a map of {} bytes is too small for the mailbox", map.size()));
  }
  Ring ring;
  ring.memory_ = SharedMemory(map);
  const auto version = ring.memory_.load<uint16_t>(offsetof(Mailbox, version));
  if (version != kMailboxVersion) {
    return refuse(
        fmt::format("mailbox version {} is not supported, only {}", version, kMailboxVersion));
  }
  ring.flags_ = ring.memory_.load<uint16_t>(offsetof(Mailbox, flags));
  if ((ring.flags_ & kCapOutOfOrder) == 0) {
    return refuse("the kernel does not accept out-of-order completions (mailbox flag 1)");
  }
  ring.ring_offset_ = ring.memory_.load<uint32_t>(offsetof(Mailbox, ring_offset));
  ring.ring_bytes_ = ring.memory_.load<uint32_t>(offsetof(Mailbox, ring_bytes));
  if (ring.ring_offset_ < sizeof(Mailbox) || ring.ring_offset_ % kEntryAlignment != 0 ||
      ring.ring_bytes_ == 0 || ring.ring_bytes_ % kEntryAlignment != 0 ||
      uint64_t{ring.ring_offset_} + ring.ring_bytes_ > map.size()) {
    return refuse(fmt::format("the ring, {} bytes at {}, does not fit into the map of {} bytes",
                              ring.ring_bytes_, ring.ring_offset_, map.size()));
  }
  const auto tail = ring.memory_.load<uint32_t>(offsetof(Mailbox, tail));
  if (tail >= ring.ring_bytes_ || tail % kEntryAlignment != 0) {
    return refuse(fmt::format("tail {} outside of the ring of {} bytes", tail, ring.ring_bytes_));
  }
  ring.parsed_ = ring.published_ = tail;
  // No command's slot is smaller, and all slots are between tail and head: push_back never
  // overwrites.
  ring.slots_.set_capacity(ring.ring_bytes_ / kCommandEntryBytesMin);
  return ring;
}

uint32_t Ring::used_up_to(uint32_t position) const {
  return position >= published_ ? position - published_ : ring_bytes_ - published_ + position;
}

std::expected<uint32_t, std::string> Ring::read_head() const {
  const auto head = memory_.load_acquire<uint32_t>(offsetof(Mailbox, head));
  if (head >= ring_bytes_ || head % kEntryAlignment != 0) {
    return refuse(fmt::format("head {} outside of the ring of {} bytes", head, ring_bytes_));
  }
  // A reset by another process sets head and tail to 0. The entries after parsed_ are then old
  // ones, which must not be executed again.
  const auto tail = memory_.load<uint32_t>(offsetof(Mailbox, tail));
  if (tail != published_) {
    return refuse(
        fmt::format("tail is {} and was left at {}: the ring was reset", tail, published_));
  }
  const uint32_t used = used_up_to(head);
  const uint32_t read = used_up_to(parsed_);
  if (used < read) {
    return refuse(
        fmt::format("head {} went back behind {}, tail is {}", head, parsed_, published_));
  }
  return used - read;
}

std::expected<Ring::Entry, std::string> Ring::read_header(uint32_t unread) const {
  Entry entry;
  entry.place.offset = uint64_t{ring_offset_} + parsed_;
  const auto length_op =
      memory_.load<uint32_t>(entry.place.offset + offsetof(EntryHeader, length_op));
  entry.place.length = length_op & ~kOpMask;
  entry.op = length_op & kOpMask;
  const uint32_t room = std::min(unread, ring_bytes_ - parsed_);
  if (entry.place.length == 0 || entry.place.length > room) {
    return refuse(
        fmt::format("the entry at {} claims {} bytes of {}", parsed_, entry.place.length, room));
  }
  if (entry.op == kOpCommand && entry.place.length < kCommandEntryBytesMin) {
    // Its slot is too small for a response without overwriting the next entry.
    return refuse(fmt::format("the command at {} has {} bytes", parsed_, entry.place.length));
  }
  entry.cmd_id = memory_.load<uint16_t>(entry.place.offset + offsetof(EntryHeader, cmd_id));
  return entry;
}

Next Ring::take_command(const Entry& entry, CommandEntry& command) {
  slots_.push_back(static_cast<uint32_t>(entry.place.offset - ring_offset_));
  command.cmd_id = entry.cmd_id;
  const bool good =
      decode_command(memory_, entry.place, uint64_t{ring_offset_} + ring_bytes_, command);
  return good ? Next::kCommand : Next::kBadCommand;
}

Next Ring::broken(std::string reason) {
  if (broken_reason_.empty()) broken_reason_ = std::move(reason);
  return Next::kBroken;
}

Next Ring::next(CommandEntry& command, TmrEntry& tmr) {
  if (!broken_reason_.empty()) return Next::kBroken;
  const auto unread_bytes = read_head();
  if (!unread_bytes) return broken(unread_bytes.error());
  for (uint32_t unread = *unread_bytes; unread > 0;) {
    const auto entry = read_header(unread);
    if (!entry) return broken(entry.error());
    if (entry->op == kOpTmr) {
      if (auto decoded = decode_tmr(memory_, entry->place, tmr); !decoded) {
        return broken(fmt::format("at {}: {}", parsed_, decoded.error()));
      }
    } else if (entry->op != kOpCommand && entry->op != kOpPad) {
      memory_.store<uint8_t>(entry->place.offset + offsetof(EntryHeader, uflags), kFlagUnknownOp);
    }
    parsed_ = (parsed_ + entry->place.length) % ring_bytes_;
    unread -= entry->place.length;
    if (entry->op == kOpCommand) return take_command(*entry, command);
    if (entry->op == kOpTmr) return Next::kTmr;
  }
  return Next::kNone;
}

void Ring::complete(const Response& response) {
  CHECK(!slots_.empty());
  CHECK(response.sense.size() <= kSenseBufferBytes);
  CHECK(!response.keep_buffer || supports_keep_buffer());
  const uint64_t slot = uint64_t{ring_offset_} + slots_.front();
  slots_.pop_front();

  CommandResponse answer{};
  uint8_t uflags = 0;
  if (response.read_length != 0 && supports_read_length()) {
    uflags |= kFlagReadLength;
    answer.read_length = response.read_length;
  }
  if (response.keep_buffer) uflags |= kFlagKeepBuffer;
  answer.scsi_status = response.scsi_status;
  std::ranges::copy(response.sense, answer.sense);

  // Keep the length: the kernel needs it to find the next slot. The rest of the slot is the
  // response.
  memory_.store<uint16_t>(slot + offsetof(EntryHeader, cmd_id), response.cmd_id);
  memory_.store<uint8_t>(slot + offsetof(EntryHeader, uflags), uflags);
  constexpr size_t kBody = offsetof(CommandResponse, scsi_status);
  constexpr size_t kBodyBytes = sizeof(CommandResponse) - kBody;
  std::memcpy(memory_.pointer(slot + kBody, kBodyBytes),
              reinterpret_cast<const std::byte*>(&answer) + kBody, kBodyBytes);
}

bool Ring::publish() {
  if (!broken_reason_.empty()) return false;
  const uint32_t tail = slots_.empty() ? parsed_ : slots_.front();
  if (tail == published_) return false;
  if (const auto unread = read_head(); !unread) {
    broken(unread.error());
    return false;
  }
  published_ = tail;
  memory_.store_release<uint32_t>(offsetof(Mailbox, tail), tail);
  return true;
}

std::expected<void, std::string> Ring::look() const {
  if (!broken_reason_.empty()) return refuse(broken_reason_);
  if (auto unread = read_head(); !unread) return std::unexpected(std::move(unread.error()));
  return {};
}

Usage Ring::usage() const {
  Usage usage{.ring_bytes = ring_bytes_, .data_bytes = memory_.size() - ring_offset_ - ring_bytes_};
  if (const auto unread = read_head()) usage.used = used_up_to(parsed_) + *unread;
  return usage;
}

bool Ring::has_entries() const {
  return broken_reason_.empty() &&
         memory_.load_acquire<uint32_t>(offsetof(Mailbox, head)) != parsed_;
}

}  // namespace tcmurbd::ring
