// SPDX-License-Identifier: Apache-2.0
// The promise of this program, as initiators see it. Each write has an id. It is older than another
// if it was answered, in whatever way and by whomever (the daemon, the kernel's timer, a host that
// dropped its session), before the other was submitted. Once a write was acknowledged, no read that
// is submitted after that, through whichever gateway, returns one that is older than it.
//
// Zeroes have no id of their own: what zeroes a block writes 0, as which the image was made.
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

  // A write is submitted at `clock`; its id, which is the content of the blocks that it wrote.
  uint32_t submit(uint64_t clock);
  // One that zeroes. Its id names it; the blocks read as 0.
  uint32_t submit_zeroes(std::span<const BlockRun> runs, uint64_t clock);
  // The first answer counts.
  void answer(uint32_t id, uint64_t clock);
  // It was answered GOOD.
  void acknowledge(uint32_t id, const BlockRun& run);
  // The block was cut off: what it held may be gone.
  void forget(uint32_t block, uint64_t clock);

  // When the newest acknowledged write of the block was submitted.
  uint64_t newest(uint32_t block) const { return blocks_[block].newest; }
  // Whether the block may show the content `id` to who submitted a read when newest() was `newest`.
  // What is wrong; nothing: it may.
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
    uint32_t zeroes_open = 0;      // Those that zero it and are not answered.
    uint64_t zeroes_answered = 0;  // When the last other one was.
  };
  std::vector<Write> writes_{{0, 0}};  // By id; 0 is the image as it was made.
  std::vector<Block> blocks_;
  std::map<uint32_t, std::vector<BlockRun>> zeroes_;  // That are not answered.
};

}  // namespace tcmurbd::testing
