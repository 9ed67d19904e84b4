// SPDX-License-Identifier: Apache-2.0
// REPORT SUPPORTED OPERATION CODES and REPORT TARGET PORT GROUPS.
#include <random>

#include "rbd_handler/scsi/opcode_table.h"
#include "tests/unit/scsi_fixture.h"

namespace tcmurbd::scsi {
namespace {

using ScsiOpcodes = ScsiTest;

// `options` has RCTD in bit 7; ALLOCATION LENGTH 4096.
Bytes report(uint8_t options, uint8_t opcode = 0, uint16_t service_action = 0) {
  return {0xa3,
          0x0c,
          options,
          opcode,
          static_cast<uint8_t>(service_action >> 8),
          static_cast<uint8_t>(service_action),
          0,
          0,
          0x10,
          0x00,
          0,
          0};
}

// Each served command: operation code, service action if it has one, CDB length.
struct Served {
  uint8_t opcode;
  int service_action;
  uint8_t length;
};
const Served kServed[] = {
    {0x00, -1, 6},    {0x03, -1, 6},    {0x08, -1, 6},    {0x0a, -1, 6},    {0x12, -1, 6},
    {0x15, -1, 6},    {0x1a, -1, 6},    {0x1b, -1, 6},    {0x1e, -1, 6},    {0x25, -1, 10},
    {0x28, -1, 10},   {0x2a, -1, 10},   {0x2e, -1, 10},   {0x2f, -1, 10},   {0x34, -1, 10},
    {0x35, -1, 10},   {0x37, -1, 10},   {0x41, -1, 10},   {0x42, -1, 10},   {0x4d, -1, 10},
    {0x55, -1, 10},   {0x5a, -1, 10},   {0x83, 0x00, 16}, {0x84, 0x00, 16}, {0x84, 0x03, 16},
    {0x84, 0x04, 16}, {0x88, -1, 16},   {0x89, -1, 16},   {0x8a, -1, 16},   {0x8b, -1, 16},
    {0x8e, -1, 16},   {0x8f, -1, 16},   {0x90, -1, 16},   {0x91, -1, 16},   {0x93, -1, 16},
    {0x9c, -1, 16},   {0x9e, 0x10, 16}, {0x9e, 0x12, 16}, {0xa3, 0x0a, 12}, {0xa3, 0x0c, 12},
    {0xa3, 0x0d, 12}, {0xa8, -1, 12},   {0xaa, -1, 12},   {0xae, -1, 12},   {0xaf, -1, 12},
    {0xb7, -1, 12},
};

TEST_F(ScsiOpcodes, ListsAllCommands) {
  Bytes plain, timed;
  for (const Served& s : kServed) {
    const uint8_t action = s.service_action < 0 ? 0 : static_cast<uint8_t>(s.service_action);
    const uint8_t servactv = s.service_action < 0 ? 0 : 1;
    plain = plain + Bytes{s.opcode, 0, 0, action, 0, servactv, 0, s.length};
    timed = timed +
            Bytes{s.opcode, 0, 0, action, 0, static_cast<uint8_t>(servactv | 2), 0, s.length} +
            Bytes{0x00, 0x0a, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
  }
  // Commands of 8 bytes; with timeouts 20.
  const auto length = [](size_t bytes) {
    return Bytes{0, 0, static_cast<uint8_t>(bytes >> 8), static_cast<uint8_t>(bytes)};
  };
  EXPECT_EQ(ask(report(0x00)).data_in, length(8 * std::size(kServed)) + plain);
  EXPECT_EQ(ask(report(0x80)).data_in, length(20 * std::size(kServed)) + timed);
}

TEST_F(ScsiOpcodes, TellsTheUsageOfOne) {
  // CTDP=0, SUPPORT 011b, CDB SIZE, the usage map
  EXPECT_EQ(ask(report(1, 0x28)).data_in,
            (Bytes{0, 0x03, 0, 10, 0x28, 0xf8, 0xff, 0xff, 0xff, 0xff, 0x00, 0xff, 0xff, 0x04}));
  EXPECT_EQ(ask(report(1, 0x12)).data_in,
            (Bytes{0, 0x03, 0, 6, 0x12, 0x03, 0xff, 0xff, 0xff, 0x04}));
  // COMPARE AND WRITE: three reserved bytes, then the number of blocks.
  EXPECT_EQ(ask(report(1, 0x89)).data_in,
            (Bytes{0,    0x03, 0,    16,   0x89, 0xf8, 0xff, 0xff, 0xff, 0xff,
                   0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0xff, 0x00, 0x04}));
  EXPECT_EQ(ask(report(0x81, 0x00)).data_in,
            (Bytes{0,    0x83, 0, 6, 0x00, 0, 0, 0, 0, 0x04,  //
                   0x00, 0x0a, 0, 0, 0,    0, 0, 0, 0, 0,    0, 0}));
  // The service action stands in the map.
  EXPECT_EQ(ask(report(2, 0x9e, 0x10)).data_in,
            (Bytes{0,    0x03, 0,    16,   0x9e, 0x10, 0xff, 0xff, 0xff, 0xff,
                   0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 0x04}));
  EXPECT_EQ(ask(report(2, 0xa3, 0x0a)).data_in,
            (Bytes{0, 0x03, 0, 12, 0xa3, 0xea, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x00, 0x04}));
}

TEST_F(ScsiOpcodes, TellsEveryCommandAsItsListDoes) {
  for (const Served& s : kServed) {
    SCOPED_TRACE(int{s.opcode});
    const auto action = static_cast<uint16_t>(s.service_action < 0 ? 0 : s.service_action);
    const Bytes either = ask(report(3, s.opcode, action)).data_in;
    ASSERT_EQ(either.size(), 4u + s.length);
    EXPECT_EQ(either[1], 0x03);
    EXPECT_EQ(either[3], s.length);
    EXPECT_EQ(either[4], s.opcode);
    // The wrong way to ask for it.
    const uint8_t right = s.service_action < 0 ? 1 : 2;
    EXPECT_EQ(ask(report(right, s.opcode, action)).data_in, either);
    EXPECT_EQ(ask(report(3 - right, s.opcode, action)).check, (Check{0x5, 0x24, 0x00}));
  }
}

TEST_F(ScsiOpcodes, TellsWhatIsNotSupported) {
  const Bytes no = {0, 0x01, 0, 0};
  // SANITIZE, vendor specific, PERSISTENT RESERVE IN.
  for (const uint8_t opcode : {0x48, 0xc0, 0x5e}) {
    EXPECT_EQ(ask(report(1, opcode)).data_in, no);
    EXPECT_EQ(ask(report(2, opcode, 1)).data_in, no);
    EXPECT_EQ(ask(report(3, opcode)).data_in, no);
    EXPECT_EQ(ask(report(0x83, opcode)).data_in, no);
  }
  EXPECT_EQ(ask(report(2, 0xa3, 0x0b)).data_in, no);
  EXPECT_EQ(ask(report(2, 0xa3, 0x010a)).data_in, no);
  EXPECT_EQ(ask(report(3, 0xa3, 0)).data_in, no);
  EXPECT_EQ(ask(report(3, 0x28, 1)).data_in, no);
  EXPECT_EQ(ask(report(3, 0xa4, 0x0a)).data_in, no) << "SET TARGET PORT GROUPS";
}

TEST_F(ScsiOpcodes, RefusesReservedOptions) {
  for (uint8_t options = 4; options < 8; ++options) {
    EXPECT_EQ(ask(report(options, 0x28)).check, (Check{0x5, 0x24, 0x00}));
  }
}

// Bits that are 0 in the usage map are ignored: GROUP NUMBER, DPO and reserved ones. With many
// CDBs, including refused ones, since a bit may matter only in combination.
TEST_F(ScsiOpcodes, IgnoresEveryBitThatIsNotInTheUsageMap) {
  std::mt19937 random(1);
  target.unit_serial = "8d6d3a3e";
  target.groups = {{.id = 1, .relative_ports = {1}}};
  const Bytes data(1024, 0);
  for (const Served& s : kServed) {
    const auto action = static_cast<uint16_t>(s.service_action < 0 ? 0 : s.service_action);
    const Bytes usage = cut(ask(report(3, s.opcode, action)).data_in, 4, s.length);
    for (int round = 0; round < 200; ++round) {
      Bytes cdb(s.length);
      // Few bits, so that lengths and ranges often fit.
      for (int bit = 0; bit < round % 8; ++bit) {
        const size_t at = random() % cdb.size();
        cdb[at] |= static_cast<uint8_t>((1u << random() % 8) & usage[at]);
      }
      cdb[0] = s.opcode;
      cdb[1] = static_cast<uint8_t>((cdb[1] & ~(s.service_action < 0 ? 0 : 0x1f)) | action);
      const Outcome plain = run(cdb, 512, data);
      for (size_t at = 1; at < cdb.size(); ++at) {
        const auto ignored =
            static_cast<uint8_t>(~usage[at] & (at == 1 && s.service_action >= 0 ? 0xe0 : 0xff));
        const Outcome other = run(with(cdb, at, cdb[at] | ignored), 512, data);
        ASSERT_EQ(other.good, plain.good) << int{s.opcode} << " byte " << at;
        ASSERT_EQ(other.check, plain.check) << int{s.opcode} << " byte " << at;
        ASSERT_EQ(other.ops, plain.ops) << int{s.opcode} << " byte " << at;
        ASSERT_EQ(other.flush, plain.flush) << int{s.opcode} << " byte " << at;
        ASSERT_EQ(other.data_in, plain.data_in) << int{s.opcode} << " byte " << at;
      }
    }
  }
}

TEST_F(ScsiOpcodes, TellsTheTaskManagementFunctions) {
  // ATS and LURS. Without REPD, with it (12 more bytes, no timeout is valid), and cut.
  EXPECT_EQ(ask({0xa3, 0x0d, 0x00, 0, 0, 0, 0, 0, 0, 0xff, 0, 0}).data_in, (Bytes{0x88, 0, 0, 0}));
  EXPECT_EQ(ask({0xa3, 0x0d, 0x80, 0, 0, 0, 0, 0, 0, 0xff, 0, 0}).data_in,
            (Bytes{0x88, 0, 0, 0x0c, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}));
  EXPECT_EQ(ask({0xa3, 0x0d, 0x80, 0, 0, 0, 0, 0, 0, 5, 0, 0}).data_in,
            (Bytes{0x88, 0, 0, 0x0c, 0}));
}

TEST_F(ScsiOpcodes, NamesCommandsForLogs) {
  EXPECT_EQ(command_name(Bytes{0x28}), "READ(10)");
  EXPECT_EQ(command_name(Bytes{0xa3, 0x0a}), "REPORT TARGET PORT GROUPS");
  EXPECT_EQ(command_name(Bytes{0xa3}), "unknown command");
  EXPECT_EQ(command_name(Bytes{0xff}), "unknown command");
  EXPECT_EQ(command_name({}), "unknown command");
}

class ScsiAlua : public ScsiTest {
 protected:
  ScsiAlua() {
    target.groups = {
        {.id = 1,
         .access_state = 0x0,
         .supported_states = 0x0f,
         .status_code = 0x02,
         .preferred = true,
         .relative_ports = {1, 0x102},
         .implicit_transition_seconds = 45},
        {.id = 0x1002, .access_state = 0x1, .supported_states = 0x0f, .relative_ports = {}},
    };
  }
  const Bytes cdb_ = {0xa3, 0x0a, 0, 0, 0, 0, 0, 0, 0x10, 0x00, 0, 0};
  const Bytes groups_ = {
      0x80, 0x0f, 0x00, 0x01, 0, 0x02, 0, 2,     // PREF, active/optimized; altered by ALUA
      0,    0,    0x00, 0x01, 0, 0,    1, 0x02,  // its ports
      0x01, 0x0f, 0x10, 0x02, 0, 0x00, 0, 0,     // active/non-optimized
  };
};

TEST_F(ScsiAlua, TellsGroupsAsConfigfsHasThem) {
  EXPECT_EQ(ask(cdb_).data_in, (Bytes{0, 0, 0, 24}) + groups_);
}

TEST_F(ScsiAlua, TellsTheTransitionTimeInTheExtendedHeader) {
  EXPECT_EQ(ask(with(cdb_, 1, 0x2a)).data_in, (Bytes{0, 0, 0, 28, 0x10, 45, 0, 0}) + groups_);
}

TEST_F(ScsiAlua, RefusesReservedFormats) {
  for (const uint8_t format : {0x4a, 0x6a, 0x8a, 0xea}) {
    EXPECT_EQ(ask(with(cdb_, 1, format)).check, (Check{0x5, 0x24, 0x00}));
  }
}

TEST_F(ScsiAlua, HasAnEmptyListWithoutGroups) {
  target.groups.clear();
  EXPECT_EQ(ask(cdb_).data_in, (Bytes{0, 0, 0, 0}));
}

TEST_F(ScsiAlua, KeepsALargeAnswerBounded) {
  target.groups.assign(1000, {.id = 1, .relative_ports = std::vector<uint16_t>(300)});
  const Bytes data = ask({0xa3, 0x0a, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0}).data_in;
  EXPECT_EQ(data.size(), 65536u);
  EXPECT_EQ(cut(data, 0, 4), (Bytes{0x00, 0x0f, 0xaf, 0xa0})) << "1000 * (8 + 4 * 255)";
  EXPECT_EQ(data[4 + 7], 255) << "TARGET PORT COUNT";
}

TEST_F(ScsiAlua, CutsToTheAllocationLengthButTellsTheWhole) {
  EXPECT_EQ(ask({0xa3, 0x0a, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0}).data_in, (Bytes{0, 0, 0, 24}));
}

TEST_F(ScsiAlua, RefusesToSetStates) {
  EXPECT_EQ(run({0xa4, 0x0a, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 0).check, (Check{0x5, 0x20, 0x00}));
}

}  // namespace
}  // namespace tcmurbd::scsi
