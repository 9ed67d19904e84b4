// SPDX-License-Identifier: Apache-2.0
// The ring together with a model of the kernel's side.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "rbd_handler/ring/ring.h"
#include "tests/support/fake_kernel.h"

namespace tcmurbd::ring {
namespace {

using tcmurbd::testing::FakeCommand;
using tcmurbd::testing::FakeKernel;
using tcmurbd::testing::FakeResult;
using ::testing::AllOf;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

const std::vector<uint8_t> kTestUnitReady = {0, 0, 0, 0, 0, 0};
const std::vector<uint8_t> kRead10 = {0x28, 0, 0, 0, 0, 5, 0, 0, 1, 0};
const std::vector<uint8_t> kWrite10 = {0x2a, 0, 0, 0, 0, 5, 0, 0, 1, 0};

class RingFlow : public ::testing::Test {
 protected:
  explicit RingFlow(FakeKernel::Options options = {})
      : kernel_(options), ring_(Ring::attach(kernel_.map()).value()) {}

  Next next() { return ring_.next(command_, tmr_); }
  uint16_t read_command() {
    EXPECT_EQ(next(), Next::kCommand);
    return command_.cmd_id;
  }
  void finish() {
    EXPECT_TRUE(ring_.publish());
    kernel_.doorbell();
    EXPECT_EQ(kernel_.broken_reason(), "");
    EXPECT_THAT(kernel_.violations(), IsEmpty());
  }

