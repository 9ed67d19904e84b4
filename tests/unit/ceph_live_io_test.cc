// SPDX-License-Identifier: Apache-2.0
// The effect of the image's ops on a real image, compared with `rbd export`.
#include <gmock/gmock.h>

#include <algorithm>
#include <random>

#include "ceph_live.h"

namespace tcmurbd::ceph {
namespace {

Bytes random_bytes(size_t count, uint32_t seed) {
  std::mt19937 random(seed);
  Bytes bytes(count);
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random() | 1);  // Never zero.
  return bytes;
}

class ImageIo : public LiveTest {};

TEST_F(ImageIo, TellsWhatItOpened) {
  const std::string name = make_image({.bytes = 10 * kMiB, .order = 20});
  const auto target = Target::open(dev_config(name));
  ASSERT_TRUE(target);
  EXPECT_EQ(target->image->info().bytes, 10 * kMiB);
  EXPECT_EQ(target->image->info().object_bytes, kMiB);
  EXPECT_FALSE(target->image->info().read_only);
  EXPECT_TRUE(target->image->info().exclusive_lock);
  EXPECT_FALSE(target->image->info().id.empty());
  EXPECT_THAT(target->image->address(), testing::ContainsRegex("^[0-9.]+:0/[0-9]+$"));
  EXPECT_EQ(target->image->refresh_size(), 10 * kMiB);
}

// Odd offsets and lengths across objects, in one piece, in some, and in more than IOV_MAX of them.
TEST_F(ImageIo, ReadsAndWritesOfAnyShape) {
  const std::string name = make_image({.bytes = 16 * kMiB, .order = 20});
  const auto target = Target::open(dev_config(name));
  ASSERT_TRUE(target);
  const uint32_t seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  Bytes expected(16 * kMiB);
  for (int round = 0; round < 60; ++round) {
    const size_t length = 1 + random() % (round % 2 == 0 ? 5000 : 3'000'000);
    const size_t offset = random() % (expected.size() - length);
    const size_t pieces = std::min<size_t>(round % 3 == 0 ? 1 : 1 + random() % 1500, length);
    Bytes data = random_bytes(length, random());
    std::copy(data.begin(), data.end(), expected.begin() + static_cast<ptrdiff_t>(offset));
    const auto split = [&](Bytes& bytes) {
      std::vector<iovec> iov;
      for (size_t i = 0; i < pieces; ++i) {
        const size_t begin = length * i / pieces;
        iov.push_back({bytes.data() + begin, length * (i + 1) / pieces - begin});
      }
      return iov;
    };
    const auto out = split(data);
    ASSERT_EQ(target->run({.kind = OpKind::kWrite, .range = {offset, length}, .data = out}), 0);
    Bytes back(length);
    const auto in = split(back);
    ASSERT_EQ(target->run({.kind = OpKind::kRead, .range = {offset, length}, .data = in}), 0);
    ASSERT_EQ(back, data);
  }
  EXPECT_TRUE(exported(name) == expected);
}

TEST_F(ImageIo, AWritesMemoryIsFreeWhenSubmitReturns) {
  const std::string name = make_image();
  const auto target = Target::open(dev_config(name));
  ASSERT_TRUE(target);
  const Bytes expected = random_bytes(4 * kMiB, 1);
  for (OpToken token = 0; token < 8; ++token)
    target->submit_spoiled(
        {.kind = OpKind::kWrite, .range = {token * 4 * kMiB, expected.size()}, .data = {}},
        expected, token % 3 + 1, token);
  for (OpToken token = 0; token < 8; ++token) EXPECT_EQ(target->completions.wait(token), 0);
  target->next_token = 8;
  for (uint64_t i = 0; i < 8; ++i) {
    Bytes back(4 * kMiB);
    EXPECT_EQ(target->read(i * 4 * kMiB, back), 0);
    EXPECT_TRUE(back == expected) << i;
  }
}

// An op beyond the cached size waits for the current size before librbd gets it.
TEST_F(ImageIo, SoItIsOfALateWrite) {
  const std::string name = make_image({.bytes = 8 * kMiB, .order = 20});
  const auto target = Target::open(dev_config(name));
  ASSERT_TRUE(target);
  resize(name, 16 * kMiB);
  const OpKind kinds[] = {OpKind::kWrite, OpKind::kWriteSame, OpKind::kCompareAndWrite};
  const Bytes data[] = {Bytes(4096, 1), Bytes(512, 2), Bytes(512, 0) + Bytes(512, 3)};
  const uint64_t lengths[] = {4096, 4096, 512};
  for (OpToken token = 0; token < 3; ++token)
    target->submit_spoiled(
        {.kind = kinds[token], .range = {(8 + token) * kMiB, lengths[token]}, .data = {}},
        data[token], 2, token);
  for (OpToken token = 0; token < 3; ++token) EXPECT_EQ(target->completions.wait(token), 0);
  target->next_token = 3;
  for (OpToken token = 0; token < 3; ++token) {
    Bytes back(lengths[token]);
    EXPECT_EQ(target->read((8 + token) * kMiB, back), 0);
    EXPECT_EQ(back, Bytes(lengths[token], static_cast<uint8_t>(token + 1)));
  }
}

TEST_F(ImageIo, WriteSameRepeatsItsPattern) {
  const std::string name = make_image({.bytes = 8 * kMiB, .order = 20});
  const auto target = Target::open(dev_config(name));
  ASSERT_TRUE(target);
  Bytes expected(8 * kMiB);
  const auto expect_same = [&](uint64_t offset, uint64_t length, const Bytes& pattern) {
    for (uint64_t i = 0; i < length; ++i) expected[offset + i] = pattern[i % pattern.size()];
    EXPECT_EQ(target->write_same({offset, length}, pattern), 0) << offset << '+' << length;
  };
  expect_same(0, kMiB, random_bytes(512, 1));                    // An object.
  expect_same(kMiB - 1024, 2048, random_bytes(512, 2));          // Across two.
  expect_same(3 * kMiB + 512, 3 * kMiB, random_bytes(4096, 3));  // Blocks cut by objects.
  expect_same(7 * kMiB + 512, 512, random_bytes(512, 4));        // One block.
  expect_same(512, 2 * kMiB, Bytes(512));  // Zeroes, from the middle of an object.
  EXPECT_TRUE(exported(name) == expected);

  // A pattern in two pieces.
  Bytes pattern = random_bytes(512, 5);
  const iovec halves[] = {{pattern.data(), 100}, {pattern.data() + 100, 412}};
  EXPECT_EQ(target->run({.kind = OpKind::kWriteSame, .range = {0, 1024}, .data = halves}), 0);
  Bytes back(1024);
  EXPECT_EQ(target->read(0, back), 0);
  EXPECT_TRUE(std::equal(pattern.begin(), pattern.end(), back.begin()));
  EXPECT_TRUE(std::equal(pattern.begin(), pattern.end(), back.begin() + 512));
}

// librbd refuses it inside the call; it must still come as a completion.
TEST_F(ImageIo, AnOpThatCannotStartIsCompleted) {
  const std::string name = make_image();
  const auto target = Target::open(dev_config(name));
  ASSERT_TRUE(target);
  EXPECT_EQ(target->write_same({0, 1000}, Bytes(512, 1)), -EINVAL);
  const Bytes data(512, 7);
  EXPECT_EQ(target->write(0, data), 0);
}

void write_zeroes_is_exact(Target& target, Bytes expected) {
  const uint32_t seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  std::vector<ByteRange> ranges{{1, 1},           {kMiB - 1, 2},         {2 * kMiB, kMiB},
                                {3 * kMiB, 512},  {4 * kMiB - 512, 512}, {5 * kMiB + 1, 3 * kMiB},
                                {8 * kMiB, 65536}};
  for (int i = 0; i < 20; ++i) ranges.push_back({random() % (15 * kMiB), 1 + random() % kMiB});
  for (const ByteRange& range : ranges) {
    std::fill_n(expected.begin() + static_cast<ptrdiff_t>(range.offset), range.length, 0);
    ASSERT_EQ(target.zero(range.offset, range.length), 0) << range.offset << '+' << range.length;
    Bytes back(expected.size());
    ASSERT_EQ(target.read(0, back), 0);
    ASSERT_TRUE(back == expected) << range.offset << '+' << range.length;
  }
}

TEST_F(ImageIo, WriteZeroesIsExact) {
  const std::string name = make_image({.bytes = 16 * kMiB, .order = 20});
  const auto target = Target::open(dev_config(name));
  ASSERT_TRUE(target);
  const Bytes full = random_bytes(16 * kMiB, 9);
  ASSERT_EQ(target->write(0, full), 0);
  write_zeroes_is_exact(*target, full);
}

// Nothing of the parent may shine through, neither of whole objects nor of parts.
TEST_F(ImageIo, WriteZeroesIsExactInAClone) {
  const std::string parent = make_image({.bytes = 16 * kMiB, .order = 20});
  const Bytes full = random_bytes(16 * kMiB, 10);
  ASSERT_EQ(Target::open(dev_config(parent))->write(0, full), 0);
  write_zeroes_is_exact(*Target::open(dev_config(make_clone(parent))), full);
}

TEST_F(ImageIo, ASnapshotIsReadOnlyAndOld) {
  const std::string name = make_image();
  const Bytes before = random_bytes(4096, 1);
  const auto head = Target::open(dev_config(name));
  ASSERT_TRUE(head);
  ASSERT_EQ(head->write(0, before), 0);
  snapshot(name, "s");
  ASSERT_EQ(head->write(0, random_bytes(4096, 2)), 0);
  const auto target = Target::open(dev_config(name + "@s"));
  ASSERT_TRUE(target);
  EXPECT_TRUE(target->image->info().read_only);
  Bytes back(4096);
  EXPECT_EQ(target->read(0, back), 0);
  EXPECT_EQ(back, before);
  EXPECT_EQ(target->write(0, before), -EROFS);
  EXPECT_EQ(target->zero(0, 4096), -EROFS);
  EXPECT_EQ(target->write_same({0, 4096}, Bytes(512, 1)), -EROFS);
}

TEST_F(ImageIo, GrowthIsSeenByTheOpThatNeedsIt) {
  const std::string name = make_image({.bytes = 8 * kMiB});
  const auto target = Target::open(dev_config(name));
  ASSERT_TRUE(target);
  const Bytes data = random_bytes(8192, 3);
  EXPECT_EQ(target->write(8 * kMiB, data), kBeyondEnd);
  resize(name, 12 * kMiB);
  EXPECT_EQ(target->write(8 * kMiB - 4096, data), 0);
  EXPECT_EQ(target->write(12 * kMiB - 8192, data), 0);
  EXPECT_EQ(target->write_same({9 * kMiB, kMiB}, Bytes(512, 5)), 0);
  Bytes back(8192);
  EXPECT_EQ(target->read(8 * kMiB - 4096, back), 0);
  EXPECT_EQ(back, data);
  EXPECT_EQ(target->read(12 * kMiB, back), kBeyondEnd);
  EXPECT_EQ(target->image->refresh_size(), 12 * kMiB);
}

TEST_F(ImageIo, AWriteThatWaitsForGrowthHasItsOwnCopy) {
  const std::string name = make_image({.bytes = 8 * kMiB});
  const auto target = Target::open(dev_config(name));
  ASSERT_TRUE(target);
  resize(name, 16 * kMiB);
  const Bytes expected = random_bytes(4096, 4);
  Bytes data = expected;
  const iovec iov{data.data(), data.size()};
  target->image->submit({.kind = OpKind::kWrite, .range = {12 * kMiB, 4096}, .data = {&iov, 1}},
                        77);
  std::fill(data.begin(), data.end(), 0);
  EXPECT_EQ(target->completions.wait(77), 0);
  Bytes back(4096);
  EXPECT_EQ(target->read(12 * kMiB, back), 0);
  EXPECT_EQ(back, expected);
}

TEST_F(ImageIo, ShrinkingMakesWhatLiesBeyondAnError) {
  const std::string name = make_image({.bytes = 12 * kMiB});
  const auto target = Target::open(dev_config(name));
  ASSERT_TRUE(target);
  const Bytes data = random_bytes(8192, 3);
  ASSERT_EQ(target->write(8 * kMiB - 4096, data), 0);
  resize(name, 8 * kMiB);
  Bytes back(8192);
  EXPECT_EQ(target->read(8 * kMiB - 4096, back), kBeyondEnd);
  EXPECT_EQ(target->write(8 * kMiB - 4096, data), kBeyondEnd);
  EXPECT_EQ(target->write_same({8 * kMiB - 4096, 8192}, Bytes(512, 1)), kBeyondEnd);
  EXPECT_EQ(target->zero(8 * kMiB - 4096, 8192), kBeyondEnd);
  EXPECT_EQ(target->write(9 * kMiB, data), kBeyondEnd);
  EXPECT_EQ(target->read(9 * kMiB, back), kBeyondEnd);
  EXPECT_EQ(target->write(8 * kMiB - 8192, data), 0);
}

// Any read of the header detects the change; the ops must use the new size as well.
TEST_F(ImageIo, NobodyElsesLookAtTheHeaderHidesThatItBecameSmaller) {
  const std::string name = make_image({.bytes = 12 * kMiB});
  const auto target = Target::open(dev_config(name));
  ASSERT_TRUE(target);
  const Bytes data = random_bytes(8192, 3);
  resize(name, 8 * kMiB);
  ASSERT_TRUE(target->image->reach_header());
  EXPECT_EQ(target->write(8 * kMiB - 4096, data), kBeyondEnd);
  EXPECT_EQ(target->zero(8 * kMiB - 4096, 8192), kBeyondEnd);
  resize(name, 4 * kMiB);
  ASSERT_EQ(target->image->refresh_size(), 4 * kMiB);
  EXPECT_EQ(target->write(4 * kMiB - 4096, data), kBeyondEnd);
}

}  // namespace
}  // namespace tcmurbd::ceph
