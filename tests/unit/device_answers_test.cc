// SPDX-License-Identifier: Apache-2.0
// The data of an answer: the command's own bytes with the requested length, never data of an
// earlier command from the same memory. And every command is answered once. A failure prints the
// seed; TCMU_RBD_TEST_SEED runs it again.
#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <random>

#include "rbd_handler/scsi/opcode_table.h"
#include "tests/unit/device_fixture.h"

namespace tcmurbd::testing {
namespace {

// Mailbox flags: out of order only, as old kernels; and all, READ_LEN among them.
constexpr uint16_t kOldKernel = 0x1;
constexpr uint16_t kNewKernel = 0xf;

uint64_t seed_of_run() {
  const char* fixed = std::getenv("TCMU_RBD_TEST_SEED");
  const uint64_t seed = fixed ? std::strtoull(fixed, nullptr, 0) : std::random_device()();
  std::printf("seed %llu\n", static_cast<unsigned long long>(seed));
  return seed;
}

class Answers {
 public:
  explicit Answers(uint16_t flags) : lun(128, {.flags = flags}) {
    facts_.unit_serial = "8d6d3a3e-5c71-4f22-b9e0-0123456789ab";
    facts_.groups = {{.id = 1, .supported_states = 0x0f, .relative_ports = {1, 2}},
                     {.id = 2, .supported_states = 0x0f, .relative_ports = {3}}};
  }

  // Sends a command, completes everything it needs, and returns its only answer.
  FakeResult ask(FakeCommand command) {
    const uint64_t tag = lun.send(std::move(command));
    if (lun.effects.take_fetch(lun.device)) lun.device.on_target_facts(facts_, lun.now);
    lun.ring();
    lun.finish_all();
    auto result = lun.kernel.take_result(tag);
    EXPECT_TRUE(result) << "not answered";
    EXPECT_FALSE(lun.kernel.broken()) << lun.kernel.broken_reason();
    EXPECT_TRUE(lun.device.idle());
    return result.value_or(FakeResult{});
  }

  DeviceFixture lun;

 private:
  scsi::TargetFacts facts_;
};

// A command with an ALLOCATION LENGTH of `bytes` bytes at `at`.
struct Question {
  const char* what;
  Bytes cdb;
  size_t at, bytes;

