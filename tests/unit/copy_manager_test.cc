// SPDX-License-Identifier: Apache-2.0
// EXTENDED COPY from the ring to the images: how many run, in which order, which LUNs they may
// name, and what an abort or a removal does to those that wait.
#include "rbd_handler/lun/copy_manager.h"

#include <fmt/format.h>

#include <filesystem>
#include <latch>

#include "tests/unit/lun_fixture.h"
#include "tests/unit/scsi_copy_fixture.h"

namespace tcmurbd {
namespace {

namespace fs = std::filesystem;
using scsi::Bytes;
using scsi::operator+;
using testing::FakeResult;
using testing::FakeServed;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr uint8_t kBusy = 0x08;
constexpr uint16_t kBlocks = 8;  // Of each copy.

class CopyManagerTest : public testing::LunFixture {
 protected:
  static std::string name(char digit) { return fmt::format("disk{}", digit); }

  // All are in one portal group, open to all, but those that are `hidden`.
  FakeServed& serve_disk(char digit, bool hidden = false) {
    const std::string group = "/sys/kernel/config/target/iscsi/iqn.a/tpgt_1";
    root_.write(group + "/attrib/generate_node_acls", "1\n");
    root_.write(group + "/attrib/demo_mode_write_protect", "0\n");
    if (!hidden) {
      const std::string link = root_.path() + group + "/lun/lun_" + digit;
      fs::create_directories(link);
      fs::create_symlink("../../../../../../target/core/user_0/" + name(digit),
                         link + "/some-name");
    }
    return serve(name(digit));
  }
  static Bytes naa(char digit) {
    const auto d = static_cast<uint8_t>(digit - '0');
    Bytes name(16, static_cast<uint8_t>(d << 4 | d));
    name[0] = 0x60, name[1] = 0x01, name[2] = 0x40, name[3] = static_cast<uint8_t>(0x50 | d);
    return name;
  }
  // Sends one from block `from` of `source` to block `from` + 1024 of `target`.
  uint64_t copy(char source, char target, uint16_t from) {
    const Bytes list = scsi::copy_list({scsi::cscd(naa(source)), scsi::cscd(naa(target))},
                                       {scsi::segment({.source = 0,
                                                       .destination = 1,
                                                       .blocks = kBlocks,
                                                       .from = from,
                                                       .to = uint64_t{from} + 1024})},
                                       0, 0x18);
    ++sent_[source];
    return device(name(source))
        .queue(
            {.cdb = Bytes{0x83, 0, 0, 0, 0, 0, 0, 0, 0, 0} + scsi::big(list.size(), 4) + Bytes(2),
             .data_out = list});
  }
  // Sends `count` copies within a disk, one after the other's range.
  std::vector<uint64_t> copies(char disk, size_t count) {
    std::vector<uint64_t> tags;
    for (size_t i = 0; i < count; ++i)
      tags.push_back(copy(disk, disk, static_cast<uint16_t>(i * kBlocks)));
    return tags;
  }
  // What was sent before to this disk has found its LUNs, and begun if it may.
  void until_found(char disk) {
    until([&] { return status(name(disk)).counters->copies == sent_[disk]; });
    bool found = false;
    lun(name(disk)).copy_walks().run([] {}, [&] { found = true; });
    until([&] { return found; });
    calm();
  }
  // Those that may begin have begun: a copy's start takes some turns of the loop.
  void calm() {
    for (int turn = 0; turn < 8; ++turn) settle();
  }
  static uint64_t first_block(const FakeServed::Pending& op) { return op.range.offset / 512; }
  // Ends the oldest copy within this disk: its read, then its write.
  void finish_copy(FakeServed& image) {
    const uint64_t target = first_block(image.pending.front()) + 1024;
    image.finish();
    const auto written = [&] {
      return std::ranges::find_if(image.pending, [&](const FakeServed::Pending& op) {
        return changes_image(op.kind) && first_block(op) == target;
      });
    };
    until([&] { return written() != image.pending.end(); });
    std::ranges::rotate(image.pending, written());
    image.finish();
  }
  void not_reachable(const FakeResult& result) {
    EXPECT_EQ(result.status, 2);
    EXPECT_EQ(result.sense[2] & 0xfU, scsi::kCopyTargetNotReachable.key);
    EXPECT_EQ(result.sense[12], scsi::kCopyTargetNotReachable.asc);
    EXPECT_EQ(result.sense[13], scsi::kCopyTargetNotReachable.ascq);
  }

