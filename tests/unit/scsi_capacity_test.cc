// SPDX-License-Identifier: Apache-2.0
// READ CAPACITY, and the commands that report the unit's status.
#include "tests/unit/scsi_fixture.h"

namespace tcmurbd::scsi {
namespace {

using ScsiCapacity = ScsiTest;

const Bytes kTen = {0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0};
// SERVICE ACTION 10h, ALLOCATION LENGTH 32.
const Bytes kSixteen = {0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0};

TEST_F(ScsiCapacity, TellsTheLastBlock) {
  EXPECT_EQ(ask(kTen).data_in, (Bytes{0x00, 0x1f, 0xff, 0xff,     // RETURNED LBA
                                      0x00, 0x00, 0x02, 0x00}));  // 512 bytes
  EXPECT_EQ(ask(kSixteen).data_in,
            (Bytes{0x00, 0x00, 0x00, 0x00, 0x00, 0x1f, 0xff, 0xff,  // LBA
                   0x00, 0x00, 0x02, 0x00,                          // 512
                   0x00,                                            // P_TYPE, PROT_EN
                   0x00,        // P_I_EXPONENT, physical exponent
                   0xc0, 0x00,  // LBPME, LBPRZ; lowest aligned LBA
                   0,    0,    0,    0,    0,    0,    0,    0,    0, 0, 0, 0, 0, 0, 0, 0}));
}

TEST_F(ScsiCapacity, SendsLargeDisksToSixteen) {
  struct Case {
    uint64_t blocks;
    Bytes ten;
    Bytes sixteen;
  };
  const Case cases[] = {
      {1, {0, 0, 0, 0}, {0, 0, 0, 0, 0, 0, 0, 0}},
      {0xffffffff, {0xff, 0xff, 0xff, 0xfe}, {0, 0, 0, 0, 0xff, 0xff, 0xff, 0xfe}},
      {0x100000000, {0xff, 0xff, 0xff, 0xff}, {0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff}},
      {0x100000001, {0xff, 0xff, 0xff, 0xff}, {0, 0, 0, 1, 0, 0, 0, 0}},
  };
  for (const Case& c : cases) {
    disk.blocks = c.blocks;
    EXPECT_EQ(cut(ask(kTen).data_in, 0, 4), c.ten) << c.blocks;
    EXPECT_EQ(cut(ask(kSixteen).data_in, 0, 8), c.sixteen) << c.blocks;
  }
}

TEST_F(ScsiCapacity, ObeysTheAllocationLength) {
  const Bytes whole = ask(kSixteen).data_in;
  for (uint8_t length = 0; length < 40; ++length) {
    EXPECT_EQ(ask(with(kSixteen, 13, length)).data_in, cut(whole, 0, length));
  }
  EXPECT_EQ(run(kTen, 5).data_in.size(), 5u) << "the fabric's own length";
}

TEST_F(ScsiCapacity, TakesAnLbaOnlyWithPmi) {
  EXPECT_EQ(ask(with(kTen, 5, 1)).check, (Check{0x5, 0x24, 0x00}));
  EXPECT_EQ(ask(with(kSixteen, 9, 1)).check, (Check{0x5, 0x24, 0x00}));
  EXPECT_EQ(ask(with(with(kTen, 5, 1), 8, 1)).data_in, ask(kTen).data_in);
  EXPECT_EQ(ask(with(with(kSixteen, 9, 1), 14, 1)).data_in, ask(kSixteen).data_in);
  EXPECT_EQ(ask(with(with(kTen, 2, 0xff), 8, 1)).check, (Check{0x5, 0x21, 0x00}));
}

TEST_F(ScsiCapacity, IsNotReadyWithoutBlocks) {
  disk.blocks = 0;
  EXPECT_EQ(ask(kTen).check, (Check{0x2, 0x04, 0x00}));
  EXPECT_EQ(ask(kSixteen).check, (Check{0x2, 0x04, 0x00}));
}

using ScsiUnitStatus = ScsiTest;

TEST_F(ScsiUnitStatus, IsReady) { EXPECT_TRUE(run({0x00, 0, 0, 0, 0, 0}, 0).good); }

TEST_F(ScsiUnitStatus, TellsNoSenseInTheFormatAskedFor) {
  const Outcome fixed = ask({0x03, 0x00, 0, 0, 252, 0});
  EXPECT_TRUE(fixed.good);
  EXPECT_EQ(fixed.data_in,
            (Bytes{0x70, 0, 0x00, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x00, 0x00, 0, 0, 0, 0}));
  EXPECT_EQ(ask({0x03, 0x01, 0, 0, 252, 0}).data_in, (Bytes{0x72, 0x00, 0x00, 0x00, 0, 0, 0, 0}));
  EXPECT_EQ(ask({0x03, 0x00, 0, 0, 4, 0}).data_in.size(), 4u);
  EXPECT_EQ(ask({0x03, 0x00, 0, 0, 0, 0}).data_in.size(), 0u);
}

TEST_F(ScsiUnitStatus, TellsPendingSenseInTheFormatAskedFor) {
  pending_sense = Sense{0x06, 0x2a, 0x09};
  EXPECT_EQ(ask({0x03, 0x00, 0, 0, 252, 0}).data_in,
            (Bytes{0x70, 0, 0x06, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x2a, 0x09, 0, 0, 0, 0}));
  EXPECT_EQ(ask({0x03, 0x01, 0, 0, 252, 0}).data_in, (Bytes{0x72, 0x06, 0x2a, 0x09, 0, 0, 0, 0}));
}

TEST_F(ScsiUnitStatus, StartsAndNeverStops) {
  const Bytes start = {0x1b, 0x00, 0, 0, 0x01, 0};
  EXPECT_TRUE(run(start, 0).good);
  EXPECT_TRUE(run(with(start, 1, 0x01), 0).good) << "IMMED";
  // Stop, eject, load, power conditions ACTIVE to FORCE STANDBY.
  for (const uint8_t action : {0x00, 0x02, 0x03, 0x10, 0x11, 0x20, 0x30, 0x70, 0xa0, 0xb0, 0xf1}) {
    EXPECT_EQ(run(with(start, 4, action), 0).check, (Check{0x5, 0x24, 0x00})) << int{action};
  }
}

TEST_F(ScsiUnitStatus, HasAMediumThatNobodyCanRemove) {
  EXPECT_TRUE(run({0x1e, 0, 0, 0, 0x00, 0}, 0).good) << "allow";
  EXPECT_TRUE(run({0x1e, 0, 0, 0, 0x01, 0}, 0).good) << "prevent";
  for (const uint8_t obsolete : {0x02, 0x03})
    EXPECT_EQ(run({0x1e, 0, 0, 0, obsolete, 0}, 0).check, (Check{0x5, 0x24, 0x00}));
}

}  // namespace
}  // namespace tcmurbd::scsi
