// SPDX-License-Identifier: Apache-2.0
// An Image in memory whose ops end when, and in which order, the test says. It applies a write at
// the moment it ends, as late as RADOS may; so two writes that were in flight together land in the
// order of their endings.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "rbd_handler/image.h"

namespace tcmurbd::testing {

class FakeImage final : public Image {
 public:
  explicit FakeImage(uint64_t bytes) : content(bytes) {}

  struct Pending {
    ImageOp op;
    OpToken token;
    std::vector<uint8_t> data;   // What it brings: copied at submit.
    std::vector<uint8_t> found;  // What its first part found, or left.
  };

  // Sets overlap_seen if the op overlaps a pending one where either changes the image: nobody
  // orders them then.
  void submit(const ImageOp& op, OpToken token) override;
  void give_up(OpToken token) override { given_up.push_back(token); }

  // Ends pending[index] with `result` (0: it is applied; negative: it is not) and gives back its
  // completion. A compare and write that is applied compares now, unless its first part is done.
  OpDone finish(size_t index, int32_t result = 0);

  // What is read before something is written, or written before it is read back, happens now; the
  // rest with finish().
  void do_first_part(size_t index);

  std::vector<uint8_t> content;
  std::vector<Pending> pending;   // Oldest first.
  std::vector<OpToken> given_up;  // In the order of the calls.
  bool overlap_seen = false;
  // The image does not know in which order commands came, nor which were aborted. With this, what
  // is no mistake in some order is none: a write over a pending read, which nobody may wait for any
  // more, and a kBlockStatus over a pending write, which may have come after it.
  bool lenient = false;

 private:
  OpDone apply(const Pending& entry);
  // To the byte: all that is not zero.
  void find_mapped(const ImageOp& op) const;
};

}  // namespace tcmurbd::testing
