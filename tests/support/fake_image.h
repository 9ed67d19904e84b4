// SPDX-License-Identifier: Apache-2.0
// An Image in memory; the test decides when and in which order its ops end. A write is applied when
// it ends, as late as RADOS may apply it; so two writes in flight are applied in the order in which
// they end.
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
    std::vector<uint8_t> data;   // Its data, copied at submit.
    std::vector<uint8_t> found;  // The content that its first part read or wrote.
  };

  // Sets overlap_seen if the op overlaps a pending one and one of the two changes the image: their
  // order is undefined then.
  void submit(const ImageOp& op, OpToken token) override;
  void give_up(OpToken token) override { given_up.push_back(token); }

  // Ends pending[index] with `result` (0: applied; negative: not applied) and returns its
  // completion. A compare and write compares now, unless its first part is done.
  OpDone finish(size_t index, int32_t result = 0);

  // Executes the first part of an op that reads before it writes or vice versa; finish() executes
  // the rest.
  void do_first_part(size_t index);

  std::vector<uint8_t> content;
  std::vector<Pending> pending;   // Oldest first.
  std::vector<OpToken> given_up;  // In the order of the calls.
  bool overlap_seen = false;
  // The image knows neither the order of commands nor which ones were aborted. With this set,
  // overlaps that are valid in some order are not reported: a write over a pending read, which may
  // be detached, and a kBlockStatus over a pending write, which may have come later.
  bool lenient = false;

 private:
  OpDone apply(const Pending& entry);
  // Exact: all non-zero bytes.
  void find_mapped(const ImageOp& op) const;
};

}  // namespace tcmurbd::testing
