// SPDX-License-Identifier: Apache-2.0
#include "tests/support/seen_model.h"

#include <fmt/format.h>

#include <algorithm>

namespace tcmurbd::testing {

uint32_t SeenModel::submit(uint64_t clock) {
  writes_.push_back({.submitted = clock});
  return last_id();
}

uint32_t SeenModel::submit_zeroes(std::span<const BlockRun> runs, uint64_t clock) {
  const uint32_t id = submit(clock);
  zeroes_[id].assign(runs.begin(), runs.end());
  for (const BlockRun& run : runs) {
    for (uint32_t i = 0; i < run.count; ++i) ++blocks_[run.first + i].zeroes_open;
  }
  return id;
}

void SeenModel::answer(uint32_t id, uint64_t clock) {
  if (writes_[id].answered != kNever) return;
  writes_[id].answered = clock;
  const auto zeroes = zeroes_.extract(id);
  if (zeroes.empty()) return;
  for (const BlockRun& run : zeroes.mapped()) {
    for (uint32_t i = 0; i < run.count; ++i) {
      Block& block = blocks_[run.first + i];
      --block.zeroes_open;
      block.zeroes_answered = clock;
    }
  }
}

void SeenModel::acknowledge(uint32_t id, const BlockRun& run) {
  for (uint32_t i = 0; i < run.count; ++i) {
    Block& block = blocks_[run.first + i];
    block.newest = std::max(block.newest, writes_[id].submitted);
  }
}

void SeenModel::forget(uint32_t block, uint64_t clock) {
  blocks_[block].newest = 0;
  blocks_[block].forgotten = clock;
}

std::optional<std::string> SeenModel::look(uint32_t block, uint32_t id, uint64_t newest) const {
  const Block& of = blocks_[block];
  if (id > last_id()) return fmt::format("block {} shows bytes that nobody wrote", block);
  if (newest <= of.forgotten) return std::nullopt;
  if (id == 0 && of.zeroes_open != 0) return std::nullopt;
  const uint64_t answered = id == 0 ? of.zeroes_answered : writes_[id].answered;
  if (answered >= newest) return std::nullopt;
  return fmt::format(
      "block {} shows write {}, answered at {}, although one submitted at {} was acknowledged",
      block, id, answered, newest);
}

}  // namespace tcmurbd::testing
