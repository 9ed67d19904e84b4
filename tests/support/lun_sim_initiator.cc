// SPDX-License-Identifier: Apache-2.0
// The commands of initiators.
#include <array>
#include <cstring>

#include "tests/support/lun_sim.h"

namespace tcmurbd::testing {
namespace {

using Bytes = std::vector<uint8_t>;

void append_blocks(Bytes& data, uint32_t id, uint32_t count) {
  const size_t begin = data.size();
  data.resize(begin + size_t{count} * kBlockBytes);
  for (size_t at = begin; at < data.size(); at += kBlockBytes)
    std::memcpy(&data[at], &id, sizeof id);
}

Bytes blocks_of(uint32_t id, uint32_t count) {
  Bytes data;
  append_blocks(data, id, count);
  return data;
}

Bytes cdb10(uint8_t opcode, uint8_t flags, const BlockRun& run) {
  return {opcode, flags, 0,
          0,      0,     static_cast<uint8_t>(run.first),
          0,      0,     static_cast<uint8_t>(run.count),
          0};
}

Bytes cdb16(uint8_t opcode, const BlockRun& run) {
  Bytes cdb(16);
  cdb[0] = opcode;
  cdb[9] = static_cast<uint8_t>(run.first);
  cdb[13] = static_cast<uint8_t>(run.count);
  return cdb;
}

}  // namespace

void LunSim::issue() {
  Pending command{.since = now_, .size_max = cluster_.blocks()};
  FakeCommand request = compose(command);
  open_[kernel_.queue(std::move(request))] = std::move(command);
}

FakeCommand LunSim::compose(Pending& command) {
  const uint32_t kind = below(13);
  if (kind == 0) return {.cdb = {0x35, 0, 0, 0, 0, 0, 0, 0, 0, 0}};  // SYNCHRONIZE CACHE
  if (kind >= 10) return kind == 10 ? compose_unmap(command) : compose_compare_and_write(command);
  const uint32_t first = below(kBlocks);
  const BlockRun run{first, 1 + below(std::min(6u, kBlocks - first))};
  command.runs = {run};
  if (kind < 3) {
    remember_newest(command);
    return {.cdb = cdb10(0x28, 0, run),
            .data_in_bytes = run.count * kBlockBytes,
            .scattered = chance(2)};
  }
  if (kind == 3) {
    command.status = true;
    command.runs = {{first, kBlocks - first}};
    remember_newest(command);
    Bytes cdb = cdb16(0x9e, {first, 0});
    cdb[1] = 0x12;  // GET LBA STATUS
    cdb[12] = 0x10;
    return {.cdb = std::move(cdb), .data_in_bytes = 4096};
  }
  if (kind == 4) {  // VERIFY(10) with one block for all, of a write not long ago.
    const uint32_t last = model_.last_id();
    command.shown = last - below(std::min(last + 1, 12u));
    remember_newest(command);
    return {.cdb = cdb10(0x2f, 0x06, run), .data_out = blocks_of(*command.shown, 1)};
  }
  return compose_write(command);
}

FakeCommand LunSim::compose_write(Pending& command) {
  const BlockRun run = command.runs.front();
  command.id = model_.submit(clock_);
  FakeCommand request{.data_out = blocks_of(command.id, run.count), .scattered = chance(2)};
  switch (below(6)) {
    case 0:  // WRITE SAME(10)
      request.cdb = cdb10(0x41, 0, run);
      request.data_out.resize(kBlockBytes);
      break;
    case 1:  // WRITE AND VERIFY(10), with BYTCHK and without
      request.cdb = cdb10(0x2e, chance(2) ? 0x02 : 0x00, run);
      break;
    case 2:  // ORWRITE(16)
      request.cdb = cdb16(0x8b, run);
      break;
    default:
      request.cdb = cdb10(0x2a, 0, run);
  }
  return request;
}

// Descriptors that do not overlap, in any order of their own.
FakeCommand LunSim::compose_unmap(Pending& command) {
  const uint32_t wanted = 1 + below(life_.knows(Fault::kCrowd) ? 16 : 3);
  for (uint32_t at = below(kBlocks); at < kBlocks && command.runs.size() < wanted;) {
    const uint32_t count = 1 + below(std::min(3u, kBlocks - at));
    command.runs.push_back({at, count});
    at += count + below(3);
  }
  command.id = model_.submit_zeroes({command.runs.data(), command.runs.size()}, clock_);
  const auto descriptors = static_cast<uint16_t>(16 * command.runs.size());
  Bytes data(8 + descriptors);
  data[0] = static_cast<uint8_t>((descriptors + 6) >> 8);
  data[1] = static_cast<uint8_t>(descriptors + 6);
  data[2] = static_cast<uint8_t>(descriptors >> 8);
  data[3] = static_cast<uint8_t>(descriptors);
  for (size_t i = 0; i < command.runs.size(); ++i) {
    data[8 + 16 * i + 7] = static_cast<uint8_t>(command.runs[i].first);
    data[8 + 16 * i + 11] = static_cast<uint8_t>(command.runs[i].count);
  }
  const auto length = static_cast<uint16_t>(data.size());
  return {.cdb = {0x42, 0, 0, 0, 0, 0, 0, static_cast<uint8_t>(length >> 8),
                  static_cast<uint8_t>(length), 0},
          .data_out = std::move(data)};
}

// It usually expects the current content.
FakeCommand LunSim::compose_compare_and_write(Pending& command) {
  const uint32_t block = below(kBlocks);
  command.runs = {{block, 1}};
  remember_newest(command);
  command.shown = chance(4) ? below(model_.last_id() + 1) : cluster_.content()[block];
  command.id = model_.submit(clock_);
  FakeCommand request{.cdb = cdb16(0x89, {block, 1}), .data_out = blocks_of(*command.shown, 1)};
  append_blocks(request.data_out, command.id, 1);
  return request;
}

void LunSim::remember_newest(Pending& command) const {
  for (const BlockRun& run : command.runs) {
    for (uint32_t i = 0; i < run.count; ++i) command.newest.push_back(model_.newest(run.first + i));
  }
}

// A read or write for an EXTENDED COPY of some LUN: the same guarantees, unknown to the kernel.
void LunSim::issue_for_a_copy() {
  Pending command{};
  const uint32_t first = below(kBlocks);
  const BlockRun run{first, 1 + below(std::min(6u, kBlocks - first))};
  command.runs = {run};
  command.memory = std::make_shared<std::vector<uint8_t>>(run.count * kBlockBytes);
  copy::Op op{.token = run.first,
              .disk = 0,
              .kind = chance(3) ? OpKind::kRead : OpKind::kWrite,
              .range = {uint64_t{run.first} * kBlockBytes, command.memory->size()},
              .data = *command.memory,
              .memory = command.memory,
              .issued = now_};
  if (op.kind == OpKind::kRead) {
    remember_newest(command);
  } else {
    command.id = model_.submit(clock_);
    *command.memory = blocks_of(command.id, run.count);
    op.data = *command.memory;
  }
  copies_[++last_copy_] = std::move(command);
  device_->on_copy_op(last_copy_, op, now_);
}

void LunSim::go_on_copying() {
  if (!long_copy_) {
    const uint32_t first = below(kBlocks);
    long_copy_ = LongCopy{.copy = ++last_copy_,
                          .id = model_.submit(clock_),
                          .issued = now_,
                          .whole = {first, 1 + below(std::min(24u, kBlocks - first))}};
    device_->on_copy_joins(long_copy_->copy, {{uint64_t{first} * kBlockBytes,
                                               uint64_t{long_copy_->whole.count} * kBlockBytes}});
  }
  LongCopy& long_copy = *long_copy_;
  if (long_copy.waits) return;
  long_copy.waits = true;
  Pending piece{.id = long_copy.id, .of_long_copy = true};
  const uint32_t left = long_copy.whole.count - long_copy.written;
  const BlockRun run{long_copy.whole.first + long_copy.written, 1 + below(std::min(4u, left))};
  piece.runs = {run};
  piece.memory = std::make_shared<std::vector<uint8_t>>(blocks_of(long_copy.id, run.count));
  const copy::Op op{.token = run.first,
                    .disk = 0,
                    .kind = OpKind::kWrite,
                    .range = {uint64_t{run.first} * kBlockBytes, piece.memory->size()},
                    .data = *piece.memory,
                    .memory = piece.memory,
                    .issued = long_copy.issued};
  copies_[long_copy.copy] = std::move(piece);
  device_->on_copy_op(long_copy.copy, op, now_);
}

void LunSim::end_long_copy(bool good) {
  model_.answer(long_copy_->id, clock_);
  if (good && !long_copy_->given_up) model_.acknowledge(long_copy_->id, long_copy_->whole);
  long_copy_.reset();
}

void LunSim::abort_one() {
  if (!copies_.empty() && chance(4)) device_->on_copy_cancelled(copies_.begin()->first, now_);
  if (open_.empty()) return;
  auto chosen = open_.begin();
  std::advance(chosen, below(static_cast<uint32_t>(open_.size())));
  kernel_.abort(chosen->first);
  aborted_.push_back(chosen->first);
}

void LunSim::reset_lun() {
  kernel_.lun_reset();
  for (const auto& [tag, command] : open_) aborted_.push_back(tag);
}

}  // namespace tcmurbd::testing
