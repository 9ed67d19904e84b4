// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/scsi_fixture.h"

namespace tcmurbd::scsi {
namespace {

using enum OpKind;
using ScsiWriteSame = ScsiTest;

// LBA 00000010, 0008 blocks.
const Bytes kTen = {0x41, 0x00, 0x00, 0x00, 0x00, 0x10, 0x00, 0x00, 0x08, 0x00};
// LBA 0000000000000010, 00000008 blocks.
const Bytes kSixteen = {0x93, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
                        0x00, 0x10, 0x00, 0x00, 0x00, 0x08, 0x00, 0x00};
const Op kZeroed = {kWriteZeroes, 0x10 * 512, 8 * 512};
const Op kFilled = {kWriteSame, 0x10 * 512, 8 * 512};
const Bytes kZeroes(512);

TEST_F(ScsiWriteSame, ZeroesWhenThePatternIsZero) {
  EXPECT_THAT(send(kTen, kZeroes).ops, testing::ElementsAre(kZeroed));
  EXPECT_THAT(send(kSixteen, kZeroes).ops, testing::ElementsAre(kZeroed));
  // UNMAP=1
  EXPECT_THAT(send(with(kTen, 1, 0x08), kZeroes).ops, testing::ElementsAre(kZeroed));
  EXPECT_THAT(send(with(kSixteen, 1, 0x08), kZeroes).ops, testing::ElementsAre(kZeroed));
}

TEST_F(ScsiWriteSame, WritesAPatternThatHasOneBitWhereverItIs) {
  for (size_t at = 0; at < 512; ++at) {
    EXPECT_THAT(send(kTen, with(kZeroes, at, 0x01)).ops, testing::ElementsAre(kFilled)) << at;
  }
}

TEST_F(ScsiWriteSame, NeverUnmapsAPattern) {
  EXPECT_THAT(send(with(kTen, 1, 0x08), Bytes(512, 0xa5)).ops, testing::ElementsAre(kFilled));
  EXPECT_THAT(send(with(kSixteen, 1, 0x08), Bytes(512, 0xa5)).ops, testing::ElementsAre(kFilled));
}

TEST_F(ScsiWriteSame, ZeroesWithoutDataOut) {
  EXPECT_THAT(run(with(kSixteen, 1, 0x01), 0).ops, testing::ElementsAre(kZeroed));
  EXPECT_THAT(run(with(kSixteen, 1, 0x09), 0).ops, testing::ElementsAre(kZeroed));
  // NDOB says that there is none.
  EXPECT_EQ(send(with(kSixteen, 1, 0x01), kZeroes).check, (Check{0x5, 0x0e, 0x03}));
  // There is no NDOB in the 10-byte command.
  EXPECT_EQ(run(with(kTen, 1, 0x01), 0).check, (Check{0x5, 0x0e, 0x03}));
}

TEST_F(ScsiWriteSame, TakesJustOneBlock) {
  for (const size_t length : {size_t{0}, size_t{1}, size_t{511}, size_t{513}, size_t{4096}}) {
    EXPECT_EQ(send(kTen, Bytes(length)).check, (Check{0x5, 0x0e, 0x03})) << length;
  }
}

TEST_F(ScsiWriteSame, RefusesWhatItCannotHonour) {
  // ANCHOR, ANCHOR with UNMAP, PBDATA, LBDATA, WRPROTECT.
  for (const uint8_t flags : {0x10, 0x18, 0x04, 0x02, 0x20, 0xe0}) {
    SCOPED_TRACE(int{flags});
    EXPECT_EQ(send(with(kTen, 1, flags), kZeroes).check, (Check{0x5, 0x24, 0x00}));
    EXPECT_EQ(send(with(kSixteen, 1, flags), kZeroes).check, (Check{0x5, 0x24, 0x00}));
  }
}

TEST_F(ScsiWriteSame, RefusesNoBlocksAsVpdB0Says) {
  EXPECT_EQ(send(with(kTen, 8, 0), kZeroes).check, (Check{0x5, 0x24, 0x00}));
  EXPECT_EQ(send(with(kSixteen, 13, 0), kZeroes).check, (Check{0x5, 0x24, 0x00}));
}

TEST_F(ScsiWriteSame, EnforcesTheMaximumOfVpdB0) {
  // 64 objects of 4 MiB are 00080000 blocks.
  const Bytes most = {0x93, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x00, 0x08, 0x00, 0x00, 0, 0};
  EXPECT_THAT(send(most, kZeroes).ops, testing::ElementsAre(Op{kWriteZeroes, 0, 0x80000 * 512ull}));
  EXPECT_EQ(send(with(most, 13, 1), kZeroes).check, (Check{0x5, 0x24, 0x00}));
  EXPECT_EQ(send(with(most, 10, 0xff), kZeroes).check, (Check{0x5, 0x24, 0x00}));
}

TEST_F(ScsiWriteSame, KeepsWithinTheDisk) {
  // The last 8 blocks, and one further.
  const Bytes last = {0x41, 0x00, 0x00, 0x1f, 0xff, 0xf8, 0x00, 0x00, 0x08, 0x00};
  EXPECT_THAT(send(last, kZeroes).ops,
              testing::ElementsAre(Op{kWriteZeroes, 0x1ffff8 * 512, 4096}));
  EXPECT_EQ(send(with(last, 5, 0xf9), kZeroes).check, (Check{0x5, 0x21, 0x00}));
  Bytes far = kSixteen;
  std::fill(far.begin() + 2, far.begin() + 10, uint8_t{0xff});
  EXPECT_EQ(send(far, kZeroes).check, (Check{0x5, 0x21, 0x00}));
}

TEST_F(ScsiWriteSame, RefusesAReadOnlyDisk) {
  disk.read_only = true;
  EXPECT_EQ(send(kTen, kZeroes).check, (Check{0x7, 0x27, 0x00}));
  EXPECT_EQ(run(with(kSixteen, 1, 0x01), 0).check, (Check{0x7, 0x27, 0x00}));
}

}  // namespace
}  // namespace tcmurbd::scsi
