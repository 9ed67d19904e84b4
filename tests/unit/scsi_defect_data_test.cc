// SPDX-License-Identifier: Apache-2.0
// READ DEFECT DATA(10) and (12): valid empty lists.
#include "tests/unit/scsi_fixture.h"

namespace tcmurbd::scsi {
namespace {

using ScsiDefectData = ScsiTest;

// `request`: REQ_PLIST 10h, REQ_GLIST 08h, DEFECT LIST FORMAT.
Bytes ten(uint8_t request) { return {0x37, 0, request, 0, 0, 0, 0, 0x01, 0x00, 0}; }
Bytes twelve(uint8_t request) { return {0xb7, request, 0, 0, 0, 0, 0, 0, 0x01, 0x00, 0, 0}; }

TEST_F(ScsiDefectData, TellsEmptyListsInTheFormatAskedFor) {
  for (const uint8_t lists : {0x00, 0x08, 0x10, 0x18}) {
    for (uint8_t format = 0; format <= 5; ++format) {
      const auto request = static_cast<uint8_t>(lists | format);
      // PLISTV, GLISTV and the format; DEFECT LIST LENGTH 0.
      EXPECT_EQ(ask(ten(request)).data_in, (Bytes{0, request, 0, 0}));
      // GENERATION CODE 0 before the length.
      EXPECT_EQ(ask(twelve(request)).data_in, (Bytes{0, request, 0, 0, 0, 0, 0, 0}));
    }
  }
}

TEST_F(ScsiDefectData, RefusesFormatsThatNoStandardDefines) {
  for (const uint8_t request : {0x06, 0x07, 0x1e, 0x1f}) {
    EXPECT_EQ(ask(ten(request)).check, (Check{0x5, 0x24, 0x00}));
    EXPECT_EQ(ask(twelve(request)).check, (Check{0x5, 0x24, 0x00}));
  }
}

TEST_F(ScsiDefectData, HasNothingBehindAnyAddressDescriptorIndex) {
  Bytes cdb = twelve(0x18);
  cdb[5] = 0x20;
  EXPECT_EQ(ask(cdb).data_in, (Bytes{0, 0x18, 0, 0, 0, 0, 0, 0}));
}

}  // namespace
}  // namespace tcmurbd::scsi
