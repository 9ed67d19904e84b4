// SPDX-License-Identifier: Apache-2.0
#include <cerrno>
#include <map>
#include <set>

#include "rbd_handler/scsi/sense.h"
#include "tests/unit/scsi_fixture.h"

namespace tcmurbd::scsi {
namespace {

TEST(ScsiSense, EncodesFixedFormat) {
  EXPECT_THAT(encode_fixed({0x05, 0x24, 0x00}),
              testing::ElementsAre(0x70, 0, 0x05,  // current; ILLEGAL REQUEST
                                   0, 0, 0, 0,     // INFORMATION
                                   0x0a,           // ADDITIONAL SENSE LENGTH
                                   0, 0, 0, 0,     //
                                   0x24, 0x00, 0, 0, 0, 0));
  EXPECT_THAT(encode_fixed({0x0e, 0x1d, 0x01, 0x12345678}),
              testing::ElementsAre(0xf0, 0, 0x0e,           // VALID=1
                                   0x12, 0x34, 0x56, 0x78,  //
                                   0x0a, 0, 0, 0, 0, 0x1d, 0x01, 0, 0, 0, 0));
}

TEST(ScsiSense, EncodesDescriptorFormat) {
  const auto plain = encode_descriptor({0x06, 0x2a, 0x09});
  EXPECT_EQ(Bytes(plain.bytes.begin(), plain.bytes.begin() + plain.length),
            (Bytes{0x72, 0x06, 0x2a, 0x09, 0, 0, 0, 0}));
  const auto informed = encode_descriptor({0x0e, 0x1d, 0x01, 0x12345678});
  EXPECT_EQ(Bytes(informed.bytes.begin(), informed.bytes.begin() + informed.length),
            (Bytes{0x72, 0x0e, 0x1d, 0x01, 0, 0, 0, 0x0c,  //
                   0x00, 0x0a, 0x80, 0x00, 0, 0, 0, 0,    0x12, 0x34, 0x56, 0x78}));
}

constexpr OpKind kAllKinds[] = {
    OpKind::kRead,           OpKind::kWrite,           OpKind::kWriteZeroes,
    OpKind::kWriteSame,      OpKind::kCompareAndWrite, OpKind::kBlockStatus,
    OpKind::kCompare,        OpKind::kOrWrite,         OpKind::kWriteAndRead,
    OpKind::kWriteAndCompare};

TEST(ScsiErrno, IsGoodWithoutAnError) {
  for (const OpKind kind : kAllKinds) {
    for (const int result : {0, 1, 512, INT32_MAX}) {
      EXPECT_EQ(result_from_errno(result, kind), Result::good());
    }
  }
}

TEST(ScsiErrno, EveryErrnoHasItsOutcome) {
  const std::map<int, Check> checks = {
      {-ENOSPC, {0x7, 0x27, 0x07}},    {-EDQUOT, {0x7, 0x27, 0x07}}, {-EROFS, {0x7, 0x27, 0x00}},
      {-ENOMEDIUM, {0x7, 0x27, 0x00}}, {-ENOENT, {0x2, 0x04, 0x00}}, {-ERANGE, {0x5, 0x21, 0x00}},
      {-EINVAL, {0x5, 0x24, 0x00}},
  };
  const std::set<int> busy = {-ETIMEDOUT, -ESHUTDOWN, -ENOMEM, -EAGAIN, -EBUSY};
  for (const OpKind kind : kAllKinds) {
    const bool reads =
        kind == OpKind::kRead || kind == OpKind::kBlockStatus || kind == OpKind::kCompare;
    const Check otherwise = reads ? Check{0x3, 0x11, 0x00} : Check{0x3, 0x0c, 0x00};
    for (int error = -1; error > -5000; --error) {
      const Result result = result_from_errno(error, kind);
      SCOPED_TRACE(error);
      if (busy.contains(error) || (error == -EROFS && reads)) {
        EXPECT_EQ(result.status, static_cast<ScsiStatus>(0x08));
        continue;
      }
      ASSERT_EQ(result.status, static_cast<ScsiStatus>(0x02));
      if (error == -EILSEQ && (kind == OpKind::kCompareAndWrite || kind == OpKind::kCompare ||
                               kind == OpKind::kWriteAndCompare)) {
        EXPECT_EQ(result.sense, (Sense{0x0e, 0x1d, 0x00, 0u}));
        continue;
      }
      const auto known = checks.find(error);
      EXPECT_EQ((Check{result.sense.key, result.sense.asc, result.sense.ascq}),
                known == checks.end() ? otherwise : known->second);
    }
    EXPECT_EQ(result_from_errno(INT32_MIN + 1, kind).status, ScsiStatus::kCheckCondition);
    EXPECT_EQ(result_from_errno(INT32_MIN, kind).status, ScsiStatus::kCheckCondition);
  }
}

}  // namespace
}  // namespace tcmurbd::scsi
