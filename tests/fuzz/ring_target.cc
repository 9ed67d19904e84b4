// SPDX-License-Identifier: Apache-2.0
// A hostile kernel: the mailbox, the entries and the data area change between any two calls. The
// first byte selects the Ring alone or a whole Device over it.
#include <cstring>
#include <memory>
#include <optional>

#include "common/check.h"
#include "tests/fuzz/input.h"
#include "tests/fuzz/lun_driver.h"
#include "tests/fuzz/targets.h"

namespace tcmurbd::fuzz {
namespace {

// As in the kernel's header, in literals: 128 bytes of mailbox, a ring of 1024, data up to 4096.
constexpr size_t kMapBytes = 4096;
constexpr size_t kRing = 128;
constexpr size_t kRingBytes = 1024;
constexpr size_t kData = kRing + kRingBytes;

class EnemyMemory {
 public:
  explicit EnemyMemory(uint16_t flags) {
    poke<uint16_t>(0, 2);
    poke<uint16_t>(2, flags | 1);
    poke<uint32_t>(4, kRing);
    poke<uint32_t>(8, kRingBytes);
  }

  std::span<std::byte> map() { return {bytes_.get(), kMapBytes}; }
  const std::byte* data() const { return bytes_.get() + kData; }
  const std::byte* end() const { return bytes_.get() + kMapBytes; }

  template <typename T>
  void poke(size_t at, T value) {
    if (at <= kMapBytes - sizeof(T)) std::memcpy(bytes_.get() + at, &value, sizeof(T));
  }
  template <typename T>
  T peek(size_t at) const {
    T value;
    std::memcpy(&value, bytes_.get() + at, sizeof(T));
    return value;
  }

  void change(Input& input) {
    switch (input.below(5)) {
      case 0: {
        size_t at = input.below(kMapBytes);
        for (const uint8_t byte : input.bytes(1 + input.below(32))) poke<uint8_t>(at++, byte);
        return;
      }
      case 1:
        return poke<uint32_t>(12, input.below(140) * 8 + input.below(2));
      case 2:
        return put_command(input);
      case 3:
        return put_tmr(input);
      case 4:
        return poke<uint64_t>(input.below(kMapBytes), input.number<uint64_t>());
      default:
        return;
    }
  }
  // Another process resets the ring, or maps it again.
  void reset() {
    poke<uint32_t>(12, 0);
    poke<uint32_t>(64, 0);
  }

 private:
  // Entries that are nearly right get furthest.
  void put_command(Input& input) {
    const uint32_t entry_bytes = 112 + 8 * input.below(20);
    const size_t at = begin(entry_bytes, 1);
    poke<uint16_t>(at + 4, input.byte());
    const uint32_t iovs = input.below(8);
    poke<uint32_t>(at + 8, iovs);
    poke<uint64_t>(at + 24, at + std::max(48 + 16 * iovs, 112u) - (input.below(16) == 0 ? 8 : 0));
    for (uint32_t i = 0; i < iovs; ++i) {
      poke<uint64_t>(at + 48 + 16 * i, kData + 512 * input.below(6));
      poke<uint64_t>(at + 56 + 16 * i, 512 * input.below(4) + (input.below(8) == 0));
    }
    const auto cdb = input.bytes(input.below(17));
    for (size_t i = 0; i < cdb.size(); ++i)
      poke<uint8_t>(at + std::max(48 + 16 * iovs, 112u) + i, cdb[i]);
  }
  void put_tmr(Input& input) {
    const uint32_t ids = input.below(16);
    const size_t at = begin(32 + (ids * 2 + 7) / 8 * 8, 2);
    poke<uint8_t>(at + 8, input.byte());
    poke<uint32_t>(at + 12, ids + (input.below(16) == 0));
    for (uint32_t i = 0; i < ids; ++i) poke<uint16_t>(at + 32 + 2 * i, input.byte());
  }
  size_t begin(uint32_t entry_bytes, uint32_t op) {
    uint32_t head = peek<uint32_t>(12) % kRingBytes / 8 * 8;
    if (head + entry_bytes > kRingBytes) {
      poke<uint32_t>(kRing + head, static_cast<uint32_t>(kRingBytes - head));
      head = 0;
    }
    poke<uint32_t>(kRing + head, entry_bytes | op);
    poke<uint32_t>(12, (head + entry_bytes) % kRingBytes);
    return kRing + head;
  }

