// SPDX-License-Identifier: Apache-2.0
// LOG SENSE: every page as bytes.
#include "tests/unit/scsi_fixture.h"

namespace tcmurbd::scsi {
namespace {

class ScsiLog : public ScsiTest {
 protected:
  ScsiLog() {
    counters = {.reads = 0x0102,
                .writes = 0x0304,
                .read_bytes = 0x123400,
                .write_bytes = 0x567800,
                .read_errors = 5,
                .write_errors = 6};
  }
};

// PC=01b: cumulative values; ALLOCATION LENGTH 4096.
Bytes page(uint8_t code, uint8_t subpage = 0, uint16_t pointer = 0) {
  return {0x4d,
          0x00,
          static_cast<uint8_t>(0x40 | code),
          subpage,
          0,
          static_cast<uint8_t>(pointer >> 8),
          static_cast<uint8_t>(pointer),
          0x10,
          0x00,
          0};
}

TEST_F(ScsiLog, ListsItsPages) {
  EXPECT_EQ(ask(page(0x00)).data_in, (Bytes{0x00, 0x00, 0, 5, 0x00, 0x02, 0x03, 0x19, 0x2f}));
  // SPF=1; page and subpage.
  EXPECT_EQ(ask(page(0x00, 0xff)).data_in, (Bytes{0x40, 0xff, 0, 12, 0x00, 0x00, 0x00, 0xff,  //
                                                  0x02, 0x00, 0x03, 0x00, 0x19, 0x00, 0x2f, 0x00}));
  // Whatever PC is: a list has no other values.
  for (const uint8_t control : {0x00, 0x40, 0x80, 0xc0})
    EXPECT_EQ(ask(with(page(0x00), 2, control)).data_in, ask(page(0x00)).data_in);
}

TEST_F(ScsiLog, ServesJustThePagesThatItLists) {
  const Bytes listed = cut(ask(page(0x00)).data_in, 4, 64);
  for (uint8_t code = 0; code < 0x40; ++code) {
    const bool served = std::ranges::find(listed, code) != listed.end();
    EXPECT_EQ(ask(page(code)).good, served) << int{code};
    for (const uint8_t subpage : {0x01, 0x7f, 0xfe, 0xff}) {
      if (code == 0x00 && subpage == 0xff) continue;
      EXPECT_EQ(ask(page(code, subpage)).check, (Check{0x5, 0x24, 0x00})) << int{code};
    }
  }
}

TEST_F(ScsiLog, TellsErrorsAndBytes) {
  // DS=1. Total bytes processed, total uncorrected errors; TSD=1, eight bytes each.
  EXPECT_EQ(ask(page(0x02)).data_in, (Bytes{0x82, 0x00, 0,    24, 0x00, 0x05, 0x20, 8,     //
                                            0,    0,    0,    0,  0,    0x56, 0x78, 0x00,  //
                                            0x00, 0x06, 0x20, 8,  0,    0,    0,    0,     //
                                            0,    0,    0,    6}));
  EXPECT_EQ(ask(page(0x03)).data_in, (Bytes{0x83, 0x00, 0,    24, 0x00, 0x05, 0x20, 8,     //
                                            0,    0,    0,    0,  0,    0x12, 0x34, 0x00,  //
                                            0x00, 0x06, 0x20, 8,  0,    0,    0,    0,     //
                                            0,    0,    0,    5}));
}

TEST_F(ScsiLog, TellsStatisticsInBlocks) {
  const Bytes commands = {0x99, 0x00, 0, 92, 0x00, 0x01, 0x23, 64,  //
                          0,    0,    0, 0,  0,    0,    0x01, 0x02, 0, 0, 0, 0, 0, 0, 0x03, 0x04};
  const Bytes times = {0x00, 0x02, 0x23, 8, 0, 0, 0, 0, 0, 0, 0, 0,  // idle
                       0x00, 0x03, 0x23, 8, 0, 0, 0, 0, 0, 0, 0, 0};
  const Bytes blocks = {0, 0, 0, 0, 0, 0, 0x2b, 0x3c, 0, 0, 0, 0, 0, 0, 0x09, 0x1a};
  EXPECT_EQ(ask(page(0x19)).data_in, commands + blocks + Bytes(32) + times);
  disk.block_size = 4096;
  const Bytes large = {0, 0, 0, 0, 0, 0, 0x05, 0x67, 0, 0, 0, 0, 0, 0, 0x01, 0x23};
  EXPECT_EQ(ask(page(0x19)).data_in, commands + large + Bytes(32) + times);
}

TEST_F(ScsiLog, HasNoExceptionAndNoTemperature) {
  EXPECT_EQ(ask(page(0x2f)).data_in,
            (Bytes{0xaf, 0x00, 0, 8, 0x00, 0x00, 0x23, 4, 0x00, 0x00, 0xff, 0xff}));
}

TEST_F(ScsiLog, BeginsAtTheParameterPointer) {
  EXPECT_EQ(ask(page(0x02, 0, 5)).data_in, ask(page(0x02)).data_in);
  EXPECT_EQ(ask(page(0x02, 0, 6)).data_in,
            (Bytes{0x82, 0x00, 0, 12, 0x00, 0x06, 0x20, 8, 0, 0, 0, 0, 0, 0, 0, 6}));
  for (const Bytes& beyond : {page(0x02, 0, 7), page(0x19, 0, 4), page(0x2f, 0, 1),
                              page(0x00, 0, 1), page(0x00, 0xff, 1), page(0x02, 0, 0xffff)}) {
    const Outcome out = ask(beyond);
    EXPECT_EQ(out.check, (Check{0x5, 0x24, 0x00}));
    EXPECT_TRUE(out.data_in.empty());
  }
}

TEST_F(ScsiLog, RefusesWhatItDoesNotKeep) {
  for (const uint8_t code : {0x02, 0x03, 0x19, 0x2f}) {
    for (const uint8_t control : {0x00, 0x80, 0xc0}) {  // Thresholds and defaults.
      EXPECT_EQ(ask(with(page(code), 2, control | code)).check, (Check{0x5, 0x24, 0x00}));
    }
    EXPECT_EQ(ask(with(page(code), 1, 0x01)).check, (Check{0x5, 0x24, 0x00})) << "SP";
    EXPECT_EQ(ask(with(page(code), 1, 0x02)).check, (Check{0x5, 0x24, 0x00})) << "PPC";
  }
  EXPECT_EQ(ask({0x4c, 0, 0x40, 0, 0, 0, 0, 0, 0, 0}).check, (Check{0x5, 0x20, 0x00}))
      << "LOG SELECT";
}

}  // namespace
}  // namespace tcmurbd::scsi