  Bytes with_allocation(size_t length) const {
    Bytes out = cdb;
    for (size_t i = 0; i < bytes; ++i)
      out[at + i] = static_cast<uint8_t>(length >> (8 * (bytes - 1 - i)));
    return out;
  }
};

// Every answer that the disk generates itself: commands, pages, formats. EveryRow covers the whole
// table.
std::vector<Question> questions() {
  std::vector<Question> all = {
      {"REQUEST SENSE, fixed", {0x03, 0, 0, 0, 0, 0}, 4, 1},
      {"REQUEST SENSE, descriptors", {0x03, 1, 0, 0, 0, 0}, 4, 1},
      {"INQUIRY", {0x12, 0, 0, 0, 0, 0}, 3, 2},
      {"READ CAPACITY(16)", {0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 10, 4},
      {"port groups", {0xa3, 0x0a, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 6, 4},
      {"port groups, extended", {0xa3, 0x2a, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 6, 4},
      {"all operation codes", {0xa3, 0x0c, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 6, 4},
      {"all with timeouts", {0xa3, 0x0c, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 6, 4},
      {"one operation code", {0xa3, 0x0c, 0x81, 0x28, 0, 0, 0, 0, 0, 0, 0, 0}, 6, 4},
      {"task management", {0xa3, 0x0d, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 6, 4},
      {"no operation code", {0xa3, 0x0c, 0x01, 0xc0, 0, 0, 0, 0, 0, 0, 0, 0}, 6, 4},
      {"defects(10)", {0x37, 0, 0x18, 0, 0, 0, 0, 0, 0, 0}, 7, 2},
      {"defects(12)", {0xb7, 0x18, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 6, 4},
      {"log pages", {0x4d, 0, 0x40, 0xff, 0, 0, 0, 0, 0, 0}, 7, 2},
  };
  for (int page = 0; page < 256; ++page) {
    const auto code = static_cast<uint8_t>(page);
    all.push_back({"INQUIRY, VPD", {0x12, 1, code, 0, 0, 0}, 3, 2});
    if (page >= 0x40) continue;
    all.push_back(
        {"LOG SENSE", {0x4d, 0, static_cast<uint8_t>(0x40 | page), 0, 0, 0, 0, 0, 0, 0}, 7, 2});
    all.push_back({"MODE SENSE(6)", {0x1a, 0, code, 0, 0, 0}, 4, 1});
    all.push_back(
        {"MODE SENSE(6), masks", {0x1a, 8, static_cast<uint8_t>(0x40 | page), 0, 0, 0}, 4, 1});
    all.push_back({"MODE SENSE(10)", {0x5a, 0x10, code, 0, 0, 0, 0, 0, 0, 0}, 7, 2});
  }
  return all;
}

// The first min(allocation, expected, whole) bytes of the whole answer, then nothing with READ_LEN,
// else zeroes.
void expect_cut(Answers& disk, bool tells_length, const Question& question, const Bytes& whole,
                size_t allocation, size_t expected) {
  const FakeResult result = disk.ask({.cdb = question.with_allocation(allocation),
                                      .data_in_bytes = static_cast<uint32_t>(expected)});
  const size_t filled = std::min({allocation, expected, whole.size()});
  Bytes cut(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(filled));
  if (!tells_length || filled == 0) cut.resize(expected);
  ASSERT_EQ(result.status, 0x00);
  ASSERT_EQ(result.data_in, cut) << "allocation " << allocation << " expected " << expected;
}

TEST(DeviceAnswers, AreCutAndNeverFilledUpWithOthersBytes) {
  size_t served = 0;
  for (const uint16_t flags : {kOldKernel, kNewKernel}) {
    Answers disk(flags);
    Answers reference(kNewKernel);
    for (const Question& question : questions()) {
      const size_t limit = question.bytes == 1 ? 0xff : 0xffff;
      const FakeResult all =
          reference.ask({.cdb = question.with_allocation(limit), .data_in_bytes = 0x10000});
      if (all.status != 0x00) continue;
      ++served;
      SCOPED_TRACE(::testing::Message()
                   << question.what << ' ' << ::testing::PrintToString(question.cdb));
      const Bytes& whole = all.data_in;
      ASSERT_FALSE(whole.empty());
      for (size_t allocation = 0; allocation <= std::min(whole.size() + 2, limit); ++allocation) {
        const size_t less = allocation == 0 ? 0 : allocation - 1;
        for (const size_t expected :
             {size_t{0}, size_t{1}, less, allocation, allocation + 1, whole.size() - 1,
              whole.size(), whole.size() + 1, whole.size() + 600})
          expect_cut(disk, flags == kNewKernel, question, whole, allocation, expected);
        if (::testing::Test::HasFatalFailure()) return;
      }
    }
  }
  EXPECT_GE(served, 2u * 40) << "too few were served to call it a test";
}

TEST(DeviceAnswers, OfAFailedReadHaveNoData) {
  for (const uint16_t flags : {kOldKernel, kNewKernel}) {
    for (const uint32_t expected : {512u, 513u, 4096u, 10000u}) {
      DeviceFixture lun(2048, {.flags = flags});
      const uint64_t tag =
          lun.send({.cdb = DeviceFixture::cdb10(0x28, 0, 1), .data_in_bytes = expected});
      lun.finish(0, -EIO);
      const auto result = lun.kernel.take_result(tag);
      ASSERT_TRUE(result);
      EXPECT_EQ(result->status, 0x02);
      EXPECT_EQ(result->data_in, Bytes()) << "expected " << expected;
    }
  }
}

// The initiator says that it reads, and the CDB writes: the kernel would send the data area back.
TEST(DeviceAnswers, OfAWriteFlaggedAsAReadHaveNothingOfOthers) {
  const Bytes cdbs[] = {
      {0x2a, 0, 0, 0, 0, 0, 0, 0, 2, 0},  // WRITE(10), two blocks
      {0x41, 0, 0, 0, 0, 0, 0, 0, 8, 0},  // WRITE SAME(10)
      {0x89, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0},
      {0x15, 0x10, 0, 0, 0, 0},  // MODE SELECT(6), no list
  };
  for (const uint16_t flags : {kOldKernel, kNewKernel}) {
    for (const Bytes& cdb : cdbs) {
      Answers disk(flags);
      // Compares as much as was written before.
      disk.lun.image.content.assign(disk.lun.image.content.size(), 0xa5);
      const FakeResult result =
          disk.ask({.cdb = cdb, .data_in_bytes = cdb[0] == 0x41 ? 512u : 1024u});
      EXPECT_EQ(result.status, 0x00) << int{cdb[0]};
      EXPECT_EQ(std::ranges::count(result.data_in, uint8_t{0}),
                static_cast<ptrdiff_t>(result.data_in.size()))
          << int{cdb[0]};
    }
  }
}

bool has_stale_bytes(const FakeResult& result) {
  return std::ranges::find(result.data_in, static_cast<uint8_t>(FakeKernel::kStaleByte)) !=
         result.data_in.end();
}

// Every row of the table, with any fields and any status: the medium is all zero, and no answer
// contains the stale byte, so its presence means data of another command.
TEST(DeviceAnswers, OfEveryRowHaveNothingOfOthers) {
  const uint64_t seed = seed_of_run();
  std::mt19937_64 random(seed);
  constexpr std::array<uint32_t, 12> kExpected = {0,  1,   4,   8,   17,   36,
                                                  96, 255, 512, 600, 4096, 4100};
  for (const uint16_t flags : {kOldKernel, kNewKernel}) {
    Answers disk(flags);
    for (const scsi::OpcodeRow& row : scsi::opcode_table()) {
      const auto usage = scsi::cdb_usage(row);
      for (int round = 0; round < 100; ++round) {
        Bytes cdb(row.cdb_length);
        for (size_t i = 0; i < cdb.size(); ++i) {
          const uint64_t dice = random();
          if (dice % 4 == 0) cdb[i] = static_cast<uint8_t>(dice >> 8) & usage[i];
        }
        cdb[0] = row.opcode;
        if (row.service_action)
          cdb[1] = static_cast<uint8_t>((cdb[1] & 0xe0) | *row.service_action);
        const uint32_t expected = kExpected[random() % kExpected.size()];
        const FakeResult result = disk.ask({.cdb = cdb, .data_in_bytes = expected});
        ASSERT_LE(result.data_in.size(), expected);
        // A write that is flagged as a read puts them on the medium, which cannot be detected: the
        // ring does not contain the direction of the data.
        std::ranges::fill(disk.lun.image.content, uint8_t{0});
        ASSERT_TRUE(!has_stale_bytes(result))
            << row.name << ' ' << ::testing::PrintToString(cdb) << " expected " << expected
            << " status " << int{result.status} << " seed " << seed;
      }
    }
  }
}

// Any operation code and service action, with parameter data of any kind and either direction.
TEST(DeviceAnswers, ComeOnceForEveryOperationCode) {
  const uint64_t seed = seed_of_run();
  std::mt19937_64 random(seed);
  Answers disk(kNewKernel);
  for (int opcode = 0; opcode < 256; ++opcode) {
    for (int round = 0; round < 96; ++round) {
      Bytes cdb(16);
      for (uint8_t& byte : cdb) byte = random() % 2 == 0 ? 0 : static_cast<uint8_t>(random());
      cdb[0] = static_cast<uint8_t>(opcode);
      if (round < 32) cdb[1] = static_cast<uint8_t>(round);
      Bytes data(random() % 3 == 0 ? 512 * (random() % 4) : random() % 700);
      for (uint8_t& byte : data) byte = random() % 3 == 0 ? static_cast<uint8_t>(random()) : 0;
      const bool writes = random() % 2 == 0;
      FakeCommand command{.cdb = cdb};
      if (writes) {
        command.data_out = data;
      } else {
        command.data_in_bytes = static_cast<uint32_t>(data.size());
      }
      const FakeResult result = disk.ask(std::move(command));
      ASSERT_EQ(result.how, FakeResult::How::kAnswered);
      const bool sense_if_refused = result.status != 0x02 || (result.sense[2] & 0x0f) != 0;
      ASSERT_TRUE(sense_if_refused && !::testing::Test::HasFailure())
          << "CDB " << ::testing::PrintToString(cdb) << " seed " << seed;
    }
  }
  EXPECT_EQ(disk.lun.kernel.violations(), std::vector<std::string>());
}

}  // namespace
}  // namespace tcmurbd::testing
