// SPDX-License-Identifier: Apache-2.0
#include <set>

#include "tests/unit/scsi_fixture.h"

namespace tcmurbd::scsi {
namespace {

using ScsiMode = ScsiTest;

const Bytes kRecovery = {0x01, 0x0a, 0xc0, 0, 0, 0, 0, 0, 0, 0, 0, 0};    // AWRE=1, ARRE=1
const Bytes kExceptions = {0x1c, 0x0a, 0x08, 0, 0, 0, 0, 0, 0, 0, 0, 0};  // DEXCPT=1
const Bytes kCaching = {0x08, 0x12, 0x00, 0, 0, 0, 0, 0, 0, 0, 0, 0,      // WCE=0, RCD=0
                        0x20, 0,    0,    0, 0, 0, 0, 0};                 // DRA=1
const Bytes kControl = {0x0a, 0x0a,
                        0x02,        // D_SENSE=0, GLTSD=1
                        0x10,        // unrestricted reordering
                        0x00, 0x40,  // TAS=1
                        0,    0,    0, 0, 0, 0};
const Bytes kBlocks = {0x00, 0x20, 0x00, 0x00, 0x00, 0x00, 0x02, 0x00};  // 200000h of 200h bytes

// MODE SENSE(6), ALLOCATION LENGTH 255, DBD=1.
Bytes sense6(uint8_t page, uint8_t subpage = 0) { return {0x1a, 0x08, page, subpage, 0xff, 0}; }
// MODE SENSE(10), ALLOCATION LENGTH 4096, DBD=1.
Bytes sense10(uint8_t page, uint8_t subpage = 0) {
  return {0x5a, 0x08, page, subpage, 0, 0, 0, 0x10, 0x00, 0};
}
// MODE DATA LENGTH, medium type, DPOFUA, BLOCK DESCRIPTOR LENGTH.
Bytes header6(uint8_t length, uint8_t descriptors = 0) { return {length, 0x00, 0x10, descriptors}; }

TEST_F(ScsiMode, TellsOnePageOrAll) {
  EXPECT_EQ(ask(sense6(0x08)).data_in, header6(23) + kCaching);
  EXPECT_EQ(ask(sense6(0x0a)).data_in, header6(15) + kControl);
  EXPECT_EQ(ask(sense6(0x01)).data_in, header6(15) + kRecovery);
  EXPECT_EQ(ask(sense6(0x1c)).data_in, header6(15) + kExceptions);
  const Bytes all = kRecovery + kCaching + kControl + kExceptions;
  EXPECT_EQ(ask(sense6(0x3f)).data_in, header6(59) + all);
  EXPECT_EQ(ask(sense10(0x3f)).data_in,
            (Bytes{0x00, 62, 0x00, 0x10, 0x00, 0x00, 0x00, 0x00}) + all);
}

TEST_F(ScsiMode, TellsAllSubpagesAsThePagesThemselves) {
  for (const uint8_t page : {0x01, 0x08, 0x0a, 0x1c, 0x3f}) {
    EXPECT_EQ(ask(sense6(page, 0xff)).data_in, ask(sense6(page)).data_in);
    for (const uint8_t subpage : {0x01, 0x02, 0xdf, 0xfe}) {
      EXPECT_EQ(ask(sense6(page, subpage)).check, (Check{0x5, 0x24, 0x00}));
      EXPECT_EQ(ask(sense10(page, subpage)).check, (Check{0x5, 0x24, 0x00}));
    }
  }
}

TEST_F(ScsiMode, RefusesAllOtherPages) {
  for (uint8_t page = 0; page < 0x3f; ++page) {
    if (page == 0x01 || page == 0x08 || page == 0x0a || page == 0x1c) continue;
    for (const uint8_t subpage : {0x00, 0x01, 0xff}) {
      EXPECT_EQ(ask(sense6(page, subpage)).check, (Check{0x5, 0x24, 0x00})) << int{page};
    }
  }
}

TEST_F(ScsiMode, TellsThatNothingCanBeChangedOrSaved) {
  // PC 01b: changeable, 10b: default, 11b: saved.
  EXPECT_EQ(ask(sense6(0x40 | 0x08)).data_in, (header6(23) + Bytes{0x08, 0x12} + Bytes(18)));
  EXPECT_EQ(ask(sense6(0x40 | 0x0a)).data_in, (header6(15) + Bytes{0x0a, 0x0a} + Bytes(10)));
  const Bytes masks = Bytes{0x01, 0x0a} + Bytes(10) + Bytes{0x08, 0x12} + Bytes(18) +
                      Bytes{0x0a, 0x0a} + Bytes(10) + Bytes{0x1c, 0x0a} + Bytes(10);
  EXPECT_EQ(ask(sense6(0x40 | 0x3f)).data_in, header6(59) + masks);
  EXPECT_EQ(ask(sense6(0x80 | 0x3f)).data_in, ask(sense6(0x3f)).data_in);
  for (const uint8_t page : {0x01, 0x08, 0x0a, 0x1c, 0x3f, 0x02}) {
    EXPECT_EQ(ask(sense6(0xc0 | page)).check, (Check{0x5, 0x39, 0x00}));
    EXPECT_EQ(ask(sense10(0xc0 | page)).check, (Check{0x5, 0x39, 0x00}));
  }
}

TEST_F(ScsiMode, TellsTheBlocksUnlessAskedNotTo) {
  EXPECT_EQ(ask({0x1a, 0x00, 0x0a, 0, 0xff, 0}).data_in, header6(23, 8) + kBlocks + kControl);
  EXPECT_EQ(ask({0x5a, 0x00, 0x0a, 0, 0, 0, 0, 1, 0, 0}).data_in,
            (Bytes{0x00, 26, 0x00, 0x10, 0x00, 0x00, 0x00, 0x08}) + kBlocks + kControl);
  // LLBAA=1: LONGLBA=1 and 16 bytes.
  EXPECT_EQ(
      ask({0x5a, 0x10, 0x0a, 0, 0, 0, 0, 1, 0, 0}).data_in,
      (Bytes{0x00, 34, 0x00, 0x10, 0x01, 0x00, 0x00, 0x10} +
       Bytes{0, 0, 0, 0, 0x00, 0x20, 0x00, 0x00, 0, 0, 0, 0, 0x00, 0x00, 0x02, 0x00} + kControl));
  disk.blocks = 0x123456789a;
  EXPECT_EQ(cut(ask({0x1a, 0x00, 0x0a, 0, 0xff, 0}).data_in, 4, 4),
            (Bytes{0xff, 0xff, 0xff, 0xff}));
  EXPECT_EQ(cut(ask({0x5a, 0x10, 0x0a, 0, 0, 0, 0, 1, 0, 0}).data_in, 8, 8),
            (Bytes{0, 0, 0, 0x12, 0x34, 0x56, 0x78, 0x9a}));
}

TEST_F(ScsiMode, TellsWriteProtection) {
  disk.read_only = true;
  EXPECT_EQ(ask(sense6(0x08)).data_in[2], 0x90);
  EXPECT_EQ(ask(sense10(0x08)).data_in[3], 0x90);
}

TEST_F(ScsiMode, CutsToTheAllocationLengthButTellsTheWhole) {
  EXPECT_EQ(ask({0x1a, 0x08, 0x3f, 0, 4, 0}).data_in, header6(59));
  EXPECT_EQ(ask({0x1a, 0x08, 0x3f, 0, 0, 0}).data_in, Bytes());
}

// MODE SELECT with PF=1 and a list as long as it is.
Bytes select6(const Bytes& list) {
  return {0x15, 0x10, 0, 0, static_cast<uint8_t>(list.size()), 0};
}
Bytes select10(const Bytes& list) {
  return {0x55,
          0x10,
          0,
          0,
          0,
          0,
          0,
          static_cast<uint8_t>(list.size() >> 8),
          static_cast<uint8_t>(list.size()),
          0};
}

TEST_F(ScsiMode, AcceptsWhatModeSenseTold) {
  for (const uint8_t flags : {0x00, 0x08}) {
    for (const uint8_t page : {0x01, 0x08, 0x0a, 0x1c, 0x3f}) {
      const Bytes list6 = ask({0x1a, flags, page, 0, 0xff, 0}).data_in;
      EXPECT_TRUE(send(select6(list6), list6).good);
      const Bytes list10 = ask({0x5a, flags, page, 0, 0, 0, 0, 1, 0, 0}).data_in;
      EXPECT_TRUE(send(select10(list10), list10).good);
      const Bytes long10 =
          ask({0x5a, static_cast<uint8_t>(flags | 0x10), page, 0, 0, 0, 0, 1, 0, 0}).data_in;
      EXPECT_TRUE(send(select10(long10), long10).good);
    }
  }
}

TEST_F(ScsiMode, AcceptsAListThatSaysNothing) {
  EXPECT_TRUE(run(select6({}), 0).good);
  EXPECT_TRUE(run(select10({}), 0).good);
  EXPECT_TRUE(send(select6(Bytes(4)), Bytes(4)).good);
  EXPECT_TRUE(send(select10(Bytes(8)), Bytes(8)).good);
  // NUMBER OF LOGICAL BLOCKS 0 and FFFFFFFF: as it is.
  const Bytes keep = {0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 2, 0};
  EXPECT_TRUE(send(select6(keep), keep).good);
  const Bytes all = {0, 0, 0, 8, 0xff, 0xff, 0xff, 0xff, 0, 0, 2, 0};
  EXPECT_TRUE(send(select6(all), all).good);
}

TEST_F(ScsiMode, RefusesEachOtherBitOfAPage) {
  for (const Bytes& page : {kRecovery, kCaching, kControl, kExceptions}) {
    Bytes list = Bytes(4) + page;
    for (size_t at = 0; at < page.size(); ++at) {
      for (int bit = 0; bit < 8; ++bit) {
        const auto flip = static_cast<uint8_t>(1 << bit);
        list[4 + at] ^= flip;
        const Outcome out = send(select6(list), list);
        list[4 + at] ^= flip;
        if (at == 0 && bit == 7) {
          EXPECT_TRUE(out.good) << "PS is reserved here";
        } else {
          EXPECT_EQ(out.check, (Check{0x5, 0x26, 0x00})) << at << ' ' << bit;
        }
      }
    }
  }
}

TEST_F(ScsiMode, RefusesAnotherShape) {
  const Bytes lists[] = {
      {0, 1, 0, 0},                             // medium type
      {0, 0, 0, 8, 0, 0, 0, 1, 0, 0, 2, 0},     // one block
      {0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0x10, 0},  // 4096 bytes
      {0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 2, 0},     // no descriptor has 7 bytes
      Bytes{0, 0, 0, 16} + Bytes(16),           // nor 16 here
  };
  for (const Bytes& list : lists) {
    EXPECT_EQ(send(select6(list), list).check, (Check{0x5, 0x26, 0x00}));
  }
}

TEST_F(ScsiMode, RefusesAListThatEndsInTheMiddle) {
  const Bytes list = header6(0, 8) + kBlocks + kCaching + kControl;
  const std::set<size_t> whole = {0, 12, 32, 44};
  for (size_t length = 0; length <= list.size(); ++length) {
    const Bytes shorter = cut(list, 0, length);
    const Outcome out = send(select6(shorter), shorter);
    if (whole.contains(length)) {
      EXPECT_TRUE(out.good) << length;
    } else {
      EXPECT_EQ(out.check, (Check{0x5, 0x1a, 0x00})) << length;
    }
    // The fabric brings less than the CDB says.
    if (length < list.size()) {
      EXPECT_EQ(send(select6(list), shorter).check, (Check{0x5, 0x1a, 0x00})) << length;
    }
  }
}

TEST_F(ScsiMode, SavesNothingAndTakesNoVendorsFormat) {
  EXPECT_EQ(send({0x15, 0x11, 0, 0, 4, 0}, Bytes(4)).check, (Check{0x5, 0x24, 0x00})) << "SP=1";
  EXPECT_EQ(send({0x15, 0x00, 0, 0, 4, 0}, Bytes(4)).check, (Check{0x5, 0x24, 0x00})) << "PF=0";
}

}  // namespace
}  // namespace tcmurbd::scsi
