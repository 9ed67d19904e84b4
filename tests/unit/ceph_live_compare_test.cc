// SPDX-License-Identifier: Apache-2.0
// COMPARE AND WRITE on a real image: by librbd for blocks of 512 bytes, by ceph/op_parts.h for
// larger ones.
#include <algorithm>
#include <cerrno>
#include <thread>

#include "ceph_live.h"

namespace tcmurbd::ceph {
namespace {

Bytes with(Bytes bytes, size_t at, uint8_t value) {
  bytes.at(at) = value;
  return bytes;
}

class ImageCompare : public LiveTest, public testing::WithParamInterface<size_t> {
 protected:
  Bytes block(uint8_t value) const { return Bytes(block_, value); }
  Bytes read(Target& target, uint64_t offset) const {
    Bytes back(block_);
    EXPECT_EQ(target.read(offset, back), 0);
    return back;
  }
  void expect_match(Target& target, uint64_t offset, const Bytes& expected, const Bytes& next) {
    SCOPED_TRACE(offset);
    EXPECT_EQ(target.compare_and_write(offset, expected + next).result, 0);
    EXPECT_EQ(read(target, offset), next);
  }
  // -84 is -EILSEQ.
  void expect_mismatch(Target& target, uint64_t offset, const Bytes& expected, uint32_t at) {
    SCOPED_TRACE(testing::Message() << offset << ", first difference " << at);
    const Bytes before = read(target, offset);
    const OpDone done = target.compare_and_write(offset, expected + block(0x77));
    EXPECT_EQ(done.result, -84);
    EXPECT_EQ(done.mismatch_at, at);
    EXPECT_EQ(read(target, offset), before);
  }

