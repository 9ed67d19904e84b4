// SPDX-License-Identifier: Apache-2.0
// Offsets and flags are written as literals here, from the kernel's header: taken from
// ring/layout.h they would agree with a mistake there.
#include "tests/support/fake_kernel.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>

#include "common/check.h"

namespace tcmurbd::testing {
namespace {

constexpr uint64_t kHead = 12;  // In the mailbox.
constexpr uint64_t kTail = 64;
constexpr uint32_t kOpPad = 0;
constexpr uint32_t kOpCommand = 1;
constexpr uint32_t kOpTmr = 2;
constexpr uint8_t kUnknownOp = 0x1;
constexpr uint8_t kReadLength = 0x2;
constexpr uint8_t kKeepBuffer = 0x4;
constexpr uint8_t kCheckCondition = 0x02;
constexpr uint8_t kBusy = 0x08;

uint32_t round_up(uint64_t value, uint32_t unit) {
  return static_cast<uint32_t>((value + unit - 1) / unit * unit);
}

}  // namespace

void FakeKernel::FreeMemory::operator()(std::byte* memory) const {
  if (mapped == 0)
    std::free(memory);
  else
    ::munmap(memory, mapped);
}

FakeKernel::FakeKernel(const Options& options)
    : options_(options), block_used_(options.blocks, false) {
  CHECK(options.ring_bytes % 8 == 0 && options.block_bytes % 8 == 0);
  bytes_ = data_offset() + uint64_t{options.blocks} * options.block_bytes;
  if (options.shared) {
    file_ = UniqueFd(::memfd_create("fake_kernel", MFD_CLOEXEC));
    CHECK(::ftruncate(file_.get(), static_cast<off_t>(bytes_)) == 0);
    memory_ = std::unique_ptr<std::byte, FreeMemory>(map_again().data(), FreeMemory{bytes_});
  } else {
    // At the end of an allocation of just this size ASan finds what reads beyond the map.
    memory_.reset(static_cast<std::byte*>(std::malloc(bytes_)));
    CHECK(memory_ != nullptr);
  }
  std::memset(memory_.get(), 0, data_offset());
  std::memset(memory_.get() + data_offset(), static_cast<int>(kFreedByte), bytes_ - data_offset());
  poke<uint16_t>(0, 2);
  poke<uint16_t>(2, options.flags);
  poke<uint32_t>(4, kRingOffset);
  poke<uint32_t>(8, options.ring_bytes);
}

// --- data area ---

std::span<std::byte> FakeKernel::map_again() const {
  void* map = ::mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_SHARED, file_.get(), 0);
  CHECK(map != MAP_FAILED);
  return {static_cast<std::byte*>(map), bytes_};
}

std::byte* FakeKernel::block(uint32_t index) {
  return memory_.get() + data_offset() + uint64_t{index} * options_.block_bytes;
}

void FakeKernel::check_block(uint32_t index) {
  const std::byte* bytes = block(index);
  const auto found = std::find_if(bytes, bytes + options_.block_bytes,
                                  [](std::byte b) { return b != kFreedByte; });
  if (found == bytes + options_.block_bytes) return;
  violations_.push_back(
      fmt::format("data block {} was written at byte {} while free", index, found - bytes));
  std::memset(block(index), static_cast<int>(kFreedByte), options_.block_bytes);
}

bool FakeKernel::allocate(Command& command) {
  const uint64_t bytes = command.request.data_out.size() + command.request.data_in_bytes;
  const size_t wanted = round_up(bytes, options_.block_bytes) / options_.block_bytes;
  const uint32_t step = command.request.scattered ? 2 : 1;
  std::vector<uint32_t> found;
  for (uint32_t i = 0; i < options_.blocks && found.size() < wanted; ++i) {
    if (block_used_[i] || (!found.empty() && i < found.back() + step)) continue;
    found.push_back(i);
  }
  if (found.size() < wanted) return false;
  for (const uint32_t index : found) {
    check_block(index);
    block_used_[index] = true;
    std::memset(block(index), static_cast<int>(kStaleByte), options_.block_bytes);
  }
  command.blocks = std::move(found);
  return true;
}

void FakeKernel::free_blocks_of(Command& command) {
  for (const uint32_t index : command.blocks) {
    block_used_[index] = false;
    std::memset(block(index), static_cast<int>(kFreedByte), options_.block_bytes);
  }
  command.blocks.clear();
}

