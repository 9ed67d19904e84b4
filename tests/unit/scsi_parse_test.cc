// SPDX-License-Identifier: Apache-2.0
// Every operation code, every length, every bit.
#include <random>
#include <set>

#include "rbd_handler/scsi/opcode_table.h"
#include "tests/unit/scsi_fixture.h"

namespace tcmurbd::scsi {
namespace {

class ScsiParse : public ScsiTest {
 protected:
  // A data-out that suits no command in particular.
  const Bytes data_ = Bytes(512, 0x5a);

  bool answered(const Outcome& out) const {
    const int ways =
        out.good + out.check.has_value() + !out.ops.empty() + out.flush + out.copy.has_value();
    return ways == 1;
  }
};

const std::set<int> kPlainOpcodes = {0x00, 0x03, 0x08, 0x0a, 0x12, 0x15, 0x1a, 0x1b, 0x1e, 0x25,
                                     0x28, 0x2a, 0x2e, 0x2f, 0x34, 0x35, 0x37, 0x41, 0x42, 0x4d,
                                     0x55, 0x5a, 0x88, 0x89, 0x8a, 0x8b, 0x8e, 0x8f, 0x90, 0x91,
                                     0x93, 0x9c, 0xa8, 0xaa, 0xae, 0xaf, 0xb7};
const std::set<int> kServiceActionOpcodes = {0x83, 0x84, 0x9e, 0xa3};

TEST_F(ScsiParse, AnswersEveryOpcodeWithEveryServiceAction) {
  for (int opcode = 0; opcode < 256; ++opcode) {
    for (int action = 0; action < 32; ++action) {
      SCOPED_TRACE(testing::Message() << std::hex << opcode << '/' << action);
      Bytes cdb(32);
      cdb[0] = static_cast<uint8_t>(opcode);
      cdb[1] = static_cast<uint8_t>(action);
      const Outcome out = send(cdb, data_);
      ASSERT_TRUE(answered(out));
      if (kServiceActionOpcodes.contains(opcode)) {
        const bool served =
            (opcode == 0x9e && (action == 0x10 || action == 0x12)) ||
            (opcode == 0xa3 && (action == 0x0a || action == 0x0c || action == 0x0d));
        if (opcode == 0x83 && action == 0) {
          EXPECT_TRUE(out.good);  // No parameter list.
        } else if (opcode == 0x84 && (action == 0 || action == 3 || action == 4)) {
          EXPECT_EQ(out.good, action == 3);  // No copy is known.
        } else if (served) {
          EXPECT_TRUE(out.good);
        } else {
          EXPECT_EQ(out.check, (Check{0x5, 0x24, 0x00}));
        }
      } else if (kPlainOpcodes.contains(opcode)) {
        EXPECT_NE(out.check, (Check{0x5, 0x20, 0x00}));
      } else {
        EXPECT_EQ(out.check, (Check{0x5, 0x20, 0x00}));
      }
    }
  }
}

TEST_F(ScsiParse, AnswersCdbsOfEveryLength) {
  for (size_t length = 0; length <= 260; ++length) {
    for (int opcode = 0; opcode < 256; ++opcode) {
      for (const uint8_t fill : {0x00, 0xff}) {
        Bytes cdb(length, fill);
        if (length > 0) cdb[0] = static_cast<uint8_t>(opcode);
        if (length > 1 && opcode == 0xa3) cdb[1] = 0x0a;
        if (length > 1 && opcode == 0x9e) cdb[1] = 0x10;
        ASSERT_TRUE(answered(send(cdb, data_))) << opcode << ' ' << length;
      }
    }
  }
}

TEST_F(ScsiParse, RefusesACdbThatIsCutShort) {
  EXPECT_EQ(run({}, 0).check, (Check{0x5, 0x20, 0x00}));
  for (const OpcodeRow& row : opcode_table()) {
    Bytes cdb(row.cdb_length);
    cdb[0] = row.opcode;
    cdb[1] = row.service_action.value_or(0);
    for (size_t length = 1; length < cdb.size(); ++length) {
      EXPECT_EQ(run(cut(cdb, 0, length), 0).check, (Check{0x5, 0x24, 0x00})) << row.name << length;
    }
  }
}

TEST_F(ScsiParse, IgnoresBytesBeyondTheCdb) {
  // READ(10) of one block, then garbage.
  const Bytes cdb = Bytes{0x28, 0, 0, 0, 0, 7, 0, 0, 1, 0} + Bytes(22, 0xff);
  EXPECT_THAT(run(cdb, 512).ops, testing::ElementsAre(Op{OpKind::kRead, 7 * 512, 512}));
}

TEST_F(ScsiParse, RefusesNaca) {
  for (const OpcodeRow& row : opcode_table()) {
    Bytes cdb(row.cdb_length);
    cdb[0] = row.opcode;
    cdb[1] = row.service_action.value_or(0);
    cdb.back() = 0x04;
    EXPECT_EQ(send(cdb, data_).check, (Check{0x5, 0x24, 0x00})) << row.name;
  }
}

// Bits that are not in the reported usage map must be ignored.
TEST_F(ScsiParse, LooksAtNoBitOutsideOfTheUsageMap) {
  std::mt19937_64 random(20240601);
  for (const OpcodeRow& row : opcode_table()) {
    SCOPED_TRACE(row.name);
    const auto usage = cdb_usage(row);
    for (int round = 0; round < 50; ++round) {
      Bytes cdb(row.cdb_length);
      // The control byte stays 0, else all is refused for NACA.
      for (size_t i = 1; i + 1 < cdb.size(); ++i)
        cdb[i] = static_cast<uint8_t>(random() & usage[i]);
      cdb[0] = row.opcode;
      if (row.service_action) cdb[1] = (cdb[1] & 0xe0) | *row.service_action;
      const uint64_t length = round % 2 == 0 ? 512 : random() % 4096;
      const Outcome plain = run(cdb, length, Bytes(length));
      for (size_t i = 1; i < cdb.size(); ++i) {
        const uint8_t service_action_bits = i == 1 && row.service_action ? 0x1f : 0x00;
        cdb[i] |= static_cast<uint8_t>(~(usage[i] | service_action_bits));
      }
      const Outcome noisy = run(cdb, length, Bytes(length));
      EXPECT_EQ(plain.good, noisy.good);
      EXPECT_EQ(plain.check, noisy.check);
      EXPECT_EQ(plain.ops, noisy.ops);
      EXPECT_EQ(plain.flush, noisy.flush);
      EXPECT_EQ(plain.data_in, noisy.data_in);
    }
  }
}

TEST_F(ScsiParse, TellsWhichCommandsNeedWhat) {
  const auto command = [](const Bytes& cdb) { return parse(cdb).value(); };
  const Command inquiry = command({0x12, 0, 0, 0, 10, 0});
  const Command groups = command({0xa3, 0x0a, 0, 0, 0, 0, 0, 0, 0, 10, 0, 0});
  const Command request_sense = command({0x03, 0, 0, 0, 10, 0});
  const Command read = command({0x08, 0, 0, 0, 1, 0});

  EXPECT_TRUE(needs_target_facts(inquiry));
  EXPECT_TRUE(needs_target_facts(groups));
  EXPECT_FALSE(needs_target_facts(request_sense));
  EXPECT_FALSE(needs_target_facts(read));

  EXPECT_FALSE(takes_unit_attention(inquiry));
  EXPECT_TRUE(takes_unit_attention(request_sense));
  EXPECT_TRUE(takes_unit_attention(read));
  EXPECT_TRUE(is_request_sense(request_sense));
  EXPECT_FALSE(is_request_sense(read));
}

}  // namespace
}  // namespace tcmurbd::scsi
