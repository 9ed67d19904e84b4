// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/native/ring.h"

#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <stdexcept>
#include <system_error>

namespace tcmurbd::bench {
namespace {

// linux/target_core_user.h.
constexpr uint32_t kOpMask = 7;
constexpr uint32_t kOpPad = 0;
constexpr uint32_t kOpCommand = 1;
constexpr uint32_t kOpTmr = 2;
constexpr uint8_t kFlagReadLength = 2;
constexpr uint8_t kFlagKeepBuffer = 4;
constexpr uint16_t kCapabilities = 0xf;  // OOOC, READ_LEN, TMR, KEEP_BUF.
constexpr size_t kVersionAt = 0;
constexpr size_t kFlagsAt = 2;
constexpr size_t kRingOffsetAt = 4;
constexpr size_t kRingSizeAt = 8;
constexpr size_t kHeadAt = 12;
constexpr size_t kTailAt = 64;
// In an entry.
constexpr size_t kIdAt = 4;
constexpr size_t kUserFlagsAt = 7;
constexpr size_t kIovecCountAt = 8;
constexpr size_t kStatusAt = 8;
constexpr size_t kReadLengthAt = 12;
constexpr size_t kCdbOffsetAt = 24;
constexpr size_t kIovecsAt = 48;
constexpr uint32_t kEntryMin = 112;
// In the entry of a task management, before its command ids.
constexpr size_t kTmrTypeAt = 8;
constexpr size_t kTmrCountAt = 12;
constexpr size_t kTmrIdsAt = 32;
constexpr uint8_t kAbortTask = 1;
constexpr uint8_t kBusy = 0x08;
constexpr uint32_t kIds = 1U << 16U;

template <typename T>
T load(const uint8_t* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}
template <typename T>
void store(uint8_t* to, T value) {
  std::memcpy(to, &value, sizeof value);
}
std::atomic_ref<uint32_t> shared(uint8_t* map, size_t offset) {
  return std::atomic_ref<uint32_t>(*reinterpret_cast<uint32_t*>(map + offset));
}
[[noreturn]] void fail(const char* what) {
  throw std::system_error(errno, std::generic_category(), what);
}

}  // namespace

uint64_t now_ns() {
  return static_cast<uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
}

KernelRing::KernelRing(bool populated)
    : memory_(memfd_create("tcmu", MFD_CLOEXEC)),
      used_blocks_(kBlocks / 64),
      used_ids_(kIds / 64),
      open_(kIds) {
  if (!memory_.valid() || ftruncate(memory_.get(), kMapBytes) != 0) fail("memfd");
  const int flags = MAP_SHARED | (populated ? MAP_POPULATE : 0);
  void* const map = mmap(nullptr, kMapBytes, PROT_READ | PROT_WRITE, flags, memory_.get(), 0);
  if (map == MAP_FAILED) fail("mmap");
  map_ = static_cast<uint8_t*>(map);
  store<uint16_t>(at(kVersionAt), 2);
  store<uint16_t>(at(kFlagsAt), kCapabilities);
  store<uint32_t>(at(kRingOffsetAt), kMailboxBytes);
  store<uint32_t>(at(kRingSizeAt), kRingEnd);
  used_ids_[0] = 1;  // Ids begin with 1.
  std::array<int, 2> ends{};
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) fail("socketpair");
  kernel_end_ = UniqueFd(ends[0]);
  daemon_end_ = UniqueFd(ends[1]);
  const timeval patience{.tv_sec = 0, .tv_usec = 100000};
  setsockopt(kernel_end_.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
}

bool KernelRing::take_lowest(std::vector<uint64_t>& bitmap, uint32_t size, uint32_t& index) {
  const auto word = std::ranges::find_if(bitmap, [](uint64_t bits) { return ~bits != 0; });
  if (word == bitmap.end()) return false;
  const auto bit = static_cast<uint32_t>(std::countr_one(*word));
  index = static_cast<uint32_t>(word - bitmap.begin()) * 64 + bit;
  *word |= uint64_t{1} << bit;
  return index < size;
}

void KernelRing::give_back(std::vector<uint64_t>& bitmap, uint32_t index) {
  bitmap[index / 64] &= ~(uint64_t{1} << (index % 64));
}

uint32_t KernelRing::head() const { return shared(map_, kHeadAt).load(); }
uint32_t KernelRing::tail() const { return shared(map_, kTailAt).load(std::memory_order_acquire); }
void KernelRing::set_head(uint32_t position) {
  shared(map_, kHeadAt).store(position, std::memory_order_release);
}

bool KernelRing::has_room(uint32_t bytes) const {
  const uint32_t used = (head() + kRingEnd - cleaned_) % kRingEnd;
  const uint32_t to_end = kRingEnd - head();
  return kRingEnd - used - 1 >= (to_end >= bytes ? bytes : bytes + to_end);
}

uint32_t KernelRing::place(uint32_t bytes) {
  const uint32_t position = head();
  const uint32_t to_end = kRingEnd - position;
  if (to_end >= bytes) return position;
  store<uint32_t>(entry(position), to_end | kOpPad);
  store<uint32_t>(entry(position) + kIdAt, 0);
  set_head(0);
  return 0;
}

bool KernelRing::take_blocks(Open& open, size_t bytes) {
  const auto blocks = static_cast<uint32_t>((bytes + kBlockBytes - 1) / kBlockBytes);
  if (blocks > free_blocks_) return false;
  free_blocks_ -= blocks;
  open.blocks.resize(blocks);
  for (uint32_t& block : open.blocks) take_lowest(used_blocks_, kBlocks, block);
  return true;
}

uint32_t KernelRing::write_data(const Command& command, const Open& open, uint8_t* iovecs) {
  uint32_t count = 0;
  size_t done = 0;
  for (size_t i = 0; i < open.blocks.size(); ++i) {
    const size_t part = std::min<size_t>(command.data.size() - done, kBlockBytes);
    const uint64_t offset = kRingBytes + uint64_t{open.blocks[i]} * kBlockBytes;
    if (command.direction == Direction::kToDevice)
      std::memcpy(at(offset), command.data.data() + done, part);
    const bool adjacent = i != 0 && open.blocks[i] == open.blocks[i - 1] + 1;
    if (!adjacent) {
      store<uint64_t>(iovecs + 16 * size_t{count}, offset);
      store<uint64_t>(iovecs + 16 * size_t{count} + 8, 0);
      ++count;
    }
    uint8_t* const length = iovecs + 16 * (size_t{count} - 1) + 8;
    store<uint64_t>(length, load<uint64_t>(length) + part);
    done += part;
  }
  return count;
}

bool KernelRing::queue(Command& command) {
  uint32_t id = 0;
  if (blocked_ || !take_lowest(used_ids_, kIds, id)) return false;
  Open& open = open_[id];
  if (!take_blocks(open, command.data.size())) {
    give_back(used_ids_, id);
    return false;
  }
  const auto iovecs_max = static_cast<uint32_t>(open.blocks.size());
  const uint32_t base =
      std::max<uint32_t>(static_cast<uint32_t>(kIovecsAt) + 16 * iovecs_max, kEntryMin);
  const uint32_t bytes = base + ((static_cast<uint32_t>(command.cdb.size()) + 7U) & ~7U);
  if (!has_room(bytes)) {
    release(id);
    return false;
  }
  const uint32_t position = place(bytes);
  uint8_t* const to = entry(position);
  std::memset(to, 0, bytes);
  store<uint32_t>(to + kIovecCountAt, write_data(command, open, to + kIovecsAt));
  store<uint16_t>(to + kIdAt, static_cast<uint16_t>(id));
  store<uint64_t>(to + kCdbOffsetAt, uint64_t{kMailboxBytes} + position + base);
  std::ranges::copy(command.cdb, to + base);
  store<uint32_t>(to, bytes | kOpCommand);
  open.command = &command;
  open.kept = false;
  ++in_flight_;
  command.id = static_cast<uint16_t>(id);
  command.queued_ns = now_ns();
  set_head((position + bytes) % kRingEnd);
  return true;
}

bool KernelRing::queue_abort(const Command& command) {
  constexpr uint32_t kBytes = (kTmrIdsAt + sizeof command.id + 7U) & ~size_t{7};
  if (blocked_ || !has_room(kBytes)) return false;
  const uint32_t position = place(kBytes);
  uint8_t* const to = entry(position);
  std::memset(to, 0, kBytes);
  to[kTmrTypeAt] = kAbortTask;
  store<uint32_t>(to + kTmrCountAt, 1);
  store<uint16_t>(to + kTmrIdsAt, command.id);
  store<uint32_t>(to, kBytes | kOpTmr);
  set_head((position + kBytes) % kRingEnd);
  return true;
}

void KernelRing::notify() {
  ++events_;
  int unread = 0;
  if (ioctl(kernel_end_.get(), SIOCOUTQ, &unread) == 0 && unread > 0) return;
  send(kernel_end_.get(), &events_, sizeof events_, MSG_DONTWAIT | MSG_NOSIGNAL);
}

bool KernelRing::wait_for_doorbell() {
  std::array<int32_t, 1024> rings{};
  const ssize_t got = recv(kernel_end_.get(), rings.data(), sizeof rings, 0);
  if (got > 0) doorbells_ += static_cast<uint64_t>(got) / sizeof(int32_t);
  return got != 0;
}

void KernelRing::take_completions() {
  for (uint32_t stop = tail(); cleaned_ != stop; stop = tail()) {
    uint8_t* const slot = entry(cleaned_);
    const auto length_op = load<uint32_t>(slot);
    const uint32_t length = length_op & ~kOpMask;
    if (stop >= kRingEnd || stop % 8 != 0 || length == 0)
      throw std::runtime_error("the daemon broke the ring: cmd_tail is not where an entry begins");
    if ((length_op & kOpMask) == kOpCommand) end(slot);
    cleaned_ = (cleaned_ + length) % kRingEnd;
  }
}

void KernelRing::end(uint8_t* entry) {
  const auto id = load<uint16_t>(entry + kIdAt);
  Open& open = open_[id];
  if (open.command == nullptr)
    throw std::runtime_error("the daemon broke the ring: it completed an unknown cmd_id");
  Command& command = *open.command;
  const uint8_t flags = entry[kUserFlagsAt];
  command.status = entry[kStatusAt];
  if (command.direction == Direction::kFromDevice && command.status == 0) {
    const auto given = load<uint32_t>(entry + kReadLengthAt);
    const bool partial = (flags & kFlagReadLength) != 0 && given != 0;
    size_t left = partial ? std::min<size_t>(given, command.data.size()) : command.data.size();
    uint8_t* to = command.data.data();
    for (const uint32_t block : open.blocks) {
      const size_t part = std::min<size_t>(left, kBlockBytes);
      std::memcpy(to, at(kRingBytes + uint64_t{block} * kBlockBytes), part);
      to += part;
      left -= part;
    }
  }
  command.ended_ns = now_ns();
  command.id = 0;
  --in_flight_;
  open.command = nullptr;
  open.kept = (flags & kFlagKeepBuffer) != 0;
  if (!open.kept) release(id);
  on_end(command);
}

void KernelRing::release(uint32_t id) {
  Open& open = open_[id];
  for (const uint32_t block : open.blocks) give_back(used_blocks_, block);
  free_blocks_ += static_cast<uint32_t>(open.blocks.size());
  open.blocks.clear();
  open.command = nullptr;
  open.kept = false;
  give_back(used_ids_, id);
}

void KernelRing::free_kept(uint32_t id) {
  if (id < kIds && open_[id].kept) release(id);
}

void KernelRing::reset() {
  for (uint32_t id = 1; id < kIds; ++id) {
    Command* const command = open_[id].command;
    if (command == nullptr && !open_[id].kept) continue;
    release(id);
    if (command == nullptr) continue;
    --in_flight_;
    command->id = 0;
    command->status = kBusy;
    command->ended_ns = now_ns();
    on_end(*command);
  }
  cleaned_ = 0;
  shared(map_, kTailAt).store(0, std::memory_order_release);
  set_head(0);
}

}  // namespace tcmurbd::bench