// Offset and length of each run of neighbouring blocks.
std::vector<std::pair<uint64_t, uint64_t>> FakeKernel::iovecs(const Command& command) const {
  std::vector<std::pair<uint64_t, uint64_t>> runs;
  uint64_t left = command.request.data_out.size() + command.request.data_in_bytes;
  for (const uint32_t index : command.blocks) {
    const uint64_t offset = data_offset() + uint64_t{index} * options_.block_bytes;
    const uint64_t length = std::min<uint64_t>(left, options_.block_bytes);
    if (!runs.empty() && runs.back().first + runs.back().second == offset) {
      runs.back().second += length;
    } else {
      runs.emplace_back(offset, length);
    }
    left -= length;
  }
  return runs;
}

void FakeKernel::copy_out(const Command& command) {
  const uint8_t* source = command.request.data_out.data();
  for (const auto& [offset, length] : iovecs(command)) {
    if (command.request.data_out.empty()) break;
    std::memcpy(memory_.get() + offset, source, length);
    source += length;
  }
}

std::vector<uint8_t> FakeKernel::copy_in(Command& command, uint64_t limit) {
  std::vector<uint8_t> data;
  for (const auto& [offset, length] : iovecs(command)) {
    const auto* bytes = reinterpret_cast<const uint8_t*>(memory_.get() + offset);
    const uint64_t taken = std::min<uint64_t>(length, limit - data.size());
    data.insert(data.end(), bytes, bytes + taken);
  }
  return data;
}

// --- the ring ---

bool FakeKernel::room_for(uint32_t entry_bytes) const {
  const uint32_t size = options_.ring_bytes;
  const uint32_t used = head_ >= cleaned_ ? head_ - cleaned_ : size - cleaned_ + head_;
  const uint32_t to_end = size - head_;
  const uint32_t needed = to_end < entry_bytes ? entry_bytes + to_end : entry_bytes;
  return size - used - 1 >= needed;  // One byte stays free: full must not look like empty.
}

void FakeKernel::write_header(uint64_t at, uint32_t length_op, uint16_t id) {
  poke<uint32_t>(at, length_op);
  poke<uint16_t>(at + 4, id);
  poke<uint16_t>(at + 6, 0);
}

void FakeKernel::end_entry(uint32_t entry_bytes) {
  head_ = (head_ + entry_bytes) % options_.ring_bytes;
  std::atomic_ref<uint32_t>(*reinterpret_cast<uint32_t*>(memory_.get() + kHead))
      .store(head_, std::memory_order_release);
}

uint32_t FakeKernel::begin_entry(uint32_t entry_bytes) {
  CHECK(room_for(entry_bytes));
  const uint32_t to_end = options_.ring_bytes - head_;
  if (to_end < entry_bytes) {
    write_header(kRingOffset + head_, to_end | kOpPad, 0);
    end_entry(to_end);
  }
  std::memset(memory_.get() + kRingOffset + head_, 0, entry_bytes);
  return kRingOffset + head_;
}

bool FakeKernel::put_on_ring(Command& command) {
  if (!allocate(command)) return false;
  const auto runs = iovecs(command);
  const uint32_t base = std::max<uint32_t>(48 + 16 * static_cast<uint32_t>(runs.size()), 112);
  const uint32_t entry_bytes = base + round_up(command.request.cdb.size(), 8);
  CHECK(entry_bytes <= options_.ring_bytes / 2);  // The kernel refuses such a command.
  if (!room_for(entry_bytes)) {
    free_blocks_of(command);
    return false;
  }
  uint16_t id = 1;
  while (commands_.contains(id)) ++id;
  CHECK(id != 0);

  copy_out(command);
  const uint32_t at = begin_entry(entry_bytes);
  write_header(at, entry_bytes | kOpCommand, id);
  poke<uint32_t>(at + 8, static_cast<uint32_t>(runs.size()));
  poke<uint64_t>(at + 24, at + base);
  for (size_t i = 0; i < runs.size(); ++i) {
    poke<uint64_t>(at + 48 + 16 * i, runs[i].first);
    poke<uint64_t>(at + 56 + 16 * i, runs[i].second);
  }
  std::ranges::copy(std::as_bytes(std::span(command.request.cdb)), memory_.get() + at + base);
  end_entry(entry_bytes);
  ++events_;
  commands_.emplace(id, std::move(command));
  return true;
}