  std::unique_ptr<std::byte[]> bytes_ = std::make_unique<std::byte[]>(kMapBytes);
};

void check_command(const EnemyMemory& memory, const ring::CommandEntry& command) {
  CHECK(command.cdb_length > 0 && command.cdb_length <= 260);
  uint64_t bytes = 0;
  for (const iovec& piece : command.iov) {
    const auto* base = static_cast<const std::byte*>(piece.iov_base);
    CHECK(base >= memory.data() && base <= memory.end());
    CHECK(piece.iov_len > 0 && piece.iov_len <= static_cast<size_t>(memory.end() - base));
    bytes += piece.iov_len;
  }
  CHECK(bytes == command.data_length && bytes <= kMapBytes - kData);
}

void check_tail(const EnemyMemory& memory, bool moved) {
  const auto tail = memory.peek<uint32_t>(64);
  if (moved) CHECK(tail < kRingBytes && tail % 8 == 0);
}

void fuzz_ring_alone(EnemyMemory& memory, Input& input) {
  auto ring = ring::Ring::attach(memory.map());
  ring::CommandEntry command;
  ring::TmrEntry tmr;
  std::vector<uint16_t> open;
  const std::vector<uint8_t> sense(96, 0x70);
  while (!input.empty()) {
    if (!ring) {
      memory.change(input);
      if (input.below(4) == 0) ring = ring::Ring::attach(memory.map());
      continue;
    }
    switch (input.below(8)) {
      case 0:
      case 1: {
        const ring::Next next = ring->next(command, tmr);
        if (next == ring::Next::kCommand) check_command(memory, command);
        if (next == ring::Next::kBadCommand) CHECK(command.iov.empty() && command.cdb_length == 0);
        if (next == ring::Next::kCommand || next == ring::Next::kBadCommand)
          open.push_back(command.cmd_id);
        CHECK((next == ring::Next::kBroken) == !ring->broken_reason().empty());
        break;
      }
      case 2:
        if (open.empty()) break;
        ring->complete({.cmd_id = open.back(),
                        .scsi_status = input.byte(),
                        .keep_buffer = input.flag() && ring->supports_keep_buffer(),
                        .read_length = input.byte(),
                        .sense = std::span(sense).first(input.below(97))});
        open.pop_back();
        break;
      case 3:
        check_tail(memory, ring->publish());
        break;
      case 4:
        CHECK(!ring->has_entries() || ring->broken_reason().empty());
        break;
      default:
        memory.change(input);
    }
    CHECK(ring->commands_open() == open.size());
  }
}

void fuzz_device(EnemyMemory& memory, Input& input) {
  auto ring = ring::Ring::attach(memory.map());
  CHECK(ring.has_value());  // Nothing was changed yet.
  std::optional<LunDriver> lun;
  lun.emplace(std::move(*ring), DeviceSettings{.reads_need_lock = input.flag()}, [&] {
    check_tail(memory, lun->device().publish());
    lun->freed();
  });
  while (!input.empty()) {
    input.flag() ? memory.change(input) : lun->event(input);
    if (lun->device().broken_reason().empty() || !lun->device().idle()) continue;
    memory.reset();
    auto again = ring::Ring::attach(memory.map());
    if (!again) break;
    lun->device().restart(std::move(*again));
  }
  lun->settle();
}

}  // namespace

void ring(Bytes bytes) {
  Input input(bytes);
  const uint8_t kind = input.byte();
  EnemyMemory memory(kind >> 4);
  (kind & 1) == 0 ? fuzz_ring_alone(memory, input) : fuzz_device(memory, input);
}

}  // namespace tcmurbd::fuzz
