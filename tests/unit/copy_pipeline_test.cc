// SPDX-License-Identifier: Apache-2.0
// CopyPipeline with in-memory disks that end ops in any order, compared with the model: segments
// one after the other, each by memmove.
#include "rbd_handler/copy/copy_pipeline.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <random>

namespace tcmurbd::copy {
namespace {

using scsi::CopyExtent;
using scsi::CopyExtents;
using scsi::Result;
using Bytes = std::vector<uint8_t>;

constexpr uint64_t kMib = 1 << 20;

class Disks {
 public:
  Disks(uint64_t bytes, uint64_t seed) : content{Bytes(bytes), Bytes(bytes)}, random(seed) {
    // Runs of data and of zeroes.
    for (Bytes& disk : content) {
      for (uint64_t at = 0; at < bytes;) {
        const uint64_t run = std::min(bytes - at, (1 + random() % 48) * 32768);
        if (random() % 2 == 0)
          for (uint64_t i = 0; i < run; i += 512) disk[at + i] = static_cast<uint8_t>(random() | 1);
        at += run;
      }
    }
  }

  void take(CopyPipeline& job) {
    std::vector<Op> ops;
    job.take_ops(ops);
    for (Op& op : ops) {
      ASSERT_NE(op.range.length, 0u);
      ASSERT_LE(op.range.end(), content.at(op.disk).size());
      ASSERT_EQ(op.data.size(), op.kind == OpKind::kWriteZeroes ? 0 : op.range.length);
      for (const Pending& other : pending) {
        const bool changes = changes_image(op.kind) || changes_image(other.op.kind);
        const bool overlap = other.op.disk == op.disk && other.op.range.overlaps(op.range);
        ASSERT_FALSE(changes && overlap) << "side by side";
      }
      Pending entry{op, {}};
      if (op.kind == OpKind::kWrite) entry.written.assign(op.data.begin(), op.data.end());
      pending.push_back(std::move(entry));
      ++begun;
    }
  }

  // Ends one op, of the test's or of any choice.
  void end_one(CopyPipeline& job, size_t index, const Result& result = Result::good()) {
    const Pending entry = std::move(pending.at(index));
    pending.erase(pending.begin() + static_cast<ptrdiff_t>(index));
    const Op& op = entry.op;
    uint8_t* const at = content[op.disk].data() + op.range.offset;
    if (result == Result::good()) {
      if (op.kind == OpKind::kRead) std::copy_n(at, op.range.length, op.data.begin());
      if (op.kind == OpKind::kWrite) std::ranges::copy(entry.written, at);
      if (op.kind == OpKind::kWriteZeroes) std::fill_n(at, op.range.length, uint8_t{0});
      if (op.kind == OpKind::kWrite) bytes_written += op.range.length;
      if (op.kind == OpKind::kWriteZeroes) bytes_zeroed += op.range.length;
    }
    job.on_done(op.token, result);
  }
  void end_any(CopyPipeline& job) { end_one(job, random() % pending.size()); }

  void run(CopyPipeline& job) {
    for (take(job); !job.finished() && !::testing::Test::HasFatalFailure(); take(job)) {
      ASSERT_FALSE(pending.empty()) << "stuck";
      end_any(job);
    }
  }

