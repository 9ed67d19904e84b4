// SPDX-License-Identifier: Apache-2.0
// The commands of an ESXi host that detects a disk and probes the VAAI primitives, with the exact
// answers of a gateway configured by ceph-iscsi: two port groups, this gateway's one active.
#include <algorithm>
#include <string_view>

#include "tests/unit/device_fixture.h"

namespace tcmurbd::testing {
namespace {

// One command of the sequence, and all of its answer.
struct Step {
  const char* what;
  Bytes cdb;
  uint32_t expects;  // Bytes of data that the host has room for.
  Bytes answer;      // Of a good one.
  Expected refusal{};
};

constexpr Expected kInvalidOperationCode{0x02, 0x5, 0x20, 0x00};
constexpr Expected kInvalidField{0x02, 0x5, 0x24, 0x00};

Bytes operator+(Bytes a, const Bytes& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}
Bytes text(std::string_view s) { return {s.begin(), s.end()}; }

class EsxiProbe : public ::testing::Test {
 protected:
  EsxiProbe() : lun(4096) {
    facts_.unit_serial = "8d6d3a3e-5c71-4f22-b9e0-0123456789ab";
    facts_.groups = {{.id = 1,
                      .access_state = 0x0,
                      .supported_states = 0x0f,
                      .relative_ports = {1},
                      .enabled_ports = {1},
                      .implicit_transition_seconds = 45},
                     {.id = 2,
                      .access_state = 0x1,
                      .supported_states = 0x0f,
                      .relative_ports = {2},
                      .implicit_transition_seconds = 45}};
  }

  uint64_t send(FakeCommand command) {
    const uint64_t tag = lun.send(std::move(command));
    if (lun.effects.take_fetch(lun.device)) lun.device.on_target_facts(facts_, lun.now);
    lun.ring();
    lun.finish_all();
    return tag;
  }

  void play(const std::vector<Step>& steps) {
    for (const Step& step : steps) {
      SCOPED_TRACE(step.what);
      const uint64_t tag = send({.cdb = step.cdb, .data_in_bytes = step.expects});
      if (step.refusal.status != 0x00) {
        lun.expect(tag, step.refusal);
      } else {
        EXPECT_EQ(lun.data_of(tag), step.answer);
      }
    }
  }

  DeviceFixture lun;  // 2 MiB

