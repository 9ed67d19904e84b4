// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/device/device.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>

#include "tests/unit/device_fixture.h"

namespace tcmurbd::testing {
namespace {

constexpr Expected kGood{};

scsi::TargetFacts facts_with_serial(const char* serial) {
  scsi::TargetFacts facts;
  facts.unit_serial = serial;
  return facts;
}

const Bytes kTestUnitReady{0x00, 0, 0, 0, 0, 0};

TEST(Device, WritesReachTheImageAndReadsComeBack) {
  DeviceFixture lun;
  const uint64_t write = lun.write(3, Bytes(1024, 0x77));
  EXPECT_TRUE(lun.outstanding(write)) << "acknowledged before the image has it";
  lun.finish(0);
  lun.expect(write, kGood);
  EXPECT_EQ(lun.image.content[3 * 512], 0x77);
  EXPECT_EQ(lun.image.content[5 * 512], 0x00);
  const uint64_t read = lun.read(4, 2);
  lun.finish(0);
  Bytes expected(1024, 0x77);
  std::fill(expected.begin() + 512, expected.end(), uint8_t{0});
  EXPECT_EQ(lun.data_of(read), expected);
  EXPECT_TRUE(lun.device.idle());
}

TEST(Device, CompletesOutOfOrder) {
  DeviceFixture lun;
  const uint64_t slow = lun.write(0, Bytes(512, 1));
  const uint64_t fast = lun.write(8, Bytes(512, 2));
  lun.finish(1);
  lun.expect(fast, kGood);
  EXPECT_TRUE(lun.outstanding(slow));
  lun.finish(0);
  lun.expect(slow, kGood);
}

TEST(Device, TheNewerOfTwoOverlappingWritesStays) {
  DeviceFixture lun;
  const uint64_t older = lun.write(0, Bytes(1024, 1));
  const uint64_t newer = lun.write(1, Bytes(512, 2));
  ASSERT_EQ(lun.image.pending.size(), 1u)
      << "librbd does not order them, so only one may be with it";
  lun.finish(0);
  lun.expect(older, kGood);
  lun.finish(0);
  lun.expect(newer, kGood);
  EXPECT_EQ(lun.image.content[0], 1);
  EXPECT_EQ(lun.image.content[512], 2);
}

TEST(Device, SynchronizeCacheWaitsForTheWritesBeforeIt) {
  DeviceFixture lun;
  const uint64_t read = lun.read(100, 1);
  const uint64_t write = lun.write(0, Bytes(512, 1));
  const uint64_t flush = lun.send({.cdb = {0x35, 0, 0, 0, 0, 0, 0, 0, 0, 0}});
  lun.write(50, Bytes(512, 2));
  EXPECT_TRUE(lun.outstanding(flush));
  lun.finish(1);
  lun.expect(write, kGood);
  lun.expect(flush, kGood);
  EXPECT_TRUE(lun.outstanding(read));
  const uint64_t again = lun.send({.cdb = {0x35, 0, 0, 0, 0, 0, 0, 0, 0, 0}});
  EXPECT_TRUE(lun.outstanding(again)) << "a write is still there";
  lun.finish_all();
  lun.expect(again, kGood);
}

TEST(Device, AShortAnswerCarriesNothingOfAnotherCommand) {
  for (const uint16_t flags : {uint16_t{0x1}, uint16_t{0xf}}) {  // Without and with READ_LEN.
    DeviceFixture lun(2048, {.flags = flags});
    // READ CAPACITY(10): 8 bytes, into a buffer of 512.
    const uint64_t tag = lun.send({.cdb = {0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0}, .data_in_bytes = 512});
    Bytes expected{0, 0, 0x07, 0xff, 0, 0, 0x02, 0};
    if (flags == 0x1) expected.resize(512);
    EXPECT_EQ(lun.data_of(tag), expected) << "flags " << flags;
  }
}

TEST(Device, AnAnswerWithoutDataStillZeroesTheBuffer) {
  DeviceFixture lun;
  // INQUIRY would wait for facts; MODE SENSE(6) with allocation length 0 has no data for a buffer
  // of 64.
  const uint64_t tag = lun.send({.cdb = {0x1a, 0, 0x3f, 0, 0, 0}, .data_in_bytes = 64});
  EXPECT_EQ(lun.data_of(tag), Bytes(64, 0));
}

TEST(Device, AReadIntoALongerBufferTellsItsLength) {
  for (const uint16_t flags : {uint16_t{0x1}, uint16_t{0xf}}) {
    DeviceFixture lun(2048, {.flags = flags});
    std::fill_n(lun.image.content.begin(), 512, uint8_t{0x5a});
    const uint64_t tag = lun.send(
        {.cdb = DeviceFixture::cdb10(0x28, 0, 1), .data_in_bytes = 4096 + 100, .scattered = true});
    lun.finish(0);
    Bytes expected(512, 0x5a);
    if (flags == 0x1) expected.resize(4096 + 100);
    EXPECT_EQ(lun.data_of(tag), expected) << "flags " << flags;
  }
}

TEST(Device, ErrorsOfTheImageBecomeSense) {
  DeviceFixture lun;
  const uint64_t full = lun.write(0, Bytes(512, 1));
  lun.finish(0, -ENOSPC);
  lun.expect(full, {0x02, 0x07, 0x27, 0x07});
  const uint64_t bad = lun.read(0, 1);
  lun.finish(0, -EIO);
  lun.expect(bad, {0x02, 0x03, 0x11, 0x00});
  EXPECT_EQ(lun.device.counters().image_errors, 2u);
}

TEST(Device, LogSenseTellsWhatTheImageDid) {
  DeviceFixture lun;
  lun.write(0, Bytes(1024, 1));
  lun.finish(0);
  lun.read(0, 4);
  lun.finish(0);
  lun.read(0, 1);
  lun.finish(0, -EIO);
  // UNMAP of 8 blocks: no write, and no bytes received.
  lun.send(
      {.cdb = {0x42, 0, 0, 0, 0, 0, 0, 0, 24, 0},
       .data_out = {0, 22, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0}});
  lun.finish(0);
  const auto page = [&](uint8_t code) {
    return lun.data_of(
        lun.send({.cdb = {0x4d, 0, code, 0, 0, 0, 0, 1, 0, 0}, .data_in_bytes = 256}));
  };
  const auto at = [](const Bytes& data, size_t byte) {
    return byte < data.size() ? data[byte] : -1;
  };
  const Bytes statistics = page(0x40 | 0x19);
  EXPECT_EQ(at(statistics, 8 + 7), 2) << "reads";
  EXPECT_EQ(at(statistics, 16 + 7), 1) << "writes";
  EXPECT_EQ(at(statistics, 24 + 7), 2) << "blocks received";
  EXPECT_EQ(at(statistics, 32 + 7), 5) << "blocks transmitted";
  EXPECT_EQ(at(page(0x40 | 0x03), 4 + 12 + 4 + 7), 1) << "uncorrected read errors";
  EXPECT_EQ(at(page(0x40 | 0x02), 4 + 12 + 4 + 7), 0) << "uncorrected write errors";
}

TEST(Device, UnmapOfManyRangesReportsTheFirstErrorAndNeverGood) {
  DeviceFixture lun;
  Bytes list{0, 46, 0, 32, 0, 0, 0, 0,  // Lengths: 46 follow, 32 of descriptors.
             0, 0,  0, 0,  0, 0, 0, 0,  0, 0, 0, 8, 0, 0, 0, 0,  // LBA 0, 8 blocks.
             0, 0,  0, 0,  0, 0, 0, 64, 0, 0, 0, 8, 0, 0, 0, 0};
  list[1] = 38;
  const uint64_t tag = lun.send({.cdb = {0x42, 0, 0, 0, 0, 0, 0, 0, 40, 0}, .data_out = list});
  ASSERT_EQ(lun.image.pending.size(), 2u);
  lun.finish(0, -ENOSPC);
  EXPECT_TRUE(lun.outstanding(tag)) << "one part is still running";
  lun.finish(0);
  lun.expect(tag, {0x02, 0x07, 0x27, 0x07});
}

TEST(Device, EveryOpcodeIsAnswered) {
  DeviceFixture lun;
  for (int opcode = 0; opcode < 256; ++opcode) {
    Bytes cdb(16, 0);
    cdb[0] = static_cast<uint8_t>(opcode);
    const uint64_t tag = lun.send({.cdb = cdb});
    if (lun.effects.take_fetch(lun.device)) {
      lun.device.on_target_facts({}, lun.now);
      lun.ring();
    }
    lun.finish_all();
    EXPECT_TRUE(lun.kernel.take_result(tag)) << "opcode " << opcode;
  }
  EXPECT_TRUE(lun.device.idle());
}

TEST(Device, ManyMoreCommandsThanTheImageTakesAtOnce) {
  DeviceFixture lun(1u << 20, {.ring_bytes = 1024 * 1024 - 128, .blocks = 4096});
  std::vector<uint64_t> tags;
  for (uint32_t i = 0; i < 1000; ++i)
    tags.push_back(lun.write(8 * i, Bytes(512, static_cast<uint8_t>(i))));
  EXPECT_EQ(lun.image.pending.size(), 256u);
  lun.finish_all();
  for (const uint64_t tag : tags) lun.expect(tag, kGood);
  EXPECT_TRUE(lun.device.idle());
}

TEST(Device, WorksInBoundedPieces) {
  DeviceFixture lun(2048, {.ring_bytes = 1024 * 1024 - 128});
  for (int i = 0; i < 300; ++i) lun.kernel.queue({.cdb = kTestUnitReady});
  EXPECT_TRUE(lun.device.on_ring(lun.now));
  EXPECT_EQ(lun.device.counters().commands, 128u);
  lun.run();
  EXPECT_EQ(lun.device.counters().commands, 300u);
}

TEST(Device, InquiryWaitsForFactsFetchedAfterItCame) {
  DeviceFixture lun;
  const FakeCommand serial{.cdb = {0x12, 1, 0x80, 0, 64, 0}, .data_in_bytes = 64};
  const uint64_t first = lun.send(serial);
  EXPECT_TRUE(lun.effects.take_fetch(lun.device));
  EXPECT_FALSE(lun.effects.take_fetch(lun.device)) << "one fetch at a time";
  const uint64_t second = lun.send(serial);  // The serial may have been written in between.
  lun.device.on_target_facts(facts_with_serial("old"), lun.now);
  lun.ring();
  EXPECT_EQ(lun.data_of(first), (Bytes{0x00, 0x80, 0, 3, 'o', 'l', 'd'}));
  EXPECT_TRUE(lun.outstanding(second));
  EXPECT_TRUE(lun.effects.take_fetch(lun.device));
  lun.device.on_target_facts(facts_with_serial("new"), lun.now);
  lun.ring();
  EXPECT_EQ(lun.data_of(second), (Bytes{0x00, 0x80, 0, 3, 'n', 'e', 'w'}));
}

TEST(Device, ResizeIsToldOnceAndServedAtOnce) {
  DeviceFixture lun(16);
  lun.image.content.resize(32 * 512);
  lun.device.on_resized(32 * 512);
  const uint64_t first = lun.send({.cdb = kTestUnitReady});
  lun.expect(first, {0x02, 0x06, 0x2a, 0x09});
  const uint64_t write = lun.write(31, Bytes(512, 1));
  lun.finish(0);
  lun.expect(write, kGood);
  lun.device.on_resized(8 * 512);
  // REQUEST SENSE takes the condition as its data: fixed format, key 6, 2A/09.
  const uint64_t sense = lun.send({.cdb = {0x03, 0, 0, 0, 18, 0}, .data_in_bytes = 18});
  EXPECT_EQ(lun.data_of(sense),
            (Bytes{0x70, 0, 0x06, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x2a, 0x09, 0, 0, 0, 0}));
  lun.expect(lun.read(8, 1), {0x02, 0x05, 0x21, 0x00});
}

TEST(Device, AnIdThatComesTwiceBreaksTheRingInsteadOfLosingACommand) {
  DeviceFixture lun;
  const uint64_t write = lun.write(0, Bytes(512, 1));
  const uint16_t id = *lun.kernel.cmd_id(write);
  lun.kernel.queue({.cdb = kTestUnitReady});
  lun.kernel.poke<uint16_t>(128 + 128 + 4, id);  // The second entry's header: cmd_id at byte 4.
  EXPECT_FALSE(lun.device.on_ring(lun.now));
  EXPECT_FALSE(lun.device.broken_reason().empty());
  lun.finish_all();
  EXPECT_TRUE(lun.device.idle());
  lun.kernel.reset_ring();
  lun.device.restart(ring::Ring::attach(lun.kernel.map()).value());
  const uint64_t after = lun.send({.cdb = kTestUnitReady});
  lun.expect(after, kGood);
}

TEST(Device, ACommandWithIovecsOutsideOfTheMapEndsWithAnError) {
  DeviceFixture lun;
  const uint64_t tag =
      lun.kernel.queue({.cdb = DeviceFixture::cdb10(0x2a, 0, 1), .data_out = Bytes(512, 1)});
  lun.kernel.poke<uint64_t>(128 + 48, uint64_t{1} << 40);  // iov[0].iov_base
  lun.run();
  lun.expect(tag, {0x02, 0x04, 0x44, 0x00});
  EXPECT_EQ(lun.device.counters().bad_entries, 1u);
  EXPECT_TRUE(lun.image.pending.empty());
}

}  // namespace
}  // namespace tcmurbd::testing
