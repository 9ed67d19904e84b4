// SPDX-License-Identifier: Apache-2.0
// EXTENDED COPY at the Device: started, answered, aborted, past its deadline, recorded. The test
// acts as the executor of the copy.
#include "tests/unit/device_fixture.h"
#include "tests/unit/scsi_copy_fixture.h"

namespace tcmurbd::testing {
namespace {

using scsi::big;
using scsi::operator+;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr seconds kBound{60};

class DeviceExtendedCopy : public ::testing::Test, public DeviceFixture {
 protected:
  uint64_t send_copy(uint8_t list_id = 1) {
    const Bytes list =
        scsi::copy_list({scsi::cscd()}, {scsi::segment({.blocks = 8, .to = 100})}, list_id);
    return send({.cdb = Bytes{0x83, 0, 0, 0, 0, 0, 0, 0, 0, 0} + big(list.size(), 4) + Bytes(2),
                 .data_out = list});
  }
  uint64_t ask(uint8_t service_action, uint8_t list_id = 1) {
    return send({.cdb = Bytes{0x84, service_action, list_id, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0},
                 .data_in_bytes = 256});
  }
  std::vector<CopyStart> starts() { return effects.take<CopyStart>(device); }
  std::vector<task::TaskId> cancels() {
    std::vector<task::TaskId> tasks;
    for (const CopyCancel& cancel : effects.take<CopyCancel>(device)) tasks.push_back(cancel.task);
    return tasks;
  }
  void end(task::TaskId task, const scsi::Result& result = scsi::Result::good()) {
    device.on_copy_ended(task, result, now);
    ring();
  }
  const scsi::Result kFailed = scsi::Result::check({0x0a, 0x0d, 0x02});
};

TEST_F(DeviceExtendedCopy, IsAnsweredWhenItsCopyHasEnded) {
  const uint64_t tag = send_copy();
  const auto started = starts();
  ASSERT_EQ(started.size(), 1u);
  EXPECT_EQ(started[0].request.segments[0].destination_lba, 100u);
  EXPECT_TRUE(starts().empty());
  device.on_copy_begun(started[0].task, kBound, now);
  EXPECT_TRUE(outstanding(tag));
  EXPECT_FALSE(device.idle());
  device.on_copy_progress(started[0].task, 1, 4096);
  end(started[0].task);
  expect(tag, {});
  EXPECT_TRUE(device.idle());
  EXPECT_EQ(device.counters().copies, 1u);
  EXPECT_EQ(device.counters().copied_bytes, 4096u);
}

TEST_F(DeviceExtendedCopy, TellsWhatItsCopyCameTo) {
  const uint64_t failed = send_copy();
  end(starts().at(0).task, kFailed);
  expect(failed, {0x02, 0x0a, 0x0d, 0x02});
  const uint64_t busy = send_copy();
  end(starts().at(0).task, scsi::Result::busy());
  expect(busy, {0x08});
  EXPECT_TRUE(cancels().empty());
}

TEST_F(DeviceExtendedCopy, AnAbortWaitsForItsCopyAndForNothingElse) {
  const uint64_t tag = send_copy();
  const task::TaskId task = starts().at(0).task;
  device.on_copy_begun(task, kBound, now);
  kernel.abort(tag);
  run();
  EXPECT_EQ(cancels(), (std::vector<task::TaskId>{task}));
  EXPECT_TRUE(outstanding(tag)) << "a write of it may still begin";
  kernel.lun_reset();  // Again.
  run();
  wait(seconds(60));
  EXPECT_TRUE(cancels().empty());
  end(task, scsi::Result::busy());
  EXPECT_FALSE(outstanding(tag));
  EXPECT_TRUE(device.idle());
}

TEST_F(DeviceExtendedCopy, AnEndThatComesFirstNeedsNoCancel) {
  const uint64_t tag = send_copy();
  const task::TaskId task = starts().at(0).task;
  kernel.abort(tag);
  device.on_ring(now);
  end(task);
  EXPECT_TRUE(cancels().empty());
  EXPECT_FALSE(outstanding(tag));
}

TEST_F(DeviceExtendedCopy, WaitsForItsTurnNoLongerThanACommand) {
  const uint64_t tag = send_copy();
  const task::TaskId task = starts().at(0).task;
  wait(seconds(14));
  EXPECT_TRUE(cancels().empty());
  wait(seconds(2));
  EXPECT_EQ(cancels(), (std::vector<task::TaskId>{task}));
  end(task, scsi::Result::busy());
  expect(tag, {0x08});
}

TEST_F(DeviceExtendedCopy, MayTakeLongOnceItHasBegun) {
  const uint64_t tag = send_copy();
  const task::TaskId task = starts().at(0).task;
  device.on_copy_begun(task, kBound, now);
  wait(seconds(59));  // More than the deadline of a command.
  EXPECT_TRUE(cancels().empty());
  end(task);
  expect(tag, {});
}

TEST_F(DeviceExtendedCopy, IsNoCommandThatIsStuck) {
  send_copy();
  const task::TaskId task = starts().at(0).task;
  device.on_copy_begun(task, kBound, now);
  wait(seconds(20));
  EXPECT_EQ(device.gauges(now).oldest, Duration{});
  EXPECT_EQ(device.gauges(now).in_flight, 1u);
  end(task);
}

TEST_F(DeviceExtendedCopy, EndsBeforeTheKernelsPatienceDoes) {
  const uint64_t tag = send_copy();
  const task::TaskId task = starts().at(0).task;
  device.on_copy_begun(task, seconds(24), now);
  wait(seconds(23));
  EXPECT_TRUE(cancels().empty());
  wait(seconds(2));
  EXPECT_EQ(cancels(), (std::vector<task::TaskId>{task}));
  end(task, scsi::Result::busy());
  // It would take as long again.
  expect(tag, {0x02, 0x0a, 0x00, 0x00});
}

// The kernel counts from there too.
TEST_F(DeviceExtendedCopy, ItsBoundIncludesTheTimeThatItWaitedToBegin) {
  send_copy();
  const task::TaskId task = starts().at(0).task;
  wait(seconds(14));
  device.on_copy_begun(task, seconds(24), now);
  wait(seconds(9));
  EXPECT_TRUE(cancels().empty());
  wait(seconds(2));
  EXPECT_EQ(cancels(), (std::vector<task::TaskId>{task}));
  end(task);
}

TEST_F(DeviceExtendedCopy, ALeavingLunSaysBusyIfTheCopyMayBeRepeated) {
  const uint64_t first = send_copy(), second = send_copy();
  const auto started = starts();
  device.on_leaving(now);
  EXPECT_EQ(cancels().size(), 2u);
  end(started[0].task, scsi::Result::busy());
  end(started[1].task, kFailed);
  expect(first, {0x08});
  expect(second, {0x02, 0x0a, 0x0d, 0x02});
  expect(send_copy(), {0x08});
  EXPECT_TRUE(starts().empty());
}

// Its host may have given it up, and written where it still copies to.
TEST_F(DeviceExtendedCopy, EndsWhenThisGatewayWasAwayAndBeginsAgainAfterAWhile) {
  const uint64_t tag = send_copy();
  const task::TaskId task = starts().at(0).task;
  device.on_copy_begun(task, kBound, now);
  device.on_away(AwayCause::kReactorGap, seconds(40), now);
  ring();
  EXPECT_EQ(cancels(), (std::vector<task::TaskId>{task}));
  end(task, scsi::Result::busy());
  expect(tag, {0x08});
  wait(milliseconds(4980));
  expect(send_copy(), {0x08});
  EXPECT_TRUE(starts().empty());
  wait(milliseconds(20));
  send_copy();
  EXPECT_EQ(starts().size(), 1u);
}

TEST_F(DeviceExtendedCopy, IsRememberedByItsListId) {
  send_copy(5);
  const task::TaskId task = starts().at(0).task;
  device.on_copy_begun(task, kBound, now);
  device.on_copy_progress(task, 1, 512);
  Bytes status = data_of(ask(0, 5));
  status.resize(12);
  EXPECT_EQ(status, (Bytes{0, 0, 0, 8, 0x00, 0, 1, 0x00, 0, 0, 0x02, 0}));
  end(task, kFailed);
  EXPECT_EQ(data_of(ask(0, 5))[4], 0x02);
  expect(ask(0, 6), {0x02, 0x05, 0x24, 0x00});
  EXPECT_EQ(data_of(ask(4, 5))[56], 0x02);
}

TEST_F(DeviceExtendedCopy, IsForgottenIfItNeverBegan) {
  send_copy(5);
  const task::TaskId first = starts().at(0).task;
  device.on_copy_begun(first, kBound, now);
  end(first);
  send_copy(5);  // Takes the place of the first.
  end(starts().at(0).task, kFailed);
  expect(ask(0, 5), {0x02, 0x05, 0x24, 0x00});
}

TEST_F(DeviceExtendedCopy, ALunResetForgetsResults) {
  send_copy(5);
  const task::TaskId task = starts().at(0).task;
  device.on_copy_begun(task, kBound, now);
  end(task);
  kernel.lun_reset();
  run();
  expect(ask(0, 5), {0x02, 0x05, 0x24, 0x00});
}

TEST_F(DeviceExtendedCopy, ALostInstanceIsNotItsEnd) {
  const uint64_t tag = send_copy();
  const task::TaskId task = starts().at(0).task;
  device.on_copy_begun(task, kBound, now);
  const uint64_t read_tag = read(0, 1);
  finish(0, -ESHUTDOWN);  // The instance is given up.
  expect(read_tag, {0x08});
  EXPECT_TRUE(outstanding(tag));
  end(task);
  expect(tag, {});
}

}  // namespace
}  // namespace tcmurbd::testing