 private:
  scsi::TargetFacts facts_;
};

Bytes page(uint8_t code) { return {0x12, 0x01, code, 0x00, 0xff, 0x00}; }

TEST_F(EsxiProbe, KnowsTheDisk) {
  play({
      {"TEST UNIT READY", {0x00, 0, 0, 0, 0, 0}, 0, {}},
      {"INQUIRY",
       {0x12, 0, 0, 0, 36, 0},
       36,
       // SPC-4; TPGS implicit, 3PC=1; CMDQUE.
       Bytes{0x00, 0x00, 0x06, 0x12, 0x5b, 0x18, 0x00, 0x02} +
           text("LIO-ORG TCMU device     0002")},
      {"the pages",
       page(0x00),
       255,
       {0, 0x00, 0, 8, 0x00, 0x80, 0x83, 0x86, 0x8f, 0xb0, 0xb1, 0xb2}},
      {"the serial", page(0x80), 255,
       Bytes{0, 0x80, 0, 36} + text("8d6d3a3e-5c71-4f22-b9e0-0123456789ab")},
      {"the names", page(0x83), 255,
       Bytes{0, 0x83, 0, 84, 0x02, 0x01, 0, 44} +
           text("LIO-ORG 8d6d3a3e-5c71-4f22-b9e0-0123456789ab") +
           Bytes{0x01, 0x03, 0,    16,                            // naa.6001405...
                 0x60, 0x01, 0x40, 0x58, 0xd6, 0xd3, 0xa3, 0xe5,  //
                 0xc7, 0x14, 0xf2, 0x2b, 0x9e, 0x00, 0x12, 0x34,  //
                 0x01, 0x14, 0,    4,    0,    0,    0,    1,     // relative port 1
                 0x01, 0x15, 0,    4,    0,    0,    0,    1}},   // port group 1
      {"what the unit supports", page(0x86), 255, Bytes{0, 0x86, 0, 0x3c, 0x00, 0x01} + Bytes(58)},
      {"a rotation rate", page(0xb1), 255, Bytes{0, 0xb1, 0, 0x3c, 0x00, 0x01} + Bytes(58)},
      {"a vendor's page", page(0xc0), 255, {}, kInvalidField},
      {"a vendor's page", page(0xdf), 255, {}, kInvalidField},
      {"READ CAPACITY(10)",
       {0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0},
       8,
       {0x00, 0x00, 0x0f, 0xff, 0x00, 0x00, 0x02, 0x00}},
      // 512 bytes, physically too; LBPME and LBPRZ.
      {"READ CAPACITY(16)",
       {0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0},
       32,
       Bytes{0, 0, 0, 0, 0x00, 0x00, 0x0f, 0xff, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0xc0, 0x00} +
           Bytes(16)},
      {"the port groups",
       {0xa3, 0x0a, 0, 0, 0, 0, 0, 0, 0x02, 0x00, 0, 0},
       512,
       {0,    0,    0, 24, 0x00, 0x0f, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1,  // active/optimized
        0x01, 0x0f, 0, 2,  0,    0,    0, 1, 0, 0, 0, 2}},            // active/non-optimized
  });
}

TEST_F(EsxiProbe, KnowsItsModesAndLogs) {
  const Bytes recovery = {0x01, 0x0a, 0xc0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
  const Bytes caching = Bytes{0x08, 0x12} + Bytes(10) + Bytes{0x20} + Bytes(7);  // WCE=0
  const Bytes control = {0x0a, 0x0a, 0x02, 0x10, 0x00, 0x40, 0, 0, 0, 0, 0, 0};
  const Bytes exceptions = {0x1c, 0x0a, 0x08, 0, 0, 0, 0, 0, 0, 0, 0, 0};
  const Bytes blocks = {0x00, 0x00, 0x10, 0x00, 0, 0x00, 0x02, 0x00};
  const auto sense6 = [](uint8_t code) { return Bytes{0x1a, 0, code, 0, 0xff, 0}; };
  play({
      // WP=0, DPOFUA=1; a block descriptor.
      {"all modes", sense6(0x3f), 255,
       Bytes{67, 0, 0x10, 8} + blocks + recovery + caching + control + exceptions},
      {"caching", sense6(0x08), 255, Bytes{31, 0, 0x10, 8} + blocks + caching},
      {"control", sense6(0x0a), 255, Bytes{23, 0, 0x10, 8} + blocks + control},
      {"exceptions", sense6(0x1c), 255, Bytes{23, 0, 0x10, 8} + blocks + exceptions},
      {"exceptions, long",
       {0x5a, 0x08, 0x1c, 0, 0, 0, 0, 0, 0xff, 0},
       255,
       Bytes{0, 18, 0, 0x10, 0, 0, 0, 0} + exceptions},
      {"the health",
       {0x4d, 0, 0x6f, 0, 0, 0, 0, 0, 0xff, 0},
       255,
       {0xaf, 0, 0, 8, 0, 0, 0x23, 4, 0x00, 0x00, 0xff, 0xff}},
      {"a temperature", {0x4d, 0, 0x4d, 0, 0, 0, 0, 0, 0xff, 0}, 255, {}, kInvalidField},
      {"ATA PASS-THROUGH(16), IDENTIFY",
       {0x85, 0x08, 0x0e, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0xec, 0},
       512,
       {},
       kInvalidOperationCode},
      {"ATA PASS-THROUGH(12), SMART",
       {0xa1, 0x08, 0x0e, 0xd0, 1, 0, 0x4f, 0xc2, 0, 0xb0, 0, 0},
       512,
       {},
       kInvalidOperationCode},
  });
}

TEST_F(EsxiProbe, FindsThePrimitivesOfVaai) {
  const auto supported = [](uint8_t opcode) {
    return Bytes{0xa3, 0x0c, 0x01, opcode, 0, 0, 0, 0, 0, 0xff, 0, 0};
  };
  play({
      // ATS: one block. UNMAP: 64 descriptors, 64 objects, in steps of 64 KiB from 0; VMFS6
      // reclaims
      // nothing by itself if they were above 1 MiB. WRITE SAME: as long, not 0.
      {"the limits", page(0xb0), 255,
       Bytes{0,    0xb0, 0,    0x3c, 0x01, 0x01, 0x00, 0x80, 0x00, 0x00, 0x00, 0x00,  //
             0x00, 0x00, 0x20, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x08, 0x00, 0x00,  //
             0x00, 0x00, 0x00, 0x40, 0x00, 0x00, 0x00, 0x80, 0x80, 0x00, 0x00, 0x00,  //
             0x00, 0x00, 0x00, 0x00, 0x00, 0x08, 0x00, 0x00} +
           Bytes{0x00, 0x00, 0x00, 0x20, 0x00, 0x00, 0x00, 0x20, 0x00, 0x00, 0x00,
                 0x20} +  // atomic writes
           Bytes(8)},
      // LBPU, LBPWS, LBPWS10, LBPRZ; thin.
      {"thin provisioning", page(0xb2), 255, {0, 0xb2, 0, 4, 0x00, 0xe4, 0x02, 0x00}},
      {"COMPARE AND WRITE", supported(0x89), 255, {0,    0x03, 0,    16,   0x89, 0xf8, 0xff,
                                                   0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                                   0x00, 0x00, 0x00, 0xff, 0x00, 0x04}},
      {"WRITE SAME(16)", supported(0x93), 255, {0,    0x03, 0,    16,   0x93, 0xff, 0xff,
                                                0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                                0xff, 0xff, 0xff, 0xff, 0x00, 0x04}},
      {"UNMAP",
       supported(0x42),
       255,
       {0, 0x03, 0, 10, 0x42, 0x01, 0, 0, 0, 0, 0, 0xff, 0xff, 0x04}},
      // XCOPY: it has service actions, and is known by its limits.
      {"EXTENDED COPY", supported(0x83), 255, {}, kInvalidField},
      {"RECEIVE COPY RESULTS, OPERATING PARAMETERS",
       {0x84, 0x03, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x02, 0x00, 0, 0},
       512,
       {0, 0, 0, 0x2a, 0x01, 0, 0, 0, 0, 8, 0, 16, 0, 0,   0x02, 0xc0,  //
        2, 0, 0, 0,    0,    0, 0, 0, 0, 0, 0, 0,  0, 0,   0,    0,     //
        0, 0, 0, 8,    8,    0, 0, 0, 0, 0, 0, 2,  2, 0xe4}},
  });
}

Bytes at16(uint8_t opcode, uint32_t lba, uint32_t blocks) {
  return {opcode,
          0,
          0,
          0,
          0,
          0,
          0,
          0,
          static_cast<uint8_t>(lba >> 8),
          static_cast<uint8_t>(lba),
          0,
          0,
          static_cast<uint8_t>(blocks >> 8),
          static_cast<uint8_t>(blocks),
          0,
          0};
}

TEST_F(EsxiProbe, TestsAndSetsABlockAtOnce) {
  const Bytes free(512, 0);
  const Bytes mine(512, 0x11);
  Bytes other(512, 0x11);
  other[300] = 0x12;
  const auto set = [&](const Bytes& was, const Bytes& is) {
    return send({.cdb = at16(0x89, 7, 1), .data_out = was + is});
  };
  lun.expect(set(free, mine), {});
  // The host that lost the race gets the offset of the difference: INFORMATION, valid.
  const auto lost = lun.kernel.take_result(set(free, other));
  ASSERT_TRUE(lost);
  EXPECT_EQ(Bytes(lost->sense.begin(), lost->sense.begin() + 18),
            (Bytes{0xf0, 0, 0x0e, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x1d, 0x00, 0, 0, 0, 0}));
  const auto late = lun.kernel.take_result(set(other, free));
  ASSERT_TRUE(late);
  EXPECT_EQ(Bytes(late->sense.begin(), late->sense.begin() + 18),
            (Bytes{0xf0, 0, 0x0e, 0, 0, 0x01, 0x2c, 10, 0, 0, 0, 0, 0x1d, 0x00, 0, 0, 0, 0}));
  lun.expect(set(mine, free), {});
  EXPECT_EQ(lun.data_of(send({.cdb = at16(0x88, 7, 1), .data_in_bytes = 512})), free);
}

TEST_F(EsxiProbe, ZeroesAndReclaims) {
  std::ranges::fill(lun.image.content, uint8_t{0x33});
  const auto zeroes = [&](size_t block) {
    const auto* begin = &lun.image.content[block * 512];
    return std::all_of(begin, begin + 512, [](uint8_t byte) { return byte == 0; });
  };
  // Block zero: 1 MiB by one WRITE SAME(16) of a block of zeroes.
  lun.expect(send({.cdb = at16(0x93, 0, 2048), .data_out = Bytes(512)}), {});
  EXPECT_TRUE(zeroes(0) && zeroes(2047) && !zeroes(2048));
  // UNMAP of one granule of VMFS6, 1 MiB.
  lun.expect(send({.cdb = {0x42, 0, 0, 0, 0, 0, 0, 0, 24, 0},
                   .data_out = {0, 22, 0,    16,   0, 0, 0, 0, 0, 0, 0, 0,
                                0, 0,  0x08, 0x00, 0, 0, 8, 0, 0, 0, 0, 0}}),
             {});
  EXPECT_TRUE(zeroes(2048) && zeroes(4095));
}

}  // namespace
}  // namespace tcmurbd::testing