  FakeKernel kernel_;
  Ring ring_;
  CommandEntry command_;
  TmrEntry tmr_;
};

TEST_F(RingFlow, AnEmptyRing) {
  EXPECT_FALSE(ring_.has_entries());
  EXPECT_EQ(next(), Next::kNone);
  EXPECT_FALSE(ring_.publish());
  EXPECT_EQ(ring_.commands_open(), 0);
  EXPECT_TRUE(ring_.supports_read_length() && ring_.supports_tmr() && ring_.supports_keep_buffer());
}

TEST_F(RingFlow, ACommandWithoutData) {
  const uint64_t tag = kernel_.queue({.cdb = kTestUnitReady});
  EXPECT_TRUE(ring_.has_entries());
  EXPECT_EQ(read_command(), 1);
  EXPECT_THAT(command_.cdb_bytes(), ElementsAre(0, 0, 0, 0, 0, 0));
  EXPECT_THAT(command_.iov, IsEmpty());
  EXPECT_EQ(command_.data_length, 0);
  EXPECT_FALSE(ring_.has_entries());
  EXPECT_EQ(next(), Next::kNone);
  EXPECT_EQ(ring_.commands_open(), 1);
  EXPECT_FALSE(ring_.publish());
  ring_.complete({.cmd_id = 1});
  EXPECT_EQ(ring_.commands_open(), 0);
  finish();
  EXPECT_EQ(kernel_.take_result(tag)->status, 0);
  EXPECT_EQ(kernel_.head(), kernel_.tail());
}

TEST_F(RingFlow, DataOutInScatteredPieces) {
  std::vector<uint8_t> data(10000);
  for (size_t i = 0; i < data.size(); ++i) data[i] = static_cast<uint8_t>(i * 7);
  kernel_.queue({.cdb = kWrite10, .data_out = data, .scattered = true});
  read_command();
  ASSERT_THAT(command_.iov, SizeIs(3));
  EXPECT_EQ(command_.iov[0].iov_len, 4096);
  EXPECT_EQ(command_.iov[2].iov_len, 10000 - 2 * 4096);
  EXPECT_EQ(command_.data_length, 10000);
  std::vector<uint8_t> copy(10000);
  EXPECT_EQ(copy_from_iov(command_.iov, 0, copy), 10000);
  EXPECT_EQ(copy, data);
}

TEST_F(RingFlow, MoreIovecsThanFitBesideAnAnswer) {
  kernel_.queue({.cdb = kRead10, .data_in_bytes = 20 * 4096, .scattered = true});
  read_command();
  EXPECT_THAT(command_.iov, SizeIs(20));
  EXPECT_THAT(command_.cdb_bytes(), SizeIs(10));
}

TEST_F(RingFlow, DataInAndItsLength) {
  const uint64_t all = kernel_.queue({.cdb = kRead10, .data_in_bytes = 512});
  const uint64_t some = kernel_.queue({.cdb = kRead10, .data_in_bytes = 512});
  for (int i = 0; i < 2; ++i) {
    const uint16_t id = read_command();
    const std::vector<uint8_t> data(512, static_cast<uint8_t>(0x10 + id));
    copy_to_iov(command_.iov, 0, data);
    ring_.complete({.cmd_id = id, .read_length = id == 1 ? 0u : 36u});
  }
  finish();
  EXPECT_THAT(kernel_.take_result(all)->data_in, AllOf(SizeIs(512), Each(0x11)));
  EXPECT_THAT(kernel_.take_result(some)->data_in, AllOf(SizeIs(36), Each(0x12)));
}

TEST_F(RingFlow, SenseIsPaddedWithZeroes) {
  const uint64_t tag = kernel_.queue({.cdb = kRead10, .data_in_bytes = 512});
  read_command();
  const uint8_t sense[] = {0x70, 0, 3, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x11, 0, 0, 0, 0, 0};
  ring_.complete({.cmd_id = 1, .scsi_status = 2, .sense = sense});
  finish();
  const auto result = kernel_.take_result(tag);
  EXPECT_EQ(result->status, 2);
  EXPECT_EQ(result->sense[2], 3);
  EXPECT_EQ(result->sense[12], 0x11);
  EXPECT_THAT(std::span(result->sense).subspan(18), Each(0));
  EXPECT_THAT(result->data_in, IsEmpty());
}

TEST_F(RingFlow, AnAnswerTouchesNothingButItsFields) {
  kernel_.queue({.cdb = kRead10, .data_in_bytes = 512});
  read_command();
  kernel_.poke<uint8_t>(128 + 6, 0x5a);  // kflags
  const auto length_op = kernel_.peek<uint32_t>(128);
  const auto cdb = kernel_.peek<uint64_t>(128 + 112);
  const std::vector<uint8_t> sense(96, 0xee);
  ring_.complete({.cmd_id = 0x1234,
                  .scsi_status = 0x02,
                  .keep_buffer = true,
                  .read_length = 0x55,
                  .sense = sense});
  EXPECT_EQ(kernel_.peek<uint32_t>(128), length_op);
  EXPECT_EQ(kernel_.peek<uint16_t>(132), 0x1234);
  EXPECT_EQ(kernel_.peek<uint8_t>(134), 0x5a);
  EXPECT_EQ(kernel_.peek<uint8_t>(135), 0x6);  // READ_LEN | KEEP_BUF
  EXPECT_EQ(kernel_.peek<uint8_t>(136), 0x02);
  EXPECT_EQ(kernel_.peek<uint32_t>(140), 0x55);
  EXPECT_EQ(kernel_.peek<uint8_t>(144), 0xee);
  EXPECT_EQ(kernel_.peek<uint8_t>(239), 0xee);
  EXPECT_EQ(kernel_.peek<uint64_t>(240), cdb);
}

TEST_F(RingFlow, OutOfOrderUsesTheOldestSlot) {
  std::vector<uint64_t> tags;
  for (int i = 0; i < 4; ++i) tags.push_back(kernel_.queue({.cdb = kTestUnitReady}));
  for (int i = 0; i < 4; ++i) read_command();
  ring_.complete({.cmd_id = 3, .scsi_status = 0x18});
  finish();
  EXPECT_EQ(kernel_.tail(), 120);  // One slot: 112 + 8.
  EXPECT_EQ(kernel_.take_result(tags[2])->status, 0x18);
  EXPECT_FALSE(kernel_.take_result(tags[0]));
  ring_.complete({.cmd_id = 1, .scsi_status = 0x08});
  ring_.complete({.cmd_id = 4, .scsi_status = 0x28});
  EXPECT_EQ(ring_.commands_open(), 1);
  finish();
  ring_.complete({.cmd_id = 2, .scsi_status = 0x40});
  finish();
  EXPECT_EQ(kernel_.take_result(tags[0])->status, 0x08);
  EXPECT_EQ(kernel_.take_result(tags[1])->status, 0x40);
  EXPECT_EQ(kernel_.take_result(tags[3])->status, 0x28);
}

TEST_F(RingFlow, IdsAreReusedAtOnce) {
  kernel_.queue({.cdb = kTestUnitReady});
  const uint64_t slow = kernel_.queue({.cdb = kTestUnitReady});
  EXPECT_EQ(read_command(), 1);
  EXPECT_EQ(read_command(), 2);
  for (int i = 0; i < 100; ++i) {
    ring_.complete({.cmd_id = 1});
    finish();
    kernel_.queue({.cdb = kTestUnitReady});
    EXPECT_EQ(read_command(), 1);
  }
  EXPECT_FALSE(kernel_.take_result(slow));
  ring_.complete({.cmd_id = 2});
  finish();
  EXPECT_TRUE(kernel_.take_result(slow));
}

TEST_F(RingFlow, KeptBufferStaysOurs) {
  const uint64_t tag = kernel_.queue({.cdb = kRead10, .data_in_bytes = 4096});
  read_command();
  const std::vector<iovec> late = command_.iov;
  kernel_.abort(tag);
  ASSERT_EQ(next(), Next::kTmr);
  EXPECT_THAT(tmr_.cmd_ids, ElementsAre(1));
  ring_.complete({.cmd_id = 1, .scsi_status = 0x40, .keep_buffer = true});
  finish();
  EXPECT_EQ(kernel_.take_result(tag)->how, FakeResult::How::kAborted);
  EXPECT_EQ(kernel_.kept(), 1);
  kernel_.queue({.cdb = kRead10, .data_in_bytes = 4096});
  EXPECT_EQ(read_command(), 2);
  EXPECT_NE(command_.iov[0].iov_base, late[0].iov_base);
  copy_to_iov(late, 0, std::vector<uint8_t>(4096, 0x77));  // The late answer of a read.
  EXPECT_THAT(kernel_.violations(), IsEmpty());
  EXPECT_TRUE(kernel_.free_kept_buf(1));
  EXPECT_FALSE(kernel_.free_kept_buf(1));
}

TEST_F(RingFlow, TmrEntriesComeInRingOrder) {
  const uint64_t first = kernel_.queue({.cdb = kTestUnitReady});
  kernel_.queue({.cdb = kTestUnitReady});
  kernel_.abort(first);
  kernel_.lun_reset();
  EXPECT_EQ(read_command(), 1);
  EXPECT_EQ(read_command(), 2);
  ASSERT_EQ(next(), Next::kTmr);
  EXPECT_EQ(tmr_.type, 1);
  EXPECT_THAT(tmr_.cmd_ids, ElementsAre(1));
  ASSERT_EQ(next(), Next::kTmr);
  EXPECT_EQ(tmr_.type, 5);
  EXPECT_THAT(tmr_.cmd_ids, ElementsAre(2));
  EXPECT_EQ(next(), Next::kNone);
}

TEST_F(RingFlow, ALoneTmrIsPassedWithNothingCompleted) {
  kernel_.notify(5, {});
  kernel_.notify(1, {77, 78, 79});
  ASSERT_EQ(next(), Next::kTmr);
  EXPECT_THAT(tmr_.cmd_ids, IsEmpty());
  EXPECT_TRUE(ring_.publish());
  EXPECT_EQ(kernel_.tail(), 32);
  ASSERT_EQ(next(), Next::kTmr);
  EXPECT_THAT(tmr_.cmd_ids, ElementsAre(77, 78, 79));
  finish();
  EXPECT_EQ(kernel_.tail(), kernel_.head());
  EXPECT_FALSE(ring_.publish());
}

TEST_F(RingFlow, ATmrBehindAnOpenCommandWaitsForIt) {
  kernel_.queue({.cdb = kTestUnitReady});
  kernel_.notify(1, {9});
  kernel_.queue({.cdb = kTestUnitReady});
  read_command();
  ASSERT_EQ(next(), Next::kTmr);
  read_command();
  EXPECT_FALSE(ring_.publish());
  ring_.complete({.cmd_id = 2});
  finish();
  EXPECT_EQ(kernel_.tail(), 120 + 40);  // Over the TMR too, up to the open command's slot.
  ring_.complete({.cmd_id = 1});
  finish();
  EXPECT_EQ(kernel_.tail(), kernel_.head());
}

TEST_F(RingFlow, UnknownEntriesAreMarkedAndSkipped) {
  kernel_.queue_unknown(3, 8);
  kernel_.queue_unknown(7, 200);
  kernel_.queue({.cdb = kTestUnitReady});
  kernel_.queue_unknown(5, 64);
  EXPECT_EQ(read_command(), 1);
  EXPECT_EQ(next(), Next::kNone);
  EXPECT_EQ(kernel_.peek<uint8_t>(128 + 7), 0x1);
  EXPECT_TRUE(ring_.publish());
  EXPECT_EQ(kernel_.tail(), 208);
  ring_.complete({.cmd_id = 1});
  finish();
  EXPECT_EQ(kernel_.tail(), kernel_.head());
}

class RingWithoutCaps : public RingFlow {
 protected:
  RingWithoutCaps() : RingFlow({.flags = 0x1}) {}
};

TEST_F(RingWithoutCaps, ReadLengthIsNotSent) {
  EXPECT_FALSE(ring_.supports_read_length() || ring_.supports_tmr() ||
               ring_.supports_keep_buffer());
  kernel_.queue({.cdb = kRead10, .data_in_bytes = 512});
  read_command();
  ring_.complete({.cmd_id = 1, .read_length = 36});
  EXPECT_EQ(kernel_.peek<uint8_t>(135), 0);
  EXPECT_EQ(kernel_.peek<uint32_t>(140), 0);
}

TEST_F(RingWithoutCaps, MisuseIsFound) {
  EXPECT_DEATH(ring_.complete({.cmd_id = 1}), "CHECK failed");
  kernel_.queue({.cdb = kTestUnitReady});
  read_command();
  EXPECT_DEATH(ring_.complete({.cmd_id = 1, .keep_buffer = true}), "CHECK failed");
  const std::vector<uint8_t> sense(97);
  EXPECT_DEATH(ring_.complete({.cmd_id = 1, .sense = sense}), "CHECK failed");
}

TEST_F(RingFlow, ResetUnderUsIsNoticed) {
  for (int i = 0; i < 3; ++i) kernel_.queue({.cdb = kTestUnitReady});
  read_command();
  ring_.complete({.cmd_id = 1});
  finish();
  read_command();
  kernel_.reset_ring();
  kernel_.queue({.cdb = kTestUnitReady});
  EXPECT_EQ(next(), Next::kBroken);
  ring_.complete({.cmd_id = 2});
  EXPECT_FALSE(ring_.publish());
  kernel_.doorbell();
  EXPECT_FALSE(kernel_.broken());
  Ring fresh = Ring::attach(kernel_.map()).value();
  EXPECT_EQ(fresh.next(command_, tmr_), Next::kCommand);
}

// A ring of each size from one small entry to several, so that the entries' ends meet the ring's at
// every distance, PADs of every length included; at each point once with the slots freed at once,
// once with some commands open.
TEST(RingWrap, AtEveryOffset) {
  for (uint32_t bytes = 512; bytes <= 1024; bytes += 8) {
    for (const size_t open_max : {0u, 1u, 3u}) {
      FakeKernel kernel({.ring_bytes = bytes, .block_bytes = 64, .blocks = 64});
      Ring ring = Ring::attach(kernel.map()).value();
      CommandEntry command;
      TmrEntry tmr;
      std::deque<std::pair<uint16_t, uint64_t>> open;
      for (uint32_t i = 0; i < 200; ++i) {
        const uint32_t pieces = i % 5;  // 112 + 8 or 16 bytes, or 48 + 5 * 16.
        const uint64_t tag = kernel.queue({.cdb = i % 2 ? kRead10 : kTestUnitReady,
                                           .data_in_bytes = pieces * 64,
                                           .scattered = true});
        kernel.notify(1, std::vector<uint16_t>(i % 7, 9999));
        for (Next found = ring.next(command, tmr); found != Next::kNone;
             found = ring.next(command, tmr)) {
          ASSERT_NE(found, Next::kBroken) << ring.broken_reason() << " bytes " << bytes;
          ASSERT_NE(found, Next::kBadCommand);
          if (found == Next::kCommand) open.emplace_back(command.cmd_id, tag);
        }
        while (open.size() > open_max || (kernel.waiting() > 0 && !open.empty())) {
          ring.complete({.cmd_id = open.front().first});
          open.pop_front();
          ring.publish();
          kernel.doorbell();
          ASSERT_EQ(kernel.broken_reason(), "") << "bytes " << bytes;
          for (Next found = ring.next(command, tmr); found != Next::kNone;
               found = ring.next(command, tmr)) {
            ASSERT_NE(found, Next::kBroken) << ring.broken_reason();
            if (found == Next::kCommand) open.emplace_back(command.cmd_id, tag);
          }
        }
        ring.publish();
        kernel.doorbell();
      }
      ASSERT_EQ(kernel.waiting(), 0);
    }
  }
}

}  // namespace
}  // namespace tcmurbd::ring