  const size_t block_ = GetParam();
};

INSTANTIATE_TEST_SUITE_P(Blocks, ImageCompare, testing::Values(512, 4096),
                         testing::PrintToStringParamName());

// At the begin, within and at the end of objects and of the image.
TEST_P(ImageCompare, ReplacesWhatIsAsExpectedAndTellsTheFirstByteThatIsNot) {
  const std::string name = make_image({.bytes = 4 * kMiB, .order = 20});
  const auto target = Target::open(dev_config(name));
  ASSERT_TRUE(target);
  const auto last = static_cast<uint32_t>(block_ - 1);
  Bytes expected(4 * kMiB, 0x11);
  ASSERT_EQ(target->write(0, expected), 0);
  for (const uint64_t offset :
       {uint64_t{0}, block_ * 3, kMiB - block_, kMiB, 2 * kMiB + block_, 4 * kMiB - block_}) {
    expect_match(*target, offset, block(0x11), block(0x22));
    expect_mismatch(*target, offset, with(block(0x22), 0, 0x23), 0);
    expect_mismatch(*target, offset, with(with(block(0x22), 300, 0), last, 0), 300);
    expect_mismatch(*target, offset, with(block(0x22), last, 0x22 ^ 0x80), last);
    expect_mismatch(*target, offset, block(0x11), 0);
    std::fill_n(expected.begin() + static_cast<ptrdiff_t>(offset), block_, 0x22);
  }
  EXPECT_TRUE(exported(name) == expected) << "a neighbour was written";
}

TEST_P(ImageCompare, WhatWasNeverWrittenIsZeroes) {
  const auto target = Target::open(dev_config(make_image({.bytes = 4 * kMiB, .order = 20})));
  ASSERT_TRUE(target);
  // No object.
  expect_mismatch(*target, 8 * block_, with(block(0), 5, 1), 5);
  expect_match(*target, 8 * block_, block(0), block(0x33));
  // Before and behind what the object has.
  expect_mismatch(*target, 0, with(block(0), block_ - 1, 1), static_cast<uint32_t>(block_ - 1));
  expect_match(*target, 0, block(0), block(0x34));
  expect_mismatch(*target, 64 * block_, with(block(0), 5, 1), 5);
  expect_match(*target, 64 * block_, block(0), block(0x35));
  // A whole object that was freed.
  ASSERT_EQ(target->zero(0, kMiB), 0);
  expect_mismatch(*target, 0, block(0x34), 0);
  expect_match(*target, 0, block(0), block(0x36));
}

TEST_P(ImageCompare, AClonesBlockIsItsParents) {
  const std::string parent = make_image({.bytes = 4 * kMiB, .order = 20});
  ASSERT_EQ(Target::open(dev_config(parent))->write(0, Bytes(4 * kMiB, 0x11)), 0);
  const auto clone = Target::open(dev_config(make_clone(parent)));
  ASSERT_TRUE(clone);
  expect_mismatch(*clone, 3 * block_, with(block(0x11), 7, 0), 7);
  expect_match(*clone, 3 * block_, block(0x11), block(0x22));
  expect_mismatch(*clone, kMiB, block(0), 0);
  EXPECT_EQ(read(*clone, 4 * block_), block(0x11));
}

TEST_P(ImageCompare, TakesItsDataInAnyPieces) {
  const auto target = Target::open(dev_config(make_image()));
  ASSERT_TRUE(target);
  for (const size_t piece : {size_t{1}, size_t{100}, block_ - 1, block_, block_ + 1}) {
    SCOPED_TRACE(piece);
    ASSERT_EQ(target->write(0, block(0x11)), 0);
    Bytes data = block(0x11) + block(0x22);
    std::vector<iovec> iov;
    for (size_t at = 0; at < data.size(); at += piece)
      iov.push_back({&data[at], std::min(piece, data.size() - at)});
    const ImageOp op{.kind = OpKind::kCompareAndWrite, .range = {0, block_}, .data = iov};
    EXPECT_EQ(target->run(op), 0);
    EXPECT_EQ(read(*target, 0), block(0x22));
    const OpDone again = target->run_done(op);
    EXPECT_EQ(again.result, -84);
    EXPECT_EQ(again.mismatch_at, 0u);
  }
}

TEST_P(ImageCompare, ItsMemoryIsFreeWhenSubmitReturns) {
  const auto target = Target::open(dev_config(make_image()));
  ASSERT_TRUE(target);
  for (OpToken token = 0; token < 64; ++token)
    target->submit_spoiled(
        {.kind = OpKind::kCompareAndWrite, .range = {token * block_, block_}, .data = {}},
        block(0) + block(static_cast<uint8_t>(token + 1)), token % 3 + 1, token);
  for (OpToken token = 0; token < 64; ++token) EXPECT_EQ(target->completions.wait(token), 0);
  target->next_token = 64;
  for (uint64_t i = 0; i < 64; ++i)
    EXPECT_EQ(read(*target, i * block_), block(static_cast<uint8_t>(i + 1)));
}

TEST_P(ImageCompare, GrowthAndShrinkingAreSeen) {
  const std::string name = make_image({.bytes = 8 * kMiB});
  const auto target = Target::open(dev_config(name));
  ASSERT_TRUE(target);
  EXPECT_EQ(target->compare_and_write(8 * kMiB, block(0) + block(1)).result, kBeyondEnd);
  resize(name, 12 * kMiB);
  expect_match(*target, 8 * kMiB, block(0), block(1));
  expect_mismatch(*target, 8 * kMiB, block(0), 0);
  resize(name, 8 * kMiB);
  EXPECT_EQ(target->compare_and_write(8 * kMiB, block(1) + block(2)).result, kBeyondEnd);
  EXPECT_EQ(target->compare_and_write(8 * kMiB, block(0) + block(2)).result, kBeyondEnd);
  expect_match(*target, 8 * kMiB - block_, block(0), block(3));
}

TEST_P(ImageCompare, ASnapshotIsReadOnly) {
  const std::string name = make_image();
  snapshot(name, "s");
  const auto target = Target::open(dev_config(name + "@s"));
  ASSERT_TRUE(target);
  EXPECT_EQ(target->compare_and_write(0, block(0) + block(1)).result, -EROFS);
  EXPECT_EQ(read(*target, 0), block(0));
}

// Two clients increment a counter in one sector; exactly one succeeds for each value. Without the
// exclusive lock, which only one of them could have: the OSD alone makes it atomic.
TEST_F(LiveTest, OfTwoClientsOneWinsEachSector) {
  constexpr uint8_t kRounds = 60;
  const std::string name = make_image({.features = RBD_FEATURE_LAYERING});
  const std::unique_ptr<Target> targets[] = {Target::open(dev_config(name)),
                                             Target::open(dev_config(name))};
  ASSERT_TRUE(targets[0] && targets[1]);
  int wins[2][kRounds]{};
  const auto count = [&](size_t self) {
    for (uint8_t value = 0; value < kRounds;) {
      const OpDone done =
          targets[self]->compare_and_write(0, Bytes(512, value) + Bytes(512, value + 1));
      if (done.result == 0) {
        ++wins[self][value];
      } else if (done.result != -84 || done.mismatch_at != 0) {
        ADD_FAILURE() << "result " << done.result << " at " << done.mismatch_at;
        return;
      }
      ++value;  // It, or a later one, is present.
    }
  };
  std::thread other([&] { count(1); });
  count(0);
  other.join();
  for (int value = 0; value < kRounds; ++value)
    EXPECT_EQ(wins[0][value] + wins[1][value], 1) << value;
  Bytes back(512);
  EXPECT_EQ(targets[0]->read(0, back), 0);
  EXPECT_EQ(back, Bytes(512, kRounds));
}

}  // namespace
}  // namespace tcmurbd::ceph
