// SPDX-License-Identifier: Apache-2.0
// The guarantee to initiators. Each write has an id. A write is older than another if it ended in
// any way (an answer of the daemon or of the kernel's timer, or the host dropped its session)
// before the other was submitted. Once a write was acknowledged, no later read through any gateway
// returns an older one.
//
// Zeroing has no separate id: it writes 0, the initial content of the image.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace tcmurbd::testing {

struct BlockRun {
  uint32_t first = 0;
  uint32_t count = 0;
};

class SeenModel {
 public:
  explicit SeenModel(uint32_t blocks) : blocks_(blocks) {}

  // A write is submitted at `clock`; returns its id, which is the content of the written blocks.
  uint32_t submit(uint64_t clock);
  // A zeroing command. Returns its id; the blocks read as 0.
  uint32_t submit_zeroes(std::span<const BlockRun> runs, uint64_t clock);
  // Only the first answer counts.
  void answer(uint32_t id, uint64_t clock);
  // It was answered GOOD.
  void acknowledge(uint32_t id, const BlockRun& run);
  // The block was cut off and may have lost its content.
  void forget(uint32_t block, uint64_t clock);

  // When the newest acknowledged write of the block was submitted.
  uint64_t newest(uint32_t block) const { return blocks_[block].newest; }
  // Checks whether a read that was submitted when newest() was `newest` may return the content
  // `id`. Returns the violation, or no value.
  std::optional<std::string> look(uint32_t block, uint32_t id, uint64_t newest) const;
  uint32_t last_id() const { return static_cast<uint32_t>(writes_.size()) - 1; }

 private:
  static constexpr uint64_t kNever = UINT64_MAX;
  struct Write {
    uint64_t submitted = 0;
    uint64_t answered = kNever;
  };
  struct Block {
    uint64_t newest = 0;
    uint64_t forgotten = 0;
    uint32_t zeroes_open = 0;      // Unanswered commands that zero it.
    uint64_t zeroes_answered = 0;  // When the last other one was submitted.
  };
  std::vector<Write> writes_{{0, 0}};  // By id; 0 is the initial image.
  std::vector<Block> blocks_;
  std::map<uint32_t, std::vector<BlockRun>> zeroes_;  // That are not answered.
};

}  // namespace tcmurbd::testing