  struct Pending {
    Op op;
    Bytes written;
  };
  std::vector<Pending> pending;
  std::vector<Bytes> content;
  std::mt19937_64 random;
  uint64_t begun = 0, bytes_written = 0, bytes_zeroed = 0;
};

std::vector<Bytes> model(std::vector<Bytes> content, const CopyExtents& extents) {
  for (const CopyExtent& e : extents) {
    if (e.length != 0)
      std::memmove(content[e.destination].data() + e.to, content[e.source].data() + e.from,
                   e.length);
  }
  return content;
}

void expect_copied(const CopyExtents& extents, uint64_t seed = 1, uint64_t bytes = 32 * kMib) {
  Disks disks(bytes, seed);
  const auto expected = model(disks.content, extents);
  CopyPipeline job(extents, nullptr);
  disks.run(job);
  ASSERT_TRUE(job.finished());
  EXPECT_EQ(job.result(), Result::good());
  EXPECT_EQ(job.segments_done(), extents.size());
  uint64_t sum = 0;
  for (const CopyExtent& e : extents) sum += e.length;
  EXPECT_EQ(job.bytes_done(), sum);
  EXPECT_TRUE(disks.content == expected);
}

TEST(CopyPipeline, CopiesOneSegment) {
  expect_copied({{0, 1, 0, 0, 16 * kMib}});
  expect_copied({{0, 1, 512, 5 * kMib + 1024, 11 * kMib + 512}});
  expect_copied({{0, 0, 0, 16 * kMib, 16 * kMib}});
  expect_copied({{0, 1, 0, 0, 512}});
}

TEST(CopyPipeline, NothingToCopyIsDoneAtOnce) {
  for (const CopyExtents& extents :
       {CopyExtents{}, CopyExtents{{0, 1, 0, 0, 0}, {1, 0, 5, 5, 0}}}) {
    CopyPipeline job(extents, nullptr);
    std::vector<Op> ops;
    job.take_ops(ops);
    EXPECT_TRUE(ops.empty());
    EXPECT_TRUE(job.finished());
    EXPECT_EQ(job.result(), Result::good());
    EXPECT_EQ(job.segments_done(), extents.size());
  }
}

TEST(CopyPipeline, AnOverlapCountsAsReadBeforeItIsWritten) {
  for (const uint64_t distance :
       {uint64_t{512}, 64 * kKiB, kPieceBytes, kPieceBytes + 512, 9 * kMib}) {
    expect_copied({{0, 0, 2 * kMib, 2 * kMib + distance, 13 * kMib}});
    expect_copied({{0, 0, 2 * kMib + distance, 2 * kMib, 13 * kMib}});
  }
  expect_copied({{0, 0, 512, 512, 9 * kMib}});
}

TEST(CopyPipeline, SegmentsCountAsOneAfterTheOther) {
  // The second reads what the first wrote, writes what it read, writes what it wrote.
  expect_copied({{0, 1, 0, 0, 9 * kMib}, {1, 0, kMib, 20 * kMib, 8 * kMib}});
  expect_copied({{0, 1, 0, 0, 9 * kMib}, {1, 0, 16 * kMib, kMib, 8 * kMib}});
  expect_copied({{0, 1, 0, 0, 9 * kMib}, {0, 1, 12 * kMib, kMib, 8 * kMib}});
}

TEST(CopyPipeline, KeepsSeveralPiecesUnderWayButNoMore) {
  Disks disks(64 * kMib, 1);
  CopyPipeline job({{0, 1, 0, 0, 32 * kMib}}, nullptr);
  disks.take(job);
  EXPECT_EQ(disks.pending.size(), 4u);
  disks.take(job);
  EXPECT_EQ(disks.pending.size(), 4u);
  for (const auto& entry : disks.pending) EXPECT_EQ(entry.op.range.length, 4 * kMib);
}

TEST(CopyPipeline, SegmentsThatDoNotTouchRunSideBySide) {
  Disks disks(32 * kMib, 1);
  CopyPipeline job({{0, 1, 0, 0, kMib}, {0, 1, kMib, kMib, kMib}, {1, 0, 8 * kMib, 8 * kMib, kMib}},
                   nullptr);
  disks.take(job);
  EXPECT_EQ(disks.pending.size(), 3u);
  // A segment that reads data that the first one writes does not, nor do later ones.
  CopyPipeline other(
      {{0, 1, 0, 0, kMib}, {1, 0, 0, 9 * kMib, kMib}, {0, 1, 4 * kMib, 4 * kMib, kMib}}, nullptr);
  disks.pending.clear();
  disks.take(other);
  EXPECT_EQ(disks.pending.size(), 1u);
}

TEST(CopyPipeline, PiecesEndAtObjectsOfTheDestination) {
  Disks disks(32 * kMib, 1);
  CopyPipeline job({{0, 1, 0, 3 * kMib, 6 * kMib}}, nullptr);
  disks.take(job);
  ASSERT_EQ(disks.pending.size(), 3u);
  EXPECT_EQ(disks.pending[0].op.range, (ByteRange{0, kMib}));
  EXPECT_EQ(disks.pending[1].op.range, (ByteRange{kMib, 4 * kMib}));
  EXPECT_EQ(disks.pending[2].op.range, (ByteRange{5 * kMib, kMib}));
}

TEST(CopyPipeline, ZeroesAreNotWritten) {
  Disks disks(16 * kMib, 1);
  Bytes& source = disks.content[0];
  std::ranges::fill(source, uint8_t{0});
  source[5 * kMib + 100] = 7;  // All else of these 4 MiB is zero.
  CopyPipeline job({{0, 1, 0, 0, 16 * kMib}}, nullptr);
  disks.run(job);
  EXPECT_EQ(job.result(), Result::good());
  EXPECT_EQ(disks.content[1], source);
  EXPECT_EQ(disks.bytes_written, 64 * kKiB);
  EXPECT_EQ(disks.bytes_zeroed, 16 * kMib - 64 * kKiB);
}

// Three extents; the second and the third can run only after the one before.
const CopyExtents kChain = {
    {0, 1, 0, 0, 9 * kMib}, {1, 0, 0, 16 * kMib, 9 * kMib}, {0, 1, 16 * kMib, 16 * kMib, 5 * kMib}};

TEST(CopyPipeline, TheFirstErrorOfAnyOpStopsItThere) {
  uint64_t ops = 0;
  {
    Disks disks(32 * kMib, 1);
    CopyPipeline job(kChain, nullptr);
    disks.run(job);
    ops = disks.begun;
  }
  ASSERT_GT(ops, 12u);
  for (uint64_t failing = 0; failing < ops; ++failing) {
    SCOPED_TRACE(failing);
    Disks disks(32 * kMib, 1);
    CopyPipeline job(kChain, nullptr);
    disks.take(job);
    for (uint64_t ended = 0; ended < failing; ++ended) {
      disks.end_one(job, 0);
      disks.take(job);
    }
    const Op op = disks.pending.front().op;
    const bool changes = changes_image(op.kind);
    const uint16_t segments = job.segments_done();
    disks.end_one(job, 0, Result::check(changes ? scsi::kWriteError : scsi::kReadError));
    const uint64_t begun = disks.begun;
    disks.run(job);  // Ops in flight end, and no others are started.
    EXPECT_EQ(disks.begun, begun);
    ASSERT_TRUE(job.finished());
    EXPECT_LE(job.segments_done(), segments);
    const scsi::Sense& sense = job.result().sense;
    ASSERT_TRUE(sense.copy);
    EXPECT_EQ(sense.key, 0x0a);
    EXPECT_EQ(sense.asc, 0x0d);
    EXPECT_EQ(sense.ascq, 0x01);
    EXPECT_EQ(sense.copy->segment, segments);
    EXPECT_EQ(sense.copy->who,
              changes ? scsi::CopyFailure::Who::kDestination : scsi::CopyFailure::Who::kSource);
    EXPECT_EQ(sense.copy->status, 0x02);
    EXPECT_EQ(sense.copy->key, 0x03);
    EXPECT_EQ(sense.copy->asc, changes ? 0x0c : 0x11);
  }
}

TEST(CopyPipeline, BusyIsPassedOnOnlyIfTheCommandCanBeRepeated) {
  const auto busy_at = [](const CopyExtents& extents, uint64_t after) {
    Disks disks(32 * kMib, 1);
    CopyPipeline job(extents, nullptr);
    disks.take(job);
    for (uint64_t ended = 0; ended < after; ++ended) {
      disks.end_one(job, 0);
      disks.take(job);
    }
    disks.end_one(job, 0, Result::busy());
    disks.run(job);
    return job.result();
  };
  const CopyExtents apart = {{0, 1, 0, 0, 16 * kMib}};
  const CopyExtents onto_itself = {{0, 0, 0, kMib, 16 * kMib}};
  const CopyExtents there_and_back = {{0, 1, 0, 0, 4 * kMib}, {1, 0, 8 * kMib, 0, 4 * kMib}};
  for (const uint64_t after : {0, 5}) EXPECT_EQ(busy_at(apart, after), Result::busy());
  EXPECT_EQ(busy_at(kChain, 6), Result::busy());
  EXPECT_EQ(busy_at(onto_itself, 0), Result::busy());
  const Result aborted = busy_at(onto_itself, 3);
  EXPECT_EQ(aborted.sense.key, 0x0a);
  EXPECT_EQ(aborted.sense.copy->status, 0x08);
  EXPECT_EQ(busy_at(there_and_back, 4).sense.key, 0x0a);
}

TEST(CopyPipeline, ADiskThatIsGoneIsToldWithItsSegment) {
  Disks disks(32 * kMib, 1);
  CopyPipeline job({{0, 1, 0, 0, 0}, {0, 1, 0, 0, kMib}}, nullptr);
  disks.take(job);
  disks.end_one(job, 0, Result::check(scsi::kCopyTargetNotReachable));
  ASSERT_TRUE(job.finished());
  const scsi::Sense& sense = job.result().sense;
  EXPECT_EQ(sense.asc, 0x0d);
  EXPECT_EQ(sense.ascq, 0x02);
  EXPECT_EQ(sense.copy->segment, 1);
}

TEST(CopyPipeline, MemoryOutlivesTheJobAndHoldsTheBudget) {
  auto budget = std::make_shared<int>();
  std::vector<Op> ops;
  {
    CopyPipeline job({{0, 1, 0, 0, 4 * kMib}}, budget);
    job.take_ops(ops);
  }
  ASSERT_EQ(ops.size(), 1u);
  EXPECT_GT(budget.use_count(), 1);
  std::ranges::fill(ops[0].data, uint8_t{1});  // Checked by ASan.
  ops.clear();
  EXPECT_EQ(budget.use_count(), 1);
}

TEST(CopyPipeline, RandomCopiesAreWhatTheModelSays) {
  const char* fixed = std::getenv("TCMU_RBD_TEST_SEED");
  const uint64_t seed = fixed ? std::strtoull(fixed, nullptr, 0) : std::random_device()();
  SCOPED_TRACE(::testing::Message() << "TCMU_RBD_TEST_SEED=" << seed);
  std::mt19937_64 random(seed);
  for (int round = 0; round < 60 && !::testing::Test::HasFailure(); ++round) {
    SCOPED_TRACE(round);
    CopyExtents extents;
    for (auto count = 1 + random() % 6; count != 0; --count) {
      const uint64_t length = random() % 4 == 0 ? random() % 12 * kMib : random() % 9000 * 512;
      const uint64_t blocks = (16 * kMib - length) / 512 + 1;
      extents.push_back({static_cast<uint16_t>(random() % 2), static_cast<uint16_t>(random() % 2),
                         random() % blocks * 512, random() % blocks * 512, length});
    }
    expect_copied(extents, random(), 16 * kMib);
  }
}

}  // namespace
}  // namespace tcmurbd::copy
