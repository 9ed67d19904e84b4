// SPDX-License-Identifier: Apache-2.0
// EXTENDED COPY and RECEIVE COPY RESULTS as commands, and VPD 8F.
#include "rbd_handler/scsi/copy_history.h"
#include "tests/unit/scsi_copy_fixture.h"

namespace tcmurbd::scsi {
namespace {

class ScsiExtendedCopy : public ScsiTest {
 protected:
  ScsiExtendedCopy() { copies = &history; }

  static Bytes extended_copy(uint64_t list_length) {
    return Bytes{0x83, 0, 0, 0, 0, 0, 0, 0, 0, 0} + big(list_length, 4) + Bytes(2);
  }
  static Bytes receive(uint8_t service_action, uint8_t list_id, uint32_t allocation = 4096) {
    return Bytes{0x84, service_action, list_id, 0, 0, 0, 0, 0, 0, 0} + big(allocation, 4) +
           Bytes(2);
  }
  static CopyRequest request(uint8_t list_id, CopyListId usage = CopyListId::kKeep) {
    CopyRequest copy;
    copy.list_id = list_id;
    copy.usage = usage;
    return copy;
  }

  CopyHistory history;
};

TEST_F(ScsiExtendedCopy, IsPlannedAsWhatItsListSays) {
  const Bytes list = copy_list({cscd(), cscd()}, {segment({.source = 1, .blocks = 7, .to = 9})});
  const Outcome out = send(extended_copy(list.size()), list);
  ASSERT_TRUE(out.copy);
  EXPECT_EQ(out.copy->segments[0].source, 1);
  EXPECT_EQ(out.copy->segments[0].blocks, 7);
  EXPECT_EQ(out.copy->segments[0].destination_lba, 9u);
  // The fabric may have brought more.
  EXPECT_TRUE(send(extended_copy(list.size()), list + Bytes(100)).copy);
}

TEST_F(ScsiExtendedCopy, WithoutSegmentsIsDoneAtOnce) {
  EXPECT_TRUE(run(extended_copy(0), 0).good);
  EXPECT_TRUE(send(extended_copy(16), Bytes(16)).good);
  EXPECT_TRUE(send(extended_copy(48), copy_list({cscd()}, {})).good);
}

TEST_F(ScsiExtendedCopy, RefusesListsThatAreNotWhole) {
  const Bytes list = copy_list({cscd()}, {segment({})});
  for (const size_t length : {size_t{1}, size_t{15}, list.size() - 1})
    EXPECT_EQ(send(extended_copy(length), list).check, (Check{0x5, 0x1a, 0x00})) << length;
  EXPECT_EQ(send(extended_copy(list.size()), cut(list, 0, 70)).check, (Check{0x5, 0x1a, 0x00}));
  EXPECT_EQ(run(extended_copy(0xffffffff), list.size(), list).check, (Check{0x5, 0x1a, 0x00}));
}

TEST_F(ScsiExtendedCopy, OtherServiceActionsAreRefused) {
  for (const uint8_t action : {0x01, 0x10, 0x11, 0x1f}) {  // LID4, POPULATE TOKEN and so on.
    EXPECT_EQ(run(with(extended_copy(0), 1, action), 0).check, (Check{0x5, 0x24, 0x00}));
  }
  for (const uint8_t action : {0x01, 0x05, 0x06, 0x07})
    EXPECT_EQ(ask(receive(action, 1)).check, (Check{0x5, 0x24, 0x00}));
}

TEST_F(ScsiExtendedCopy, TellsItsLimits) {
  EXPECT_EQ(ask(receive(3, 0)).data_in,
            (Bytes{
                0x00, 0x00, 0x00, 0x2a, 0x01, 0x00, 0x00, 0x00,  // AVAILABLE DATA 42, SNLID
                0x00, 0x08, 0x00, 0x10, 0x00, 0x00, 0x02, 0xc0,  // 8 CSCDs, 16 segments, 704 bytes
                0x02, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,  // 32 MiB, no inline data
                0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,  // no held data, no streams
                0x00, 0x00, 0x00, 0x08, 0x08, 0x00, 0x00, 0x00,  // 8 copies at a time
                0x00, 0x00, 0x00, 0x02, 0x02, 0xe4,              // the two descriptor types
            }));
  EXPECT_EQ(ask(receive(3, 0, 4)).data_in, (Bytes{0x00, 0x00, 0x00, 0x2a}));
}

TEST_F(ScsiExtendedCopy, TellsTheSameLimitsInVpd8f) {
  EXPECT_EQ(ask({0x12, 0x01, 0x8f, 0x02, 0x00, 0x00}).data_in,
            (Bytes{
                0x00, 0x8f, 0x00, 0x5c,                          //
                0x00, 0x01, 0x00, 0x0c, 0x08, 0x83, 0x01, 0x00,  // EXTENDED COPY(LID1),
                0x84, 0x03, 0x00, 0x03, 0x04, 0x00, 0x00, 0x00,  // RECEIVE COPY of three kinds
                0x00, 0x04, 0x00, 0x1c, 0x00, 0x00, 0x00, 0x00,  // parameter data
                0x00, 0x08, 0x00, 0x10, 0x00, 0x00, 0x02, 0xc0,  //
                0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,  //
                0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,  //
                0x00, 0x08, 0x00, 0x04, 0x02, 0x02, 0xe4, 0x00,  // descriptors
                0x80, 0x01, 0x00, 0x20, 0x00, 0x00, 0x00, 0x08,  // general copy operations
                0x00, 0x00, 0x00, 0x08, 0x02, 0x00, 0x00, 0x00,  //
                0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,  //
                0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,  //
                0x00, 0x00, 0x00, 0x00,
            }));
}

TEST_F(ScsiExtendedCopy, TellsHowFarACopyIs) {
  EXPECT_EQ(ask(receive(0, 5)).check, (Check{0x5, 0x24, 0x00}));
  history.begin(70, request(5));
  EXPECT_EQ(ask(receive(0, 5)).data_in, (Bytes{0, 0, 0, 8, 0x00, 0, 0, 0x00, 0, 0, 0, 0}));
  history.progress(70, 3, 0x12345);
  EXPECT_EQ(ask(receive(0, 5)).data_in, (Bytes{0, 0, 0, 8, 0x00, 0, 3, 0x00, 0, 1, 0x23, 0x45}));
  EXPECT_EQ(ask(receive(4, 5)).data_in, (Bytes{0, 0, 0, 0})) << "it has not failed";
  history.progress(70, 4, 0x312345678);
  history.end(70, Result::good());
  EXPECT_EQ(ask(receive(0, 5, 11)).data_in.size(), 11u) << "cut, so it is reported again";
  EXPECT_EQ(ask(receive(0, 5)).data_in,
            (Bytes{0, 0, 0, 8, 0x01, 0, 4, 0x01, 0x00, 0xc4, 0x8d, 0x15}))
      << "in KiB";
  EXPECT_EQ(ask(receive(0, 5)).check, (Check{0x5, 0x24, 0x00})) << "reported once";
}

TEST_F(ScsiExtendedCopy, TellsHowACopyFailed) {
  history.begin(1, request(9));
  Sense sense{0x0a, 0x0d, 0x02};
  sense.copy = CopyFailure{.segment = 2};
  history.end(1, Result::check(sense));
  EXPECT_EQ(ask(receive(0, 9)).data_in[4], 0x02);
  const Bytes details = ask(receive(4, 9)).data_in;
  EXPECT_EQ(cut(details, 0, 4), (Bytes{0, 0, 0, 74}));
  EXPECT_EQ(cut(details, 56, 99), (Bytes{0x02, 0, 0, 18, 0x70, 0,    0x0a, 0, 0, 0, 0,
                                         0x0a, 0, 0, 0,  2,    0x0d, 0x02, 0, 0, 0, 0}));
  EXPECT_EQ(ask(receive(4, 9)).check, (Check{0x5, 0x24, 0x00})) << "reported once";
  // BUSY has no sense.
  history.begin(1, request(9));
  history.end(1, Result::busy());
  EXPECT_EQ(cut(ask(receive(4, 9)).data_in, 56, 99), (Bytes{0x08, 0, 0, 0}));
}

TEST_F(ScsiExtendedCopy, ListIdsThatAreNotToBeKept) {
  history.begin(1, request(3, CopyListId::kDiscard));
  EXPECT_TRUE(ask(receive(0, 3)).good);
  history.end(1, Result::good());
  EXPECT_EQ(ask(receive(0, 3)).check, (Check{0x5, 0x24, 0x00}));
  history.begin(1, request(0, CopyListId::kNone));
  EXPECT_EQ(ask(receive(0, 0)).check, (Check{0x5, 0x24, 0x00}));
  history.progress(1, 1, 1);
  history.end(1, Result::good());
}

TEST_F(ScsiExtendedCopy, TheNewestOfOneListIdIsTold) {
  history.begin(1, request(3));
  history.begin(2, request(3));  // Another host's, perhaps.
  history.progress(1, 0, 1);
  history.progress(2, 0, 2);
  EXPECT_EQ(ask(receive(0, 3)).data_in[11], 2);
  history.end(2, Result::good());
  EXPECT_TRUE(ask(receive(0, 3)).good);
  EXPECT_EQ(ask(receive(0, 3)).data_in[11], 1) << "the first still runs";
}

TEST_F(ScsiExtendedCopy, RemembersSoMany) {
  for (uint32_t i = 0; i < 100; ++i) {
    history.begin(i, request(static_cast<uint8_t>(i)));
    history.end(i, Result::good());
  }
  EXPECT_EQ(ask(receive(0, 67)).check, (Check{0x5, 0x24, 0x00}));
  EXPECT_TRUE(ask(receive(0, 68)).good);
  EXPECT_TRUE(ask(receive(0, 99)).good);
}

}  // namespace
}  // namespace tcmurbd::scsi
