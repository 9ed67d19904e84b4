// SPDX-License-Identifier: Apache-2.0
// The fenced instances of an image known to a gateway, from its own fences and the ledger.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "rbd_handler/ceph/fence_book.h"

namespace tcmurbd::ceph {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::Pair;
using testing::UnorderedElementsAre;

constexpr int64_t kNow = 1'800'000'000;
constexpr const char* kA = "10.0.0.1:0/1";
constexpr const char* kB = "10.0.0.2:0/2";

class Book : public testing::Test {
 protected:
  std::vector<std::string> read(const std::vector<LedgerPair>& pairs, int64_t now = kNow) {
    return book.stored(book.reading(), pairs, now);
  }

  FenceBook book;
};

TEST_F(Book, AFenceOfOursCountsAtOnceAndIsToBeSaved) {
  EXPECT_TRUE(book.empty(kNow));
  EXPECT_TRUE(book.add(kA, kNow));
  EXPECT_FALSE(book.add(kA, kNow));
  EXPECT_FALSE(book.empty(kNow));
  EXPECT_TRUE(book.contains(kA, kNow));
  EXPECT_THAT(book.unsaved(), ElementsAre(Pair(kA, ledger_value(kNow + kFenceSeconds))));
  book.saved(kA);
  EXPECT_THAT(book.unsaved(), IsEmpty());
  EXPECT_TRUE(book.contains(kA, kNow));
}

TEST_F(Book, AnOperatorSeesAllWithTheirCauses) {
  EXPECT_THAT(book.list(kNow), IsEmpty());
  book.add(kA, kNow, FenceReason::kHungOps);
  book.saved(kA);
  const FencedInstance ours{kA, kNow + kFenceSeconds, FenceReason::kHungOps};
  EXPECT_THAT(book.list(kNow), ElementsAre(ours));
  read({{kA, ledger_value(ours.until)}, {kB, ledger_value(kNow + 60)}});
  EXPECT_THAT(book.list(kNow), ElementsAre(ours, FencedInstance{kB, kNow + 60}));
  EXPECT_THAT(book.list(kNow + 60), ElementsAre(ours)) << "expired";
  book.remove(kA);
  book.add(kA, kNow);
  EXPECT_EQ(book.list(kNow).front().cause, FenceReason::kUnknown) << "of the earlier fence";
}

TEST_F(Book, CausesEndWithTheirEntries) {
  book.add(kA, kNow, FenceReason::kSilent);
  book.saved(kA);
  read({});  // Its owner has removed it.
  read({{kA, ledger_value(kNow + 60)}});
  EXPECT_THAT(book.list(kNow), ElementsAre(FencedInstance{kA, kNow + 60}));
}

TEST_F(Book, EachCauseHasAName) {
  EXPECT_EQ(name(FenceReason::kUnknown), "unknown");
  EXPECT_EQ(name(FenceReason::kHungOps), "hung-ops");
  EXPECT_EQ(name(FenceReason::kPredecessor), "predecessor");
  EXPECT_EQ(name(FenceReason::kLockBroken), "lock-broken");
  EXPECT_EQ(name(FenceReason::kSilent), "silent");
}

TEST_F(Book, WhatCouldNotBeSavedIsNotForgottenByARead) {
  book.add(kA, kNow);
  EXPECT_THAT(read({}), IsEmpty());
  EXPECT_TRUE(book.contains(kA, kNow));
  EXPECT_EQ(book.unsaved().size(), 1U);
}

TEST_F(Book, AReadThatBeganBeforeTheSaveTellsNothingOfIt) {
  book.add(kA, kNow);
  const uint64_t reading = book.reading();
  book.saved(kA);
  book.stored(reading, {}, kNow);
  EXPECT_TRUE(book.contains(kA, kNow));
  read({});  // A read that started after it: its owner has removed it.
  EXPECT_FALSE(book.contains(kA, kNow));
}

TEST_F(Book, AReadThatBeganBeforeARemovalDoesNotBringItBack) {
  read({{kA, ledger_value(kNow + 60)}});
  const uint64_t reading = book.reading();
  book.remove(kA);
  book.stored(reading, {{kA, ledger_value(kNow + 60)}}, kNow);
  EXPECT_FALSE(book.contains(kA, kNow));
  read({{kA, ledger_value(kNow + 60)}});  // Another gateway has added it again.
  EXPECT_TRUE(book.contains(kA, kNow));
}

TEST_F(Book, WhatIsAddedAgainAfterARemovalIsThere) {
  book.add(kA, kNow);
  book.remove(kA);
  EXPECT_FALSE(book.contains(kA, kNow));
  const uint64_t reading = book.reading();
  EXPECT_TRUE(book.add(kA, kNow));
  book.stored(reading, {}, kNow);
  EXPECT_TRUE(book.contains(kA, kNow));
  book.saved(kA);
  read({{kA, ledger_value(kNow + 60)}});
  EXPECT_TRUE(book.contains(kA, kNow));
}

TEST_F(Book, EntriesEnd) {
  book.add(kA, kNow);
  read({{kB, ledger_value(kNow + 60)}});
  EXPECT_TRUE(book.contains(kB, kNow + 59));
  EXPECT_FALSE(book.contains(kB, kNow + 60));
  EXPECT_TRUE(book.contains(kA, kNow + kFenceSeconds - 1));
  EXPECT_FALSE(book.contains(kA, kNow + kFenceSeconds));
  EXPECT_THAT(book.missing({}, kNow + kFenceSeconds), IsEmpty());
}

// It may be this gateway's clock that is wrong, and the others need the entry.
TEST_F(Book, OnlyWhatEndedLongAgoIsToBeRemoved) {
  constexpr int64_t kDay = int64_t{24} * 60 * 60;
  const std::vector<LedgerPair> pairs{{kB, ledger_value(kNow + 60)}};
  EXPECT_THAT(read(pairs, kNow + 60), IsEmpty());
  EXPECT_FALSE(book.contains(kB, kNow + 60));
  EXPECT_THAT(book.missing({}, kNow + 60), IsEmpty());
  EXPECT_THAT(read(pairs, kNow + 2 * kDay), IsEmpty());
  EXPECT_TRUE(book.empty(kNow + 2 * kDay));
  EXPECT_THAT(read(pairs, kNow + 8 * kDay), ElementsAre(kB));
}

// One reading is bounded: what has ended must not crowd out what is in effect.
TEST_F(Book, OfManyAllThatEndedAreToBeRemoved) {
  std::vector<LedgerPair> pairs;
  for (size_t i = 0; i <= kKeptMax; ++i)
    pairs.emplace_back("10.0.0.1:0/" + std::to_string(i + 1), ledger_value(kNow + 60));
  EXPECT_EQ(read(pairs, kNow + 60).size(), kKeptMax + 1);
  pairs.pop_back();
  EXPECT_THAT(read(pairs, kNow + 60), IsEmpty());
}

TEST_F(Book, EntriesEndBeforeTheBlocklistsDo) {
  EXPECT_LT(kFenceSeconds, int64_t{kBlocklistSeconds});
  read({{kA, ledger_value(kNow + 1'000'000'000)}});
  EXPECT_FALSE(book.contains(kA, kNow + kFenceSeconds)) << "another idea of the time";
}

TEST_F(Book, MissingAreThoseThatTheBlocklistHasNot) {
  book.add(kA, kNow);
  read({{kB, ledger_value(kNow + 60)}});
  EXPECT_THAT(book.missing({}, kNow), UnorderedElementsAre(kA, kB));
  EXPECT_THAT(book.missing({kA}, kNow), ElementsAre(kB));
  EXPECT_THAT(book.missing({kA, kB}, kNow), IsEmpty());
}

TEST_F(Book, WhatIsNoEntryIsToBeRemoved) {
  EXPECT_THAT(read({{"", "1 99999999999"},
                    {"10.0.0.1", "1 99999999999"},
                    {kA, ""},
                    {kB, "1 "},
                    {"10.0.0.3:0/3", "2 99999999999"},
                    {"10.0.0.4:0/4", "1 99999999999x"},
                    {"10.0.0.5:0/5", "1 99999999999999999999"},
                    {"10.0.0.6:0/6", "1 -5"}}),
              testing::SizeIs(8));
  EXPECT_TRUE(book.empty(kNow));
}

TEST_F(Book, IsBounded) {
  std::vector<LedgerPair> pairs;
  for (size_t i = 0; i < 2 * kFencedMax; ++i)
    pairs.emplace_back("10.0.0.1:0/" + std::to_string(i), ledger_value(kNow + 60));
  read(pairs);
  EXPECT_EQ(book.missing({}, kNow).size(), kFencedMax);
  EXPECT_FALSE(book.add(kB, kNow));
}

TEST_F(Book, NoAddressNoEntry) { EXPECT_FALSE(book.add("", kNow)); }

}  // namespace
}  // namespace tcmurbd::ceph