bool FakeKernel::put_on_ring(const Tmr& tmr) {
  const uint32_t entry_bytes = round_up(32 + 2 * tmr.ids.size(), 8);
  if (!room_for(entry_bytes)) return false;
  const uint32_t at = begin_entry(entry_bytes);
  write_header(at, entry_bytes | kOpTmr, 0);
  poke<uint8_t>(at + 8, tmr.type);
  poke<uint32_t>(at + 12, static_cast<uint32_t>(tmr.ids.size()));
  for (size_t i = 0; i < tmr.ids.size(); ++i) poke<uint16_t>(at + 32 + 2 * i, tmr.ids[i]);
  end_entry(entry_bytes);
  ++events_;
  return true;
}

bool FakeKernel::queue_unknown(uint32_t op, uint32_t length) {
  CHECK(op > kOpTmr && op <= 7 && length % 8 == 0);
  if (!room_for(length)) return false;
  write_header(begin_entry(length), length | op, 0);
  end_entry(length);
  ++events_;
  return true;
}

// --- the initiator ---

uint64_t FakeKernel::queue(FakeCommand request) {
  CHECK(request.data_out.empty() || request.data_in_bytes == 0);
  Command command{.tag = ++last_tag_, .request = std::move(request), .blocks = {}};
  const uint64_t tag = command.tag;
  if (blocked_) {
    results_[tag] = {.how = FakeResult::How::kReset, .status = kBusy};
    return tag;
  }
  if (!waiting_.empty() || !put_on_ring(command)) waiting_.push_back(std::move(command));
  return tag;
}

FakeKernel::Command* FakeKernel::find(uint64_t tag, uint16_t* id) {
  for (auto& [key, command] : commands_) {
    if (command.tag != tag || command.kept) continue;
    *id = key;
    return &command;
  }
  return nullptr;
}

void FakeKernel::abort(uint64_t tag) {
  const auto waits = std::ranges::find(waiting_, tag, &Command::tag);
  if (waits != waiting_.end()) {
    results_[tag] = {.how = FakeResult::How::kAborted};
    waiting_.erase(waits);
  }
  uint16_t id = 0;
  Command* command = find(tag, &id);
  if (command == nullptr || command->aborted || command->expired) return notify(1, {});
  command->aborted = true;
  notify(1, {id});
}

void FakeKernel::lun_reset() {
  for (const Command& command : waiting_) {
    results_[command.tag] = {.how = FakeResult::How::kAborted};
  }
  waiting_.clear();
  std::vector<uint16_t> ids;
  for (auto& [id, command] : commands_) {
    if (command.kept || command.aborted || command.expired) continue;
    command.aborted = true;
    ids.push_back(id);
  }
  notify(5, std::move(ids));
}

void FakeKernel::notify(uint8_t type, std::vector<uint16_t> ids) {
  if (!options_.tmr_notification || broken()) return;
  Tmr tmr{type, std::move(ids)};
  if (!waiting_tmrs_.empty() || !put_on_ring(tmr)) waiting_tmrs_.push_back(std::move(tmr));
}

std::optional<FakeResult> FakeKernel::take_result(uint64_t tag) {
  auto node = results_.extract(tag);
  if (node.empty()) return std::nullopt;
  return std::move(node.mapped());
}

// --- the kernel ---

FakeResult FakeKernel::gather(uint64_t slot, uint16_t id, Command& command) {
  const auto uflags = peek<uint8_t>(slot + 7);
  FakeResult result{.cmd_id = id, .status = peek<uint8_t>(slot + 8)};
  if ((uflags & kUnknownOp) != 0) {
    result.status = kCheckCondition;
    return result;
  }
  const uint64_t length = command.request.data_in_bytes;
  const auto read_length = peek<uint32_t>(slot + 12);
  const bool valid = length != 0 && (uflags & kReadLength) != 0 && read_length != 0;
  if (result.status == kCheckCondition) {
    result.sense = peek<std::array<uint8_t, 96>>(slot + 16);
    if (!valid) return result;
  }
  if (length != 0) {
    result.data_in = copy_in(command, valid ? std::min<uint64_t>(read_length, length) : length);
  }
  return result;
}

void FakeKernel::take_completion(uint64_t slot, uint16_t id) {
  const auto found = commands_.find(id);
  if (found == commands_.end()) {
    broken_reason_ = fmt::format("cmd_id {} not found", id);
    return;
  }
  Command& command = found->second;
  if (command.kept) {
    broken_reason_ = fmt::format("cmd_id {} was completed before and its buffer kept", id);
    return;
  }
  const bool keep = (peek<uint8_t>(slot + 7) & kKeepBuffer) != 0;
  if (!command.expired) {
    FakeResult result = gather(slot, id, command);
    if (command.aborted) result = {.how = FakeResult::How::kAborted, .cmd_id = id};
    result.kept = keep;
    results_[command.tag] = std::move(result);
  }
  if (keep) {
    command.kept = true;
    command.expired = false;
    return;
  }
  free_blocks_of(command);
  commands_.erase(found);
}

