// SPDX-License-Identifier: Apache-2.0
// Copies at the Device: their reads and writes are processed like commands, but are unknown to the
// kernel; an EXTENDED COPY is answered when its copy has ended.
#include <gmock/gmock.h>

#include <memory>
#include <optional>

#include "tests/unit/device_fixture.h"

namespace tcmurbd::testing {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// A copy's read or write, with memory whose release can be observed.
struct Piece {
  explicit Piece(size_t bytes) : memory(std::make_shared<Bytes>(bytes)) {}
  std::shared_ptr<Bytes> memory;

  copy::Op op(OpKind kind, uint32_t token, uint64_t offset) const {
    const std::span<uint8_t> data(*memory);
    return {.token = token,
            .disk = 0,
            .kind = kind,
            .range = {offset, memory->size()},
            .data = kind == OpKind::kWriteZeroes ? std::span<uint8_t>() : data,
            .memory = memory};
  }
};

struct Done {
  uint64_t copy;
  uint32_t token;
  uint8_t status;
  bool operator==(const Done&) const = default;
};

class DeviceCopy : public ::testing::Test, public DeviceFixture {
 protected:
  DeviceCopy() = default;
  explicit DeviceCopy(FakeKernel::Options options) : DeviceFixture(2048, options) {}

  void begin(const copy::Op& op, uint64_t id = 7) {
    copy::Op issued = op;
    issued.issued = issued_.value_or(now);
    device.on_copy_op(id, issued, now);
    ring();
  }
  std::vector<CopyOpDone> take() { return effects.take<CopyOpDone>(device); }
  std::vector<Done> ended() {
    std::vector<Done> out;
    for (const CopyOpDone& done : take())
      out.push_back({done.copy, done.token, static_cast<uint8_t>(done.result.status)});
    return out;
  }
  std::optional<TimePoint> issued_;  // When the command of the copies came; no value: now.

