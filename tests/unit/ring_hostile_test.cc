// SPDX-License-Identifier: Apache-2.0
// The ring's memory as an attacker or a bug could leave it, byte by byte. Offsets are literals: 128
// bytes of mailbox, a ring of 1024 bytes at 128, data from 1152 to 4096.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "rbd_handler/ring/ring.h"

namespace tcmurbd::ring {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class HostileRing : public ::testing::Test {
 protected:
  HostileRing() {
    put<uint16_t>(0, 2);     // version
    put<uint16_t>(2, 0xf);   // flags
    put<uint32_t>(4, 128);   // cmdr_off
    put<uint32_t>(8, 1024);  // cmdr_size
  }

  template <typename T>
  void put(size_t offset, T value) {
    std::memcpy(bytes_ + offset, &value, sizeof(value));
  }
  template <typename T>
  T get(size_t offset) const {
    T value;
    std::memcpy(&value, bytes_ + offset, sizeof(value));
    return value;
  }
  void head(uint32_t value) { put<uint32_t>(12, value); }
  uint32_t tail() const { return get<uint32_t>(64); }

  // A good READ (10) of 4 KiB less, in 128 bytes at `at` of the ring: one iovec, CDB behind 112
  // bytes.
  void put_command(size_t at, uint16_t id) {
    const size_t entry = 128 + at;
    put<uint32_t>(entry, 128 | 1);
    put<uint16_t>(entry + 4, id);
    put<uint32_t>(entry + 8, 1);             // iov_cnt
    put<uint64_t>(entry + 24, entry + 112);  // cdb_off
    put<uint64_t>(entry + 48, 1152);         // iov_base
    put<uint64_t>(entry + 56, 512);          // iov_len
    put<uint8_t>(entry + 112, 0x28);
    put<uint8_t>(entry + 120, 1);  // TRANSFER LENGTH: 1 block
  }

  Next next() {
    if (!ring_) ring_ = attach();
    return ring_->next(command_, tmr_);
  }
  Ring attach() { return Ring::attach(std::as_writable_bytes(std::span(bytes_))).value(); }
  std::string refused() {
    auto ring = Ring::attach(std::as_writable_bytes(std::span(bytes_)));
    return ring ? "attached" : ring.error();
  }
  // Expects the first entry to be a bad command with id 7, stepped over and answerable.
  void expect_bad() {
    ASSERT_EQ(next(), Next::kBadCommand);
    EXPECT_EQ(command_.cmd_id, 7);
    EXPECT_TRUE(command_.iov.empty());
    EXPECT_EQ(command_.cdb_length, 0);
    EXPECT_EQ(command_.data_length, 0);
    EXPECT_EQ(next(), Next::kNone);
    ring_->complete({.cmd_id = 7, .scsi_status = 2});
    EXPECT_TRUE(ring_->publish());
    EXPECT_EQ(tail(), 128);
  }
  void expect_broken(const char* why) {
    EXPECT_EQ(next(), Next::kBroken);
    EXPECT_THAT(ring_->broken_reason(), HasSubstr(why));
    EXPECT_FALSE(ring_->has_entries());
    head(0);  // Sticky, whatever comes.
    EXPECT_EQ(next(), Next::kBroken);
  }

