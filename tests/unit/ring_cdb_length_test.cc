// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <vector>

#include "rbd_handler/ring/cdb_length.h"

namespace tcmurbd::ring {
namespace {

// A CDB of `opcode` in `available` bytes.
size_t length_of(uint8_t opcode, size_t available) {
  std::vector<uint8_t> bytes(available, 0);
  if (available != 0) bytes[0] = opcode;
  return cdb_length(bytes);
}

TEST(CdbLength, GroupCodesOfFixedLength) {
  EXPECT_EQ(length_of(0x00, 16), 6);  // TEST UNIT READY
  EXPECT_EQ(length_of(0x1f, 16), 6);
  EXPECT_EQ(length_of(0x20, 16), 10);
  EXPECT_EQ(length_of(0x28, 16), 10);  // READ (10)
  EXPECT_EQ(length_of(0x5f, 16), 10);  // PERSISTENT RESERVE OUT
  EXPECT_EQ(length_of(0x80, 16), 16);
  EXPECT_EQ(length_of(0x88, 16), 16);  // READ (16)
  EXPECT_EQ(length_of(0x9f, 16), 16);
  EXPECT_EQ(length_of(0xa0, 16), 12);  // REPORT LUNS
  EXPECT_EQ(length_of(0xbf, 16), 12);
}

TEST(CdbLength, FixedLengthThatIsNotThere) {
  EXPECT_EQ(length_of(0x00, 6), 6);
  EXPECT_EQ(length_of(0x00, 5), 0);
  EXPECT_EQ(length_of(0x28, 9), 0);
  EXPECT_EQ(length_of(0x88, 15), 0);
  EXPECT_EQ(length_of(0xa3, 8), 0);
  EXPECT_EQ(length_of(0x00, 0), 0);
}

TEST(CdbLength, UnknownGroupsTakeWhatIsThereUpTo16) {
  for (const int opcode : {0x60, 0x7e, 0xc0, 0xdf, 0xe0, 0xff}) {
    EXPECT_EQ(length_of(static_cast<uint8_t>(opcode), 8), 8) << opcode;
    EXPECT_EQ(length_of(static_cast<uint8_t>(opcode), 16), 16) << opcode;
    EXPECT_EQ(length_of(static_cast<uint8_t>(opcode), 200), 16) << opcode;
    EXPECT_EQ(length_of(static_cast<uint8_t>(opcode), 1), 1) << opcode;
  }
}

TEST(CdbLength, EveryOpcodeHasSome) {
  for (int opcode = 0; opcode < 256; ++opcode) {
    EXPECT_GT(length_of(static_cast<uint8_t>(opcode), 16), 0) << opcode;
  }
}

TEST(CdbLength, VariableLengthIsInByte7) {
  std::vector<uint8_t> cdb(300, 0);
  cdb[0] = 0x7f;
  cdb[7] = 0x18;  // 24 additional bytes: READ (32)
  EXPECT_EQ(cdb_length(cdb), 32);
  EXPECT_EQ(cdb_length(std::span(cdb).first(32)), 32);
  EXPECT_EQ(cdb_length(std::span(cdb).first(31)), 0);
  EXPECT_EQ(cdb_length(std::span(cdb).first(7)), 0);  // Not even its length is there.
  cdb[7] = 0;
  EXPECT_EQ(cdb_length(std::span(cdb).first(8)), 8);
  cdb[7] = 0xfc;
  EXPECT_EQ(cdb_length(cdb), 260);
  cdb[7] = 0xfd;  // 261 bytes: more than a CDB can have.
  EXPECT_EQ(cdb_length(cdb), 0);
}

}  // namespace
}  // namespace tcmurbd::ring