  std::map<char, size_t> sent_;  // Copies, by disk.
};

TEST_F(CopyManagerTest, ReadsFromOneAndWritesToTheOther) {
  FakeServed& source = serve_disk('1');
  FakeServed& target = serve_disk('2');
  const uint64_t tag = copy('1', '2', 16);
  until([&] { return !source.pending.empty(); });
  EXPECT_EQ(source.pending[0].kind, OpKind::kRead);
  EXPECT_EQ(source.pending[0].range, (ByteRange{16 * 512, kBlocks * 512}));
  EXPECT_THAT(target.pending, IsEmpty());
  source.finish();
  until([&] { return !target.pending.empty(); });
  EXPECT_TRUE(changes_image(target.pending[0].kind));
  EXPECT_EQ(target.pending[0].range, (ByteRange{(16 + 1024) * 512, kBlocks * 512}));
  target.finish();
  EXPECT_EQ(result(tag).status, 0);
}

// On another LUN than that of the copy's command.
TEST_F(CopyManagerTest, ALaterWriteToItsDestinationEndsIt) {
  FakeServed& source = serve_disk('1');
  FakeServed& target = serve_disk('2');
  const uint64_t tag = copy('1', '2', 16);
  until([&] { return !source.pending.empty(); });
  const uint64_t newer = device(name('2')).queue(
      {.cdb = {0x2a, 0, 0, 0, 0x04, 0x10, 0, 0, 1, 0}, .data_out = Bytes(512, 9)});  // Block 1040.
  until([&] { return !target.pending.empty(); });
  target.finish();
  EXPECT_EQ(result(newer, name('2')).status, 0);
  source.finish();
  const FakeResult ended = result(tag);
  EXPECT_EQ(ended.status, 2);
  EXPECT_EQ(ended.sense[2] & 0xfU, 0x0aU) << "COPY ABORTED";
  EXPECT_THAT(target.pending, IsEmpty());
  // The next one is not concerned.
  const uint64_t again = copy('1', '2', 16);
  until([&] { return !source.pending.empty(); });
  source.finish();
  until([&] { return !target.pending.empty(); });
  target.finish();
  EXPECT_EQ(result(again).status, 0);
}

TEST_F(CopyManagerTest, OneLunHasFourInItsOrder) {
  FakeServed& image = serve_disk('1');
  const auto tags = copies('1', 6);
  until_found('1');
  ASSERT_THAT(image.pending, SizeIs(4));
  for (size_t i = 0; i < 4; ++i) EXPECT_EQ(first_block(image.pending[i]), i * kBlocks);
  finish_copy(image);
  EXPECT_EQ(result(tags[0]).status, 0);
  until([&] { return image.pending.size() == 4; });
  EXPECT_EQ(first_block(image.pending.back()), 4U * kBlocks) << "not the next in order";
  calm();
  EXPECT_THAT(image.pending, SizeIs(4));
}

TEST_F(CopyManagerTest, EightRunInAllAndTheNextWhenOneEnds) {
  FakeServed& first = serve_disk('1');
  FakeServed& second = serve_disk('2');
  FakeServed& third = serve_disk('3');
  copies('1', 4);
  until_found('1');
  copies('2', 4);
  until_found('2');
  copies('3', 1);
  until_found('3');
  EXPECT_THAT(first.pending, SizeIs(4));
  EXPECT_THAT(second.pending, SizeIs(4));
  EXPECT_THAT(third.pending, IsEmpty());
  finish_copy(first);
  until([&] { return !third.pending.empty(); });
}

// A LUN with a hung cluster does not keep the copies of others.
TEST_F(CopyManagerTest, WhoWaitsForItsOwnShareKeepsNobodyElse) {
  serve_disk('1');
  FakeServed& other = serve_disk('2');
  copies('1', 6);
  until_found('1');
  copies('2', 1);
  until_found('2');
  EXPECT_THAT(other.pending, SizeIs(1));
}

TEST_F(CopyManagerTest, WhoWaitsFindsThatItsTargetWentAway) {
  FakeServed& image = serve_disk('1');
  FakeServed& other = serve_disk('2');
  copies('1', 4);
  const uint64_t waits = copy('1', '2', 256);
  until_found('1');
  EXPECT_EQ(device(name('1')).kernel().take_result(waits), std::nullopt);
  EXPECT_THAT(other.pending, IsEmpty());
  ends(remove(name('2')), 0);
  finish_copy(image);
  not_reachable(result(waits));
  EXPECT_THAT(image.pending, SizeIs(3)) << "read for nothing";
}

TEST_F(CopyManagerTest, WhoRunsFindsThatItsTargetWentAway) {
  FakeServed& source = serve_disk('1');
  serve_disk('2');
  const uint64_t tag = copy('1', '2', 16);
  until([&] { return !source.pending.empty(); });
  ends(remove(name('2')), 0);
  source.finish();
  not_reachable(result(tag));
}

TEST_F(CopyManagerTest, WhoWaitsFindsThatItsTargetIsSmallerNow) {
  FakeServed& image = serve_disk('1');
  serve_disk('2');
  copies('1', 4);
  const uint64_t waits = copy('1', '2', 256);
  until_found('1');
  ends(resize(1024 * 512, name('2')), 0);
  finish_copy(image);
  EXPECT_EQ(result(waits).status, 2);
  EXPECT_THAT(image.pending, SizeIs(3));
}

TEST_F(CopyManagerTest, ALunThatTheInitiatorCannotReachIsNoTarget) {
  FakeServed& image = serve_disk('1');
  FakeServed& hidden = serve_disk('2', true);
  not_reachable(result(copy('1', '2', 0)));
  EXPECT_THAT(image.pending, IsEmpty());
  EXPECT_THAT(hidden.pending, IsEmpty());
}

TEST_F(CopyManagerTest, ARemovedLunIsNoTarget) {
  FakeServed& image = serve_disk('1');
  serve_disk('2');
  ends(remove(name('2')), 0);
  not_reachable(result(copy('1', '2', 0)));
  EXPECT_THAT(image.pending, IsEmpty());
}

TEST_F(CopyManagerTest, AbortedWhileItWaitsItNeverBegins) {
  FakeServed& image = serve_disk('1');
  const auto tags = copies('1', 5);
  until_found('1');
  device(name('1')).kernel().abort(tags[4]);
  device(name('1')).wake();
  EXPECT_EQ(result(tags[4], name('1')).how, FakeResult::How::kAborted);
  finish_copy(image);
  EXPECT_EQ(result(tags[0]).status, 0);
  calm();
  EXPECT_THAT(image.pending, SizeIs(3));
}

// configfs holds a lock for as long as another LUN's removal takes.
TEST_F(CopyManagerTest, AbortedWhileItsLunsAreLookedForItIsAnsweredAtOnce) {
  FakeServed& image = serve_disk('1');
  std::latch held(1);
  lun(name('1')).copy_walks().run([&] { held.wait(); }, [] {});
  const uint64_t tag = copy('1', '1', 0);
  until([&] { return status(name('1')).counters->copies == sent_['1']; });
  device(name('1')).kernel().abort(tag);
  device(name('1')).wake();
  EXPECT_EQ(result(tag).how, FakeResult::How::kAborted);
  held.count_down();
  until_found('1');
  EXPECT_THAT(image.pending, IsEmpty());
}

TEST_F(CopyManagerTest, MoreThanMayWaitGetBusy) {
  serve_disk('1');
  std::latch held(1);
  lun(name('1')).copy_walks().run([&] { held.wait(); }, [] {});
  constexpr size_t kMayWait = 128;
  auto tags = copies('1', kMayWait);
  until([&] { return status(name('1')).counters->copies == kMayWait; });
  EXPECT_THAT(device(name('1')).kernel().take_results(), IsEmpty());
  EXPECT_EQ(result(copy('1', '1', 0)).status, kBusy);
  held.count_down();
  until_found('1');
  for (const uint64_t tag : copies('1', 4)) tags.push_back(tag);
  until_found('1');
  EXPECT_EQ(result(copy('1', '1', 0)).status, kBusy) << "four run, as many as may wait do";
  // The places of those that were aborted.
  for (const uint64_t tag : tags) device(name('1')).kernel().abort(tag);
  device(name('1')).wake();
  until([&] { return device(name('1')).kernel().take_result(tags.back()).has_value(); });
  const uint64_t late = copy('1', '1', 1000);
  until_found('1');
  EXPECT_EQ(device(name('1')).kernel().take_result(late), std::nullopt) << "BUSY though none waits";
}

// Its memory may still be written to.
TEST_F(CopyManagerTest, ACopyWhoseReadHangsKeepsItsShare) {
  FakeServed& image = serve_disk('1');
  const auto tags = copies('1', 5);
  until_found('1');
  device(name('1')).kernel().abort(tags[0]);
  device(name('1')).wake();
  EXPECT_EQ(result(tags[0]).how, FakeResult::How::kAborted);
  calm();
  EXPECT_THAT(image.pending, SizeIs(4)) << "the fifth began";
  image.finish();
  until([&] { return image.pending.size() == 4; });
  EXPECT_EQ(first_block(image.pending.back()), 4U * kBlocks);
}

TEST_F(CopyManagerTest, ARemovalEndsCopiesThatRunAndThatWait) {
  FakeServed& image = serve_disk('1');
  const auto tags = copies('1', 5);
  until_found('1');
  const Status removed = remove(name('1'));
  EXPECT_EQ(result(tags[4]).status, kBusy);
  EXPECT_EQ(result(tags[0]).status, kBusy);
  while (!image.pending.empty()) image.finish();
  ends(removed, 0);
  EXPECT_EQ(ceph_->images_open(), 0U);
}

}  // namespace
}  // namespace tcmurbd