  alignas(64) uint8_t bytes_[4096] = {};
  std::optional<Ring> ring_;
  CommandEntry command_;
  TmrEntry tmr_;
};

// --- attach ---

TEST_F(HostileRing, AttachesToAGoodOne) { EXPECT_EQ(refused(), "attached"); }

TEST_F(HostileRing, RefusesAnotherVersion) {
  put<uint16_t>(0, 1);
  EXPECT_THAT(refused(), HasSubstr("version 1"));
  put<uint16_t>(0, 3);
  EXPECT_THAT(refused(), HasSubstr("version 3"));
}

TEST_F(HostileRing, RefusesWithoutOutOfOrderCompletion) {
  put<uint16_t>(2, 0xe);
  EXPECT_THAT(refused(), HasSubstr("out-of-order"));
}

TEST_F(HostileRing, RefusesAMapThatIsTooSmall) {
  EXPECT_FALSE(Ring::attach({}).has_value());
  EXPECT_FALSE(Ring::attach(std::as_writable_bytes(std::span(bytes_).first(127))).has_value());
  EXPECT_FALSE(Ring::attach(std::as_writable_bytes(std::span(bytes_).first(1151))).has_value());
  EXPECT_TRUE(Ring::attach(std::as_writable_bytes(std::span(bytes_).first(1152))).has_value());
}

TEST_F(HostileRing, RefusesARingInsideTheMailboxOrOutsideOfTheMap) {
  put<uint32_t>(4, 64);
  EXPECT_THAT(refused(), HasSubstr("does not fit"));
  put<uint32_t>(4, 132);  // Not a multiple of 8.
  EXPECT_THAT(refused(), HasSubstr("does not fit"));
  put<uint32_t>(4, 0xfffffff8);  // The sum needs more than 32 bits.
  EXPECT_THAT(refused(), HasSubstr("does not fit"));
  put<uint32_t>(4, 128);
  put<uint32_t>(8, 0);
  EXPECT_THAT(refused(), HasSubstr("does not fit"));
  put<uint32_t>(8, 1020);
  EXPECT_THAT(refused(), HasSubstr("does not fit"));
  put<uint32_t>(8, 0xffffff88);
  EXPECT_THAT(refused(), HasSubstr("does not fit"));
}

TEST_F(HostileRing, RefusesATailThatIsNone) {
  put<uint32_t>(64, 1024);
  EXPECT_THAT(refused(), HasSubstr("tail 1024"));
  put<uint32_t>(64, 4);
  EXPECT_THAT(refused(), HasSubstr("tail 4"));
  put<uint32_t>(64, 1016);
  EXPECT_EQ(refused(), "attached");
}

// --- head and tail ---

TEST_F(HostileRing, HeadOutsideOfTheRing) {
  put_command(0, 7);
  for (const uint32_t value : {1024u, 1032u, 0xffffffffu, 0xfffffff8u}) {
    ring_ = attach();
    head(value);
    expect_broken("outside of the ring");
  }
}

TEST_F(HostileRing, HeadNotAligned) {
  put_command(0, 7);
  head(132);
  expect_broken("head 132");
}

TEST_F(HostileRing, HeadGoesBack) {
  put_command(0, 7);
  put_command(128, 8);
  head(256);
  ASSERT_EQ(next(), Next::kCommand);
  ASSERT_EQ(next(), Next::kCommand);
  head(128);
  expect_broken("went back");
}

TEST_F(HostileRing, ResetByAnotherIsNotAWrap) {
  put_command(0, 7);
  put_command(128, 8);
  head(256);
  ASSERT_EQ(next(), Next::kCommand);
  ring_->complete({.cmd_id = 7});
  ASSERT_TRUE(ring_->publish());
  ASSERT_EQ(next(), Next::kCommand);
  // Entries of an earlier round lie behind our position.
  put_command(256, 9);
  head(0);
  put<uint32_t>(64, 0);
  ring_->complete({.cmd_id = 8});
  EXPECT_FALSE(ring_->publish());
  EXPECT_EQ(tail(), 0);
  expect_broken("reset");
}

TEST_F(HostileRing, ResetBeforeAnythingWasPublished) {
  put_command(0, 7);
  head(128);
  ASSERT_EQ(next(), Next::kCommand);
  head(0);  // The tail was and is 0.
  ring_->complete({.cmd_id = 7});
  EXPECT_FALSE(ring_->publish());
  EXPECT_EQ(tail(), 0);
  expect_broken("went back");
}

// --- entries that can't be followed ---

TEST_F(HostileRing, LengthZero) {
  put<uint32_t>(128, 0 | 1);
  head(128);
  expect_broken("claims 0 bytes");
}

TEST_F(HostileRing, PadOfLengthZero) {
  head(128);
  expect_broken("claims 0 bytes");
}

TEST_F(HostileRing, LengthBeyondTheHead) {
  put_command(0, 7);
  head(120);
  expect_broken("claims 128 bytes of 120");
}

TEST_F(HostileRing, LengthBeyondTheRingsEnd) {
  put<uint32_t>(64, 960);
  put<uint32_t>(128 + 960, 128 | 1);
  head(64);
  expect_broken("claims 128 bytes of 64");
}

TEST_F(HostileRing, LengthOf4GiB) {
  put<uint32_t>(128, 0xfffffff8 | 1);
  head(1016);
  expect_broken("claims 4294967288 bytes");
}

TEST_F(HostileRing, CommandTooShortForItsAnswer) {
  put_command(0, 7);
  put<uint32_t>(128, 104 | 1);
  head(256);
  expect_broken("has 104 bytes");
}

TEST_F(HostileRing, TmrShorterThanItsHeader) {
  put<uint32_t>(128, 24 | 2);
  head(24);
  expect_broken("a TMR entry of 24 bytes");
}

TEST_F(HostileRing, TmrClaimsMoreIdsThanItHas) {
  put<uint32_t>(128, 40 | 2);
  put<uint32_t>(140, 5);
  head(40);
  expect_broken("claims 5 commands");
  ring_ = attach();
  put<uint32_t>(140, 0x80000010);  // Times 2 is 32 in 32 bits.
  head(40);
  expect_broken("claims 2147483664 commands");
}

TEST_F(HostileRing, TmrWithAsManyIdsAsFit) {
  put<uint32_t>(128, 40 | 2);
  put<uint8_t>(136, 128);
  put<uint32_t>(140, 4);
  put<uint64_t>(160, 0x0004000300020001);
  head(40);
  ASSERT_EQ(next(), Next::kTmr);
  EXPECT_EQ(tmr_.type, 128);
  EXPECT_THAT(tmr_.cmd_ids, ElementsAre(1, 2, 3, 4));
}

// The kernel may have reset it: with an unexpected tail it would loop forever.
TEST_F(HostileRing, NothingIsPublishedOnceItIsBroken) {
  put_command(0, 7);
  head(256);  // A PAD of length 0 at 128.
  ASSERT_EQ(next(), Next::kCommand);
  EXPECT_EQ(next(), Next::kBroken);
  ring_->complete({.cmd_id = 7});
  EXPECT_FALSE(ring_->publish());
  EXPECT_EQ(tail(), 0);
  EXPECT_EQ(next(), Next::kBroken);
}

// --- bad commands that are stepped over ---

TEST_F(HostileRing, IovCountBeyondTheEntry) {
  put_command(0, 7);
  put<uint32_t>(136, 6);  // 48 + 6 * 16 = 144 > 128
  head(128);
  expect_bad();
}

TEST_F(HostileRing, IovCountThatOverflows32Bits) {
  put_command(0, 7);
  put<uint32_t>(136, 0x10000001);  // Times 16 is 16 in 32 bits.
  head(128);
  expect_bad();
}

TEST_F(HostileRing, IovCountOfAllOnes) {
  put_command(0, 7);
  put<uint32_t>(136, 0xffffffff);
  head(128);
  expect_bad();
}

TEST_F(HostileRing, CdbBehindTheMap) {
  put_command(0, 7);
  for (const uint64_t offset : {uint64_t{4096}, uint64_t{1} << 40, ~uint64_t{0}, ~uint64_t{7}}) {
    put<uint64_t>(152, offset);
    ring_ = attach();
    head(128);
    put<uint32_t>(64, 0);
    expect_bad();
    put<uint32_t>(64, 0);
  }
}

TEST_F(HostileRing, CdbInTheMailboxOrInAnotherEntry) {
  for (const uint64_t offset :
       {uint64_t{0}, uint64_t{120}, uint64_t{128}, uint64_t{184}, uint64_t{256}, uint64_t{1152}}) {
    put<uint32_t>(64, 0);
    put_command(0, 7);
    put<uint64_t>(152, offset);
    ring_ = attach();
    head(128);
    expect_bad();
  }
}

TEST_F(HostileRing, CdbCutOffByTheEntrysEnd) {
  put_command(0, 7);
  put<uint64_t>(152, 128 + 119);  // 9 bytes are left for READ (10).
  put<uint8_t>(128 + 119, 0x28);
  head(128);
  expect_bad();
}

TEST_F(HostileRing, CdbOfVariableLengthCutOff) {
  put_command(0, 7);
  put<uint8_t>(240, 0x7f);
  put<uint8_t>(247, 0x18);  // 32 bytes, 16 are there.
  head(128);
  expect_bad();
}

TEST_F(HostileRing, DataInTheMailboxOrTheRing) {
  for (const uint64_t offset : {uint64_t{0}, uint64_t{64}, uint64_t{128}, uint64_t{1151}}) {
    put<uint32_t>(64, 0);
    put_command(0, 7);
    put<uint64_t>(176, offset);
    ring_ = attach();
    head(128);
    expect_bad();
  }
}

TEST_F(HostileRing, DataOutsideOfTheMap) {
  struct Case {
    uint64_t offset;
    uint64_t length;
  };
  for (const Case& bad :
       {Case{3585, 512}, Case{4096, 1}, Case{4097, 0}, Case{1152, 2945}, Case{1152, ~uint64_t{0}},
        Case{~uint64_t{0}, 512}, Case{~uint64_t{511}, 512}, Case{1152, ~uint64_t{1151}}}) {
    put<uint32_t>(64, 0);
    put_command(0, 7);
    put<uint64_t>(176, bad.offset);
    put<uint64_t>(184, bad.length);
    ring_ = attach();
    head(128);
    expect_bad();
  }
}

TEST_F(HostileRing, PiecesThatAreMoreThanTheDataArea) {
  put_command(0, 7);
  put<uint32_t>(136, 2);
  put<uint64_t>(184, 2944);  // All of it,
  put<uint64_t>(192, 1152);
  put<uint64_t>(200, 1);  // and a byte of it again.
  head(128);
  expect_bad();
}

TEST_F(HostileRing, DataUpToTheMapsEndIsGood) {
  put_command(0, 7);
  put<uint32_t>(136, 3);
  put<uint64_t>(176, 3584);
  put<uint64_t>(184, 512);
  put<uint64_t>(192, 4096);  // Empty, at the very end: left out.
  put<uint64_t>(200, 0);
  put<uint64_t>(208, 1152);
  put<uint64_t>(216, 2432);
  head(128);
  ASSERT_EQ(next(), Next::kCommand);
  EXPECT_EQ(command_.data_length, 2944);
  ASSERT_EQ(command_.iov.size(), 2);
  EXPECT_EQ(command_.iov[0].iov_base, bytes_ + 3584);
  EXPECT_EQ(command_.iov[1].iov_base, bytes_ + 1152);
  EXPECT_EQ(command_.iov[1].iov_len, 2432);
}

TEST_F(HostileRing, BidirectionalOrProtectedIsRefused) {
  put_command(0, 7);
  put<uint32_t>(140, 1);  // iov_bidi_cnt
  head(128);
  expect_bad();
  put<uint32_t>(64, 0);
  put_command(0, 7);
  put<uint32_t>(140, 0);
  put<uint32_t>(144, 1);  // iov_dif_cnt
  ring_ = attach();
  expect_bad();
}

TEST_F(HostileRing, ABadCommandDoesNotHideTheNext) {
  put_command(0, 7);
  put<uint64_t>(176, 0);
  put_command(128, 8);
  head(256);
  ASSERT_EQ(next(), Next::kBadCommand);
  ASSERT_EQ(next(), Next::kCommand);
  EXPECT_EQ(command_.cmd_id, 8);
  EXPECT_THAT(command_.cdb_bytes(), ElementsAre(0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0));
  EXPECT_EQ(command_.data_length, 512);
}

// Random bytes: no crash, and every result satisfies its contract. ASan checks the bounds.
TEST_F(HostileRing, RandomBytes) {
  uint64_t state = ::testing::UnitTest::GetInstance()->random_seed() + 88172645463325252u;
  const auto random = [&] {
    state ^= state << 13;
    state ^= state >> 7;
    return state ^= state << 17;
  };
  RecordProperty("seed", ::testing::UnitTest::GetInstance()->random_seed());
  for (int round = 0; round < 20000; ++round) {
    for (size_t i = 128; i < 1152; i += 8) put<uint64_t>(i, random() & random());
    put_command(0, 7);
    // A few fields of the first entry at random, so that decoding gets deep.
    for (int i = 0; i < 2; ++i) put<uint32_t>(128 + random() % 32 * 4, random() % 300);
    put<uint32_t>(128, random() % 256);
    put<uint32_t>(64, 0);
    head(random() % 130 * 8);
    ring_ = attach();
    for (int i = 0; i < 200; ++i) {
      const Next found = next();
      if (found == Next::kNone || found == Next::kBroken) break;
      if (found != Next::kCommand) continue;
      ASSERT_GT(command_.cdb_length, 0);
      for (const iovec& piece : command_.iov) {
        const auto* base = static_cast<const uint8_t*>(piece.iov_base);
        ASSERT_TRUE(base >= bytes_ + 1152 && piece.iov_len <= size_t(bytes_ + 4096 - base));
      }
    }
    while (ring_->commands_open() > 0) ring_->complete({.cmd_id = 1});
    ring_->publish();
    EXPECT_LT(tail(), 1024);
  }
}

}  // namespace
}  // namespace tcmurbd::ring