void FakeKernel::take_completions() {
  const uint32_t stop = tail();
  while (cleaned_ != stop) {
    if (cleaned_ == head_) {
      broken_reason_ = fmt::format("tail {} is not where an entry begins", stop);
      return;
    }
    const uint64_t slot = kRingOffset + cleaned_;
    const auto length_op = peek<uint32_t>(slot);
    const uint32_t op = length_op & 7;
    if (op == kOpCommand) {
      take_completion(slot, peek<uint16_t>(slot + 4));
      if (broken()) return;
    } else if (op != kOpPad && op != kOpTmr && (peek<uint8_t>(slot + 7) & kUnknownOp) == 0) {
      violations_.push_back(fmt::format("an entry of op {} was passed unmarked", op));
    }
    cleaned_ = (cleaned_ + (length_op & ~7u)) % options_.ring_bytes;
  }
}

void FakeKernel::doorbell() {
  if (broken()) return;
  take_completions();
  if (broken()) return;
  while (!waiting_tmrs_.empty() && put_on_ring(waiting_tmrs_.front())) waiting_tmrs_.pop_front();
  if (!waiting_tmrs_.empty()) return;
  while (!waiting_.empty() && put_on_ring(waiting_.front())) waiting_.pop_front();
}

void FakeKernel::expire(uint64_t tag) {
  uint16_t id = 0;
  Command* command = find(tag, &id);
  CHECK(command != nullptr && !command->expired);
  command->expired = true;
  results_[tag] = {.how = FakeResult::How::kExpired, .cmd_id = id, .status = kCheckCondition};
}

void FakeKernel::set_blocked(bool blocked) {
  blocked_ = blocked;
  if (!blocked) return;
  for (const Command& command : waiting_)
    results_[command.tag] = {.how = FakeResult::How::kReset, .status = kBusy};
  waiting_.clear();
}

bool FakeKernel::free_kept_buf(uint16_t cmd_id) {
  const auto found = commands_.find(cmd_id);
  if (found == commands_.end() || !found->second.kept) return false;
  free_blocks_of(found->second);
  commands_.erase(found);
  if (waiting_tmrs_.empty() && !broken()) {
    while (!waiting_.empty() && put_on_ring(waiting_.front())) waiting_.pop_front();
  }
  return true;
}

void FakeKernel::reset_ring() {
  for (auto& [id, command] : commands_) {
    if (!command.kept && !command.expired) {
      const auto how = command.aborted ? FakeResult::How::kAborted : FakeResult::How::kReset;
      results_[command.tag] = {.how = how, .cmd_id = id, .status = kBusy};
    }
    free_blocks_of(command);
  }
  commands_.clear();
  waiting_tmrs_.clear();
  broken_reason_.clear();
  head_ = cleaned_ = 0;
  poke<uint32_t>(kTail, 0);
  poke<uint32_t>(kHead, 0);
  while (!waiting_.empty() && put_on_ring(waiting_.front())) waiting_.pop_front();
}

// --- looking inside ---

std::optional<uint16_t> FakeKernel::cmd_id(uint64_t tag) const {
  for (const auto& [id, command] : commands_) {
    if (command.tag == tag && !command.kept) return id;
  }
  return std::nullopt;
}

bool FakeKernel::waits(uint64_t tag) const {
  return std::ranges::find(waiting_, tag, &Command::tag) != waiting_.end();
}

size_t FakeKernel::on_ring() const { return commands_.size() - kept(); }

size_t FakeKernel::kept() const {
  return static_cast<size_t>(
      std::ranges::count_if(commands_, [](const auto& entry) { return entry.second.kept; }));
}

uint32_t FakeKernel::free_blocks() const {
  return static_cast<uint32_t>(std::ranges::count(block_used_, false));
}

uint32_t FakeKernel::tail() {
  return std::atomic_ref<uint32_t>(*reinterpret_cast<uint32_t*>(memory_.get() + kTail))
      .load(std::memory_order_acquire);
}

std::vector<std::string> FakeKernel::violations() {
  for (uint32_t i = 0; i < options_.blocks; ++i) {
    if (!block_used_[i]) check_block(i);
  }
  return violations_;
}

}  // namespace tcmurbd::testing