  void own_the_lock() {
    const uint64_t tag = write(2000, Bytes(512, 1));
    finish_all();
    expect(tag, {});
  }
};

TEST_F(DeviceCopy, ReadsAndWritesAsCommandsDo) {
  std::ranges::fill(image.content, uint8_t{9});
  const Piece read(4096), written(4096);
  begin(read.op(OpKind::kRead, 1, 8192));
  EXPECT_TRUE(ended().empty());
  finish_all();
  EXPECT_EQ(ended(), (std::vector<Done>{{7, 1, 0x00}}));
  EXPECT_EQ(*read.memory, Bytes(4096, 9));
  std::ranges::fill(*written.memory, uint8_t{3});
  begin(written.op(OpKind::kWrite, 2, 0));
  begin(written.op(OpKind::kWriteZeroes, 3, 4096), 8);
  finish_all();
  EXPECT_EQ(ended(), (std::vector<Done>{{7, 2, 0x00}, {8, 3, 0x00}}));
  EXPECT_EQ(image.content[4095], 3);
  EXPECT_EQ(image.content[4096], 0);
  EXPECT_TRUE(device.idle());
  EXPECT_EQ(read.memory.use_count(), 1);
  EXPECT_EQ(written.memory.use_count(), 1);
}

TEST_F(DeviceCopy, KeepsTheOrderOfWhatOverlaps) {
  const uint64_t older = write(0, Bytes(4096, 1));
  const Piece read(8192), written(512);
  begin(read.op(OpKind::kRead, 1, 0));
  begin(written.op(OpKind::kWrite, 2, 4096));
  const uint64_t newer = write(8, Bytes(512, 2));
  ASSERT_EQ(image.pending.size(), 1u) << "all wait for the first";
  finish(0);
  expect(older, {});
  ASSERT_EQ(image.pending.size(), 1u) << "the write waits for the read";
  finish(0);
  EXPECT_EQ(ended(), (std::vector<Done>{{7, 1, 0x00}}));
  finish(0);
  EXPECT_EQ(ended(), (std::vector<Done>{{7, 2, 0x00}}));
  finish(0);
  expect(newer, {});
  EXPECT_FALSE(image.overlap_seen);
}

TEST_F(DeviceCopy, TakesTheLockForItsFirstChange) {
  play_jobs = false;
  const Piece read(512), written(512);
  begin(read.op(OpKind::kRead, 1, 0));
  EXPECT_EQ(image.pending.size(), 1u) << "a read needs none";
  begin(written.op(OpKind::kWrite, 2, 512));
  EXPECT_EQ(take_action(), lock::Action::kAcquire);
  EXPECT_EQ(image.pending.size(), 1u);
  device.on_lock_event(lock::Outcome::kAcquired, now);
  ring();
  EXPECT_EQ(image.pending.size(), 2u);
  finish_all();
  EXPECT_EQ(ended().size(), 2u);
}

// Meanwhile its host may have given it up and written newer data through the other gateway.
TEST_F(DeviceCopy, DoesNotWriteAfterTheLockWasElsewhere) {
  own_the_lock();
  issued_ = now;
  const Piece first(512), read(512), later(512);
  wait(seconds(30));
  begin(first.op(OpKind::kWrite, 1, 0));
  finish_all();
  EXPECT_EQ(ended(), (std::vector<Done>{{7, 1, 0x00}})) << "it may take long";
  device.on_peer_asks(1, now);
  ring();
  ASSERT_EQ(device.lock_state(), lock::State::kUnowned);
  wait(seconds(1));
  begin(read.op(OpKind::kRead, 2, 0));
  begin(later.op(OpKind::kWrite, 3, 0));
  ASSERT_EQ(device.lock_state(), lock::State::kOwned) << "it is this gateway's again";
  finish_all();
  EXPECT_EQ(ended(), (std::vector<Done>{{7, 3, 0x08}, {7, 2, 0x00}}));
  EXPECT_EQ(image.content[0], 0);
  EXPECT_EQ(device.counters().stale, 1u);
  issued_ = now;
  begin(later.op(OpKind::kWrite, 4, 0), 8);
  finish_all();
  EXPECT_EQ(ended(), (std::vector<Done>{{8, 4, 0x00}})) << "a newer copy";
}

// A host that lost its session, or another host, writes where an older copy still writes to.
TEST_F(DeviceCopy, ALaterChangeOfItsDestinationEndsIt) {
  own_the_lock();
  const Piece before(512), after(512), elsewhere(512);
  device.on_copy_joins(7, {{0, 8192}});
  begin(before.op(OpKind::kWrite, 1, 0));
  finish_all();
  const uint64_t read_there = read(8, 1);
  const uint64_t write_beside = write(16, Bytes(512, 1));
  begin(elsewhere.op(OpKind::kWrite, 2, 512));
  finish_all();
  expect(read_there, {});
  expect(write_beside, {});
  EXPECT_EQ(ended(), (std::vector<Done>{{7, 1, 0x00}, {7, 2, 0x00}}));
  const uint64_t newer = write(8, Bytes(512, 9));
  finish_all();
  expect(newer, {});
  begin(after.op(OpKind::kWrite, 3, 4096));
  const auto done = take();
  ASSERT_EQ(done.size(), 1u);
  EXPECT_EQ(done[0].result, scsi::Result::check({0x0a, 0x00, 0x00}));
  EXPECT_EQ(image.content[4096], 9);
}

TEST_F(DeviceCopy, ALaterCopyToItsDestinationEndsItAndNotTheOtherWayRound) {
  own_the_lock();
  const Piece older(512), newer(512);
  device.on_copy_joins(7, {{0, 8192}});
  device.on_copy_joins(8, {{0, 8192}});
  begin(older.op(OpKind::kWrite, 1, 0), 7);
  begin(newer.op(OpKind::kWrite, 2, 4096), 8);
  begin(older.op(OpKind::kWrite, 3, 512), 7);
  finish_all();
  EXPECT_EQ(ended(), (std::vector<Done>{{7, 3, 0x02}, {7, 1, 0x00}, {8, 2, 0x00}}));
  device.on_copy_cancelled(7, now);
  begin(older.op(OpKind::kWrite, 4, 512), 7);
  finish_all();
  EXPECT_EQ(ended(), (std::vector<Done>{{7, 4, 0x00}})) << "it has left";
}

TEST_F(DeviceCopy, ACancelDropsWhatWaitsAndDetachesWhatRuns) {
  own_the_lock();
  const Piece read(512), written(512), waiting(512), another(512);
  begin(read.op(OpKind::kRead, 1, 0));
  std::ranges::fill(*written.memory, uint8_t{5});
  begin(written.op(OpKind::kWrite, 2, 1024));
  begin(waiting.op(OpKind::kWrite, 3, 1024));  // Behind the other.
  begin(another.op(OpKind::kWrite, 4, 4096), 8);
  device.on_copy_cancelled(7, now);
  ring();
  EXPECT_THAT(ended(), ::testing::UnorderedElementsAre(Done{7, 1, 0x40}, Done{7, 2, 0x40},
                                                       Done{7, 3, 0x40}));
  EXPECT_EQ(device.detached(), 2u);
  EXPECT_EQ(waiting.memory.use_count(), 1);
  EXPECT_EQ(read.memory.use_count(), 2) << "it may still be written to";
  // Newer ops wait for the end of the write, but not for the read.
  const uint64_t newer = write(2, Bytes(512, 6));
  const uint64_t beside = write(0, Bytes(512, 6));
  EXPECT_EQ(image.pending.size(), 4u);
  finish(3);
  expect(beside, {});
  EXPECT_TRUE(outstanding(newer));
  finish(1);  // The detached write.
  finish(2);
  expect(newer, {});
  EXPECT_EQ(image.content[1024], 6);
  finish_all();
  EXPECT_EQ(ended(), (std::vector<Done>{{8, 4, 0x00}})) << "nothing is reported twice";
  EXPECT_EQ(read.memory.use_count(), 1);
  EXPECT_TRUE(device.idle());
}

TEST_F(DeviceCopy, ALunResetEndsCopiesOfOtherLuns) {
  own_the_lock();
  const Piece written(512);
  begin(written.op(OpKind::kWrite, 2, 1024));
  kernel.lun_reset();
  run();
  EXPECT_EQ(ended(), (std::vector<Done>{{7, 2, 0x40}}));
  EXPECT_EQ(device.detached(), 1u);
  finish_all();
  EXPECT_TRUE(device.idle());
}

TEST_F(DeviceCopy, AnAbortOfAnotherCommandLeavesItAlone) {
  own_the_lock();
  const Piece written(512);
  begin(written.op(OpKind::kWrite, 2, 1024));
  // An op of a copy has no command's id, not even 0.
  kernel.notify(1, {0, 1, 2});
  run();
  EXPECT_TRUE(ended().empty());
  finish_all();
  EXPECT_EQ(ended(), (std::vector<Done>{{7, 2, 0x00}}));
}

TEST_F(DeviceCopy, HasTheDeadlineOfACommand) {
  own_the_lock();
  const Piece written(512);
  begin(written.op(OpKind::kWrite, 2, 1024));
  wait(seconds(14));
  EXPECT_TRUE(ended().empty());
  wait(seconds(2));
  EXPECT_EQ(ended(), (std::vector<Done>{{7, 2, 0x08}}));
}

TEST_F(DeviceCopy, AFenceAnswersBusyAndKeepsTheMemory) {
  own_the_lock();
  const Piece read(512), written(512);
  begin(read.op(OpKind::kRead, 1, 0));
  begin(written.op(OpKind::kWrite, 2, 1024));
  finish(1, -ESHUTDOWN);
  EXPECT_EQ(ended().size(), 2u) << "both are over";
  EXPECT_EQ(read.memory.use_count(), 2);
  finish_all();
  EXPECT_EQ(read.memory.use_count(), 1);
  EXPECT_TRUE(ended().empty());
}

TEST_F(DeviceCopy, ChecksTheDiskAsItIsNow) {
  const Piece piece(1024);
  begin(piece.op(OpKind::kRead, 1, 2048 * 512 - 512));
  device.on_resized(4096);
  begin(piece.op(OpKind::kRead, 2, 4096 - 512));
  const auto done = take();
  ASSERT_EQ(done.size(), 2u);
  EXPECT_EQ(done[0].result, scsi::Result::check({0x05, 0x21, 0x00}));
  EXPECT_EQ(done[1].result, scsi::Result::check({0x05, 0x21, 0x00}));
  EXPECT_TRUE(device.idle());
}

TEST(DeviceCopyReadOnly, WritesNothing) {
  FakeKernel kernel;
  FakeImage image(4096);
  Device device(ring::Ring::attach(kernel.map()).value(), image,
                {.block_size = 512, .blocks = 8, .read_only = true});
  const Piece piece(512);
  device.on_copy_op(1, piece.op(OpKind::kWrite, 1, 0), {});
  const auto done = TakenEffects{}.take<CopyOpDone>(device);
  ASSERT_EQ(done.size(), 1u);
  EXPECT_EQ(done[0].result, scsi::Result::check({0x07, 0x27, 0x00}));
}

TEST_F(DeviceCopy, ALunThatLeavesIsNoDiskAnyMore) {
  own_the_lock();
  const Piece first(512), second(512);
  begin(first.op(OpKind::kWrite, 1, 0));
  device.on_leaving(now);
  begin(second.op(OpKind::kWrite, 2, 512));
  auto done = take();
  ASSERT_EQ(done.size(), 1u);
  EXPECT_EQ(done[0].token, 2u);
  EXPECT_EQ(done[0].result, scsi::Result::check({0x0a, 0x0d, 0x02}));
  EXPECT_FALSE(device.idle()) << "what runs ends by itself";
  finish_all();
  EXPECT_EQ(ended(), (std::vector<Done>{{7, 1, 0x00}}));
  EXPECT_TRUE(device.idle());
}

TEST_F(DeviceCopy, ReportsTellWhatItIs) {
  own_the_lock();
  const Piece written(512);
  begin(written.op(OpKind::kWrite, 2, 1024));
  kernel.lun_reset();
  run();
  wait(seconds(2));
  ASSERT_FALSE(reports.empty());
  EXPECT_EQ(reports.back().kind, Report::Kind::kHangs);
  EXPECT_EQ(reports.back().command, "piece of EXTENDED COPY");
}

// A kernel without KEEP_BUF: commands read into separate buffers.
class DeviceCopyOldKernel : public DeviceCopy {
 protected:
  DeviceCopyOldKernel() : DeviceCopy({.flags = 0x7}) {}
};

TEST_F(DeviceCopyOldKernel, ReadsIntoItsOwnMemoryThereToo) {
  std::ranges::fill(image.content, uint8_t{9});
  const Piece read(512);
  begin(read.op(OpKind::kRead, 1, 0));
  finish_all();
  EXPECT_EQ(ended(), (std::vector<Done>{{7, 1, 0x00}}));
  EXPECT_EQ(*read.memory, Bytes(512, 9));
}

}  // namespace
}  // namespace tcmurbd::testing
