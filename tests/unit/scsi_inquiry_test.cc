// SPDX-License-Identifier: Apache-2.0
// INQUIRY's standard data, and the designators: VPD 80 and 83.
#include "tests/unit/scsi_fixture.h"

namespace tcmurbd::scsi {
namespace {

using ScsiInquiry = ScsiTest;

// ALLOCATION LENGTH 512.
const Bytes kStandard = {0x12, 0x00, 0x00, 0x02, 0x00, 0x00};
Bytes page(uint8_t code) { return {0x12, 0x01, code, 0x02, 0x00, 0x00}; }
Bytes text(const char* s) { return Bytes(s, s + std::char_traits<char>::length(s)); }

TEST_F(ScsiInquiry, TellsAModernDisk) {
  const Bytes expected =
      Bytes{
          0x00,        // Connected; direct access block device
          0x00,        // RMB=0
          0x06,        // SPC-4
          0x12,        // NORMACA=0, HISUP=1, RESPONSE DATA FORMAT 2
          0x5b,        // 91 bytes follow
          0x08,        // TPGS=0: no groups. 3PC=1, PROTECT=0
          0x00, 0x02,  // CMDQUE=1
      } +
      text("LIO-ORG TCMU device     0002") + Bytes(22) +  // to byte 57
      Bytes{0x00, 0xa0,                                   // SAM-5
            0x04, 0x60,                                   // SPC-4
            0x04, 0xc0} +                                 // SBC-3
      Bytes(32);
  const Outcome out = ask(kStandard);
  EXPECT_TRUE(out.good);
  EXPECT_EQ(out.data_in, expected);
  EXPECT_EQ(out.data_in.size(), 96u);
}

TEST_F(ScsiInquiry, TellsImplicitAluaOnceThereAreGroups) {
  target.groups = {{.id = 1, .relative_ports = {1}}};
  EXPECT_EQ(ask(kStandard).data_in[5], 0x18);
}

TEST_F(ScsiInquiry, ObeysTheAllocationLength) {
  const Bytes whole = ask(kStandard).data_in;
  for (const uint16_t length : {0, 1, 5, 36, 95, 96, 97, 255}) {
    EXPECT_EQ(ask({0x12, 0, 0, 0, static_cast<uint8_t>(length), 0}).data_in, cut(whole, 0, length));
  }
  EXPECT_EQ(run(kStandard, 36).data_in, cut(whole, 0, 36)) << "the fabric's own length";
}

TEST_F(ScsiInquiry, KeepsTextFieldsAsciiAndInTheirWidth) {
  target.vendor = "A long vendor";
  target.product = "Tab\there\x80";
  target.revision = "";
  EXPECT_EQ(cut(ask(kStandard).data_in, 8, 28), text("A long vTab_here_           "));
}

TEST_F(ScsiInquiry, RefusesAPageWithoutEvpd) {
  EXPECT_EQ(ask(with(kStandard, 2, 0x80)).check, (Check{0x5, 0x24, 0x00}));
  EXPECT_EQ(ask(with(kStandard, 2, 0x01)).check, (Check{0x5, 0x24, 0x00}));
  // CMDDT
  EXPECT_EQ(ask(with(kStandard, 1, 0x02)).check, (Check{0x5, 0x24, 0x00}));
  EXPECT_EQ(ask(with(kStandard, 1, 0x03)).check, (Check{0x5, 0x24, 0x00}));
}

TEST_F(ScsiInquiry, HasEmptyNamesBeforeASerialIsSet) {
  EXPECT_EQ(ask(page(0x80)).data_in, (Bytes{0x00, 0x80, 0x00, 0x00}));
  EXPECT_EQ(ask(page(0x83)).data_in, (Bytes{0x00, 0x83, 0x00, 0x00}));
}

TEST_F(ScsiInquiry, TellsTheSerialOnPage80) {
  target.unit_serial = "8d6d3a3e-5c71";
  EXPECT_EQ(ask(page(0x80)).data_in, (Bytes{0x00, 0x80, 0x00, 13}) + text("8d6d3a3e-5c71"));
  target.unit_serial = std::string(300, 'x');
  EXPECT_EQ(ask(page(0x80)).data_in.size(), 256u);
}

// The NAA designator of page 83, without its head; empty if there is none.
Bytes naa_of(const Bytes& page83) {
  for (size_t at = 4; at + 4 <= page83.size(); at += 4 + page83[at + 3]) {
    if (page83[at + 1] == 0x03) return cut(page83, at + 4, page83[at + 3]);
  }
  return {};
}

TEST_F(ScsiInquiry, NamesTheDiskOnPage83) {
  target.unit_serial = "8d6d3a3e-5c71-4f22-b9e0-0123456789ab";
  const Bytes expected =
      Bytes{0x00, 0x83, 0x00, 0x44,    // 68 bytes follow
            0x02, 0x01, 0x00, 0x2c} +  // ASCII, T10 vendor ID, 44 bytes
      text("LIO-ORG 8d6d3a3e-5c71-4f22-b9e0-0123456789ab") +
      Bytes{0x01, 0x03, 0x00, 0x10,  // binary, NAA, 16 bytes
                                     // 6001405, then the serial's first 25 hex digits
            0x60, 0x01, 0x40, 0x58, 0xd6, 0xd3, 0xa3, 0xe5,  //
            0xc7, 0x14, 0xf2, 0x2b, 0x9e, 0x00, 0x12, 0x34};
  EXPECT_EQ(ask(page(0x83)).data_in, expected);
}

TEST_F(ScsiInquiry, MakesTheNaaNameFromHexDigitsOnly) {
  struct Case {
    const char* serial;
    Bytes naa;
  };
  const Case cases[] = {
      {"ABCDEFabcdef0123456789ABCDEF",
       {0x60, 0x01, 0x40, 0x5a, 0xbc, 0xde, 0xfa, 0xbc, 0xde, 0xf0, 0x12, 0x34, 0x56, 0x78, 0x9a,
        0xbc}},
      {"x1-y2 z3", {0x60, 0x01, 0x40, 0x51, 0x23, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}},
      {"7", {0x60, 0x01, 0x40, 0x57, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}},
      {"xyz-XYZ", {}},  // Would be the same name for all such disks.
  };
  for (const Case& c : cases) {
    target.unit_serial = c.serial;
    EXPECT_EQ(naa_of(ask(page(0x83)).data_in), c.naa) << c.serial;
  }
}

TEST_F(ScsiInquiry, KeepsALongSerialInOneDesignator) {
  target.unit_serial = std::string(254, '0');
  const Bytes data = ask(page(0x83)).data_in;
  EXPECT_EQ(data[7], 0xff);
  EXPECT_EQ(data.size(), 4u + 4 + 255 + 4 + 16);
  EXPECT_EQ(naa_of(data).size(), 16u);
}

// Binary, association target port; RELATIVE TARGET PORT (4) and TARGET PORT GROUP (5).
Bytes port_designator(uint8_t type, uint8_t number) {
  return {0x01, static_cast<uint8_t>(0x10 | type), 0x00, 0x04, 0x00, 0x00, 0x00, number};
}

TEST_F(ScsiInquiry, NamesThePortOnlyWhenThereIsOnePossibility) {
  struct Case {
    const char* what;
    std::vector<PortGroup> groups;
    Bytes designators;
  };
  const Case cases[] = {
      {"no group", {}, {}},
      {"a group without ports", {{.id = 7}}, {}},
      {"one group, one port",
       {{.id = 7, .relative_ports = {3}, .enabled_ports = {3}}, {.id = 8}},
       port_designator(4, 3) + port_designator(5, 7)},
      {"one group, two ports, one enabled here",
       {{.id = 7, .relative_ports = {3, 4}, .enabled_ports = {4}}},
       port_designator(4, 4) + port_designator(5, 7)},
      {"one group, two ports, both enabled",
       {{.id = 7, .relative_ports = {3, 4}, .enabled_ports = {3, 4}}},
       port_designator(5, 7)},
      {"one group, its port without a number",
       {{.id = 7, .unnumbered_port = true}},
       port_designator(5, 7)},
      {"one group, one port, and one without a number",
       {{.id = 7, .relative_ports = {3}, .enabled_ports = {3}, .unnumbered_port = true}},
       port_designator(5, 7)},
      {"two groups, none enabled here",
       {{.id = 7, .relative_ports = {3}}, {.id = 8, .relative_ports = {4}}},
       {}},
      {"one group, not enabled here", {{.id = 7, .relative_ports = {3}}}, {}},
      {"two groups as ceph-iscsi makes them, one enabled here",
       {{.id = 1, .relative_ports = {1}}, {.id = 2, .relative_ports = {2}, .enabled_ports = {2}}},
       port_designator(4, 2) + port_designator(5, 2)},
      {"two groups, both enabled",
       {{.id = 1, .relative_ports = {1}, .enabled_ports = {1}},
        {.id = 2, .relative_ports = {2}, .enabled_ports = {2}}},
       {}},
      {"two groups, one by a port without a number",
       {{.id = 1, .relative_ports = {1}, .enabled_ports = {1}}, {.id = 2, .unnumbered_port = true}},
       {}},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.what);
    target.groups = c.groups;
    const Bytes data = ask(page(0x83)).data_in;
    EXPECT_EQ(cut(data, 4, 100), c.designators);
    EXPECT_EQ(data[3], c.designators.size());
  }
}

}  // namespace
}  // namespace tcmurbd::scsi
