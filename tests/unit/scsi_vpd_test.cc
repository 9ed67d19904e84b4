// SPDX-License-Identifier: Apache-2.0
// VPD 00, 86, B0, B1 and B2.
#include <set>

#include "tests/unit/scsi_fixture.h"

namespace tcmurbd::scsi {
namespace {

using ScsiVpd = ScsiTest;

Bytes page(uint8_t code) { return {0x12, 0x01, code, 0x02, 0x00, 0x00}; }

TEST_F(ScsiVpd, ListsItsPages) {
  EXPECT_EQ(ask(page(0x00)).data_in,
            (Bytes{0x00, 0x00, 0x00, 0x08, 0x00, 0x80, 0x83, 0x86, 0x8f, 0xb0, 0xb1, 0xb2}));
}

TEST_F(ScsiVpd, RefusesAllOtherPages) {
  const std::set<int> served = {0x00, 0x80, 0x83, 0x86, 0x8f, 0xb0, 0xb1, 0xb2};
  for (int code = 0; code < 256; ++code) {
    const Outcome out = ask(page(static_cast<uint8_t>(code)));
    if (served.contains(code)) {
      EXPECT_TRUE(out.good) << code;
      EXPECT_EQ(out.data_in[1], code);
      EXPECT_EQ(out.data_in[2] * 256u + out.data_in[3] + 4, out.data_in.size()) << code;
    } else {
      EXPECT_EQ(out.check, (Check{0x5, 0x24, 0x00})) << code;
    }
  }
}

TEST_F(ScsiVpd, ClaimsSimpleTasksOnly) {
  Bytes expected(64);
  expected[1] = 0x86;
  expected[3] = 0x3c;
  expected[5] = 0x01;  // SIMPSUP; GROUP_SUP=0, HEADSUP=0, ORDSUP=0. Byte 6: V_SUP=0.
  EXPECT_EQ(ask(page(0x86)).data_in, expected);
}

TEST_F(ScsiVpd, TellsBlockLimits) {
  disk.max_transfer_bytes = 524288;  // hw_max_sectors=1024, as ceph-iscsi sets it
  EXPECT_EQ(ask(page(0xb0)).data_in,
            (Bytes{
                0x00, 0xb0, 0x00, 0x3c,                          //
                0x01,                                            // WSNZ=1
                0x01,                                            // MAXIMUM COMPARE AND WRITE LENGTH
                0x00, 0x80,                                      // granularity: 64 KiB
                0x00, 0x00, 0x04, 0x00,                          // MAXIMUM TRANSFER LENGTH
                0x00, 0x00, 0x04, 0x00,                          // OPTIMAL TRANSFER LENGTH
                0x00, 0x00, 0x00, 0x00,                          // MAXIMUM PREFETCH LENGTH
                0x00, 0x08, 0x00, 0x00,                          // MAXIMUM UNMAP LBA COUNT: 256 MiB
                0x00, 0x00, 0x00, 0x40,                          // 64 descriptors
                0x00, 0x00, 0x00, 0x80,                          // OPTIMAL UNMAP GRANULARITY
                0x80, 0x00, 0x00, 0x00,                          // UGAVALID, alignment 0
                0x00, 0x00, 0x00, 0x00, 0x00, 0x08, 0x00, 0x00,  // MAXIMUM WRITE SAME LENGTH
                0x00, 0x00, 0x00, 0x20,                          // atomic writes: 16 KiB at most,
                0x00, 0x00, 0x00, 0x20,                          // aligned to 16 KiB,
                0x00, 0x00, 0x00, 0x20,                          // in steps of 16 KiB;
                0x00, 0x00, 0x00, 0x00,                          // none with a boundary
                0x00, 0x00, 0x00, 0x00,
            }));
}

TEST_F(ScsiVpd, TellsAtomicWritesWhereThereAreSome) {
  const auto limits = [this] { return cut(ask(page(0xb0)).data_in, 44, 20); };
  disk.block_size = 4096;
  EXPECT_EQ(limits(), (Bytes{0, 0, 0, 4, 0, 0, 0, 4, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0}));
  disk.stripe_bytes = 65536;
  EXPECT_EQ(limits(), (Bytes{0, 0, 0, 4, 0, 0, 0, 4, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0}));
  disk.stripe_bytes = 8192;  // No 16 KiB lie in one object.
  EXPECT_EQ(limits(), Bytes(20));
  disk.stripe_bytes = 4 << 20;
  disk.max_transfer_bytes = 8192;  // It may be no more than MAXIMUM TRANSFER LENGTH.
  EXPECT_EQ(limits(), Bytes(20));
}

TEST_F(ScsiVpd, LimitsTransfersOnlyIfTheDeviceDoes) {
  disk.max_transfer_bytes = 0;
  const Bytes data = ask(page(0xb0)).data_in;
  EXPECT_EQ(cut(data, 8, 4), (Bytes{0, 0, 0, 0}));
  EXPECT_EQ(cut(data, 12, 4), (Bytes{0x00, 0x00, 0x20, 0x00})) << "one object, 4 MiB";
}

TEST_F(ScsiVpd, CountsLimitsInTheDisksBlocks) {
  disk = {.block_size = 4096, .blocks = 1000, .object_bytes = 1 << 20};
  const Bytes data = ask(page(0xb0)).data_in;
  EXPECT_EQ(cut(data, 5, 1), (Bytes{0x01}));
  EXPECT_EQ(cut(data, 6, 2), (Bytes{0x00, 0x10})) << "64 KiB";
  EXPECT_EQ(cut(data, 20, 4), (Bytes{0x00, 0x00, 0x40, 0x00})) << "64 MiB";
  EXPECT_EQ(cut(data, 28, 4), (Bytes{0x00, 0x00, 0x00, 0x10}));
}

TEST_F(ScsiVpd, StaysSoundWithTheSmallestAndLargestObjects) {
  disk.object_bytes = 4096;
  Bytes data = ask(page(0xb0)).data_in;
  EXPECT_EQ(cut(data, 6, 2), (Bytes{0x00, 0x08}));
  EXPECT_EQ(cut(data, 20, 4), (Bytes{0x00, 0x00, 0x02, 0x00}));
  disk.object_bytes = 0x80000000;
  data = ask(page(0xb0)).data_in;
  EXPECT_EQ(cut(data, 6, 2), (Bytes{0x00, 0x80}));
  EXPECT_EQ(cut(data, 20, 4), (Bytes{0x10, 0x00, 0x00, 0x00}));
}

TEST_F(ScsiVpd, TellsWhetherTheMediumRotates) {
  Bytes expected(64);
  expected[1] = 0xb1;
  expected[3] = 0x3c;
  expected[5] = 0x01;  // MEDIUM ROTATION RATE 0001h: does not.
  EXPECT_EQ(ask(page(0xb1)).data_in, expected);
  disk.rotational = true;
  expected[5] = 0x00;  // Not reported.
  EXPECT_EQ(ask(page(0xb1)).data_in, expected);
}

TEST_F(ScsiVpd, TellsThinProvisioningAsReadCapacityDoes) {
  // LBPU, LBPWS, LBPWS10, LBPRZ 001b; thin.
  EXPECT_EQ(ask(page(0xb2)).data_in, (Bytes{0x00, 0xb2, 0x00, 0x04, 0x00, 0xe4, 0x02, 0x00}));
}

}  // namespace
}  // namespace tcmurbd::scsi
