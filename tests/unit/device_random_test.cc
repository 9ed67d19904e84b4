// SPDX-License-Identifier: Apache-2.0
// A whole LUN against a model: commands at random over few blocks, image ops that end in any order.
// Checks: no two overlapping ops are in the image at once; a read returns the data of earlier
// writes; all commands are answered.
#include <gtest/gtest.h>

#include <map>
#include <random>

#include "tests/unit/device_fixture.h"

namespace tcmurbd::testing {
namespace {

constexpr uint32_t kBlocks = 64;

class DeviceRandom : public ::testing::TestWithParam<int> {
 protected:
  struct ReadExpectation {
    uint32_t lba;
    Bytes model;  // The blocks as the commands before it leave them.
  };

  uint64_t issue_write(std::mt19937& rng) {
    const uint32_t lba = rng() % kBlocks;
    const uint32_t blocks = 1 + rng() % std::min(kBlocks - lba, 8u);
    Bytes data(blocks * 512);
    for (auto& byte : data) byte = static_cast<uint8_t>(rng());
    std::copy(data.begin(), data.end(), model_.begin() + lba * 512);
    return kernel_queue({.cdb = DeviceFixture::cdb10(0x2a, lba, static_cast<uint16_t>(blocks)),
                         .data_out = std::move(data),
                         .scattered = rng() % 2 == 0});
  }
  uint64_t issue_write_same(std::mt19937& rng) {
    const uint32_t lba = rng() % kBlocks;
    const uint32_t blocks = 1 + rng() % (kBlocks - lba);
    Bytes pattern(512, static_cast<uint8_t>(rng() % 2 * rng()));
    for (uint32_t i = 0; i < blocks; ++i) {
      std::copy(pattern.begin(), pattern.end(), model_.begin() + (lba + i) * 512);
    }
    return kernel_queue({.cdb = DeviceFixture::cdb10(0x41, lba, static_cast<uint16_t>(blocks)),
                         .data_out = std::move(pattern)});
  }
  // As expected, or with one wrong byte.
  uint64_t issue_compare_and_write(std::mt19937& rng) {
    const auto lba = static_cast<uint8_t>(rng() % kBlocks);
    const auto block = model_.begin() + lba * 512;
    Bytes data(block, block + 512);
    for (int i = 0; i < 512; ++i) data.push_back(static_cast<uint8_t>(rng()));
    const bool differs = rng() % 2 == 0;
    const uint32_t at = rng() % 512;
    if (differs)
      data[at] ^= 0x10;
    else
      std::copy(data.begin() + 512, data.end(), block);
    const uint64_t tag = kernel_queue({.cdb = {0x89, 0, 0, 0, 0, 0, 0, 0, 0, lba, 0, 0, 0, 1, 0, 0},
                                       .data_out = std::move(data),
                                       .scattered = rng() % 2 == 0});
    if (differs) miscompares_[tag] = at;
    return tag;
  }
  // VERIFY(10) with all data or one block for all, WRITE AND VERIFY(10), ORWRITE(16).
  uint64_t issue_verify(std::mt19937& rng) {
    const uint32_t lba = rng() % kBlocks;
    const bool one_block = rng() % 4 == 0;
    const uint32_t blocks = one_block ? 1 : 1 + rng() % std::min(kBlocks - lba, 8u);
    Bytes data(model_.begin() + lba * 512, model_.begin() + (lba + blocks) * 512);
    const bool differs = rng() % 2 == 0;
    const auto at = static_cast<uint32_t>(rng() % data.size());
    if (differs) data[at] ^= 0x01;
    Bytes cdb = DeviceFixture::cdb10(0x2f, lba, static_cast<uint16_t>(blocks));
    cdb[1] = one_block ? 0x06 : 0x02;  // BYTCHK
    const uint64_t tag = kernel_queue(
        {.cdb = std::move(cdb), .data_out = std::move(data), .scattered = rng() % 2 == 0});
    if (differs) miscompares_[tag] = at;
    return tag;
  }
  uint64_t issue_write_and_verify(std::mt19937& rng) {
    const uint32_t lba = rng() % kBlocks;
    const uint32_t blocks = 1 + rng() % std::min(kBlocks - lba, 8u);
    Bytes data(blocks * 512);
    for (auto& byte : data) byte = static_cast<uint8_t>(rng());
    std::copy(data.begin(), data.end(), model_.begin() + lba * 512);
    Bytes cdb = DeviceFixture::cdb10(0x2e, lba, static_cast<uint16_t>(blocks));
    cdb[1] = rng() % 2 == 0 ? 0x00 : 0x02;
    return kernel_queue({.cdb = std::move(cdb), .data_out = std::move(data)});
  }
  uint64_t issue_orwrite(std::mt19937& rng) {
    const auto lba = static_cast<uint8_t>(rng() % kBlocks);
    const auto blocks = static_cast<uint8_t>(1 + rng() % std::min(kBlocks - lba, 8u));
    Bytes data(blocks * 512u);
    for (size_t i = 0; i < data.size(); ++i)
      model_[lba * 512u + i] |= data[i] = static_cast<uint8_t>(1 << rng() % 8);
    return kernel_queue({.cdb = {0x8b, 0, 0, 0, 0, 0, 0, 0, 0, lba, 0, 0, 0, blocks, 0, 0},
                         .data_out = std::move(data),
                         .scattered = rng() % 2 == 0});
  }
  uint64_t issue_read(std::mt19937& rng) {
    const uint32_t lba = rng() % kBlocks;
    const uint32_t blocks = 1 + rng() % std::min(kBlocks - lba, 8u);
    const uint64_t tag =
        kernel_queue({.cdb = DeviceFixture::cdb10(0x28, lba, static_cast<uint16_t>(blocks)),
                      .data_in_bytes = blocks * 512,
                      .scattered = rng() % 2 == 0});
    reads_[tag] = {lba, Bytes(model_.begin() + lba * 512, model_.begin() + (lba + blocks) * 512)};
    return tag;
  }
  uint64_t kernel_queue(FakeCommand command) { return lun_.kernel.queue(std::move(command)); }

  void do_some_first_part(std::mt19937& rng) {
    auto& pending = lun_.image.pending;
    if (pending.empty()) return;
    const size_t index = rng() % pending.size();
    if (pending[index].found.empty()) lun_.image.do_first_part(index);
  }

  void collect() {
    for (auto it = open_.begin(); it != open_.end();) {
      const auto result = lun_.kernel.take_result(*it);
      if (!result) {
        ++it;
        continue;
      }
      if (const auto miscompare = miscompares_.find(*it); miscompare != miscompares_.end()) {
        ASSERT_EQ(result->status, 0x02);
        ASSERT_EQ(result->sense[2], 0x0e);
        ASSERT_EQ(result->sense[5] * 256u + result->sense[6], miscompare->second) << "INFORMATION";
        miscompares_.erase(miscompare);
        it = open_.erase(it);
        continue;
      }
      ASSERT_EQ(result->status, 0x00);
      if (const auto read = reads_.find(*it); read != reads_.end()) {
        ASSERT_EQ(result->data_in, read->second.model) << "read of LBA " << read->second.lba;
        reads_.erase(read);
      }
      it = open_.erase(it);
    }
  }

  DeviceFixture lun_{kBlocks, {.ring_bytes = 16 * 1024 - 128, .block_bytes = 512, .blocks = 512}};
  Bytes model_ = Bytes(kBlocks * 512, 0);
  std::map<uint64_t, ReadExpectation> reads_;
  std::map<uint64_t, uint32_t> miscompares_;  // Tag, first byte that differs.
  std::vector<uint64_t> open_;
};

TEST_P(DeviceRandom, AcknowledgedContentsMatchTheModel) {
  const unsigned seed = std::random_device{}();
  SCOPED_TRACE(::testing::Message() << "seed " << seed);
  std::mt19937 rng(seed);
  for (int step = 0; step < 20000; ++step) {
    switch (rng() % 9) {
      case 0:
        open_.push_back(rng() % 3 == 0   ? issue_compare_and_write(rng)
                        : rng() % 3 == 0 ? issue_orwrite(rng)
                        : rng() % 3 == 0 ? issue_write_and_verify(rng)
                                         : issue_write(rng));
        break;
      case 1:
        open_.push_back(rng() % 3 == 0 ? issue_verify(rng) : issue_read(rng));
        break;
      case 4:
        do_some_first_part(rng);
        break;
      case 2:
        open_.push_back(rng() % 4 == 0 ? issue_write_same(rng)
                                       : kernel_queue({.cdb = {0x35, 0, 0, 0, 0, 0, 0, 0, 0, 0}}));
        break;
      case 3:
        lun_.run();
        break;
      default:
        if (!lun_.image.pending.empty()) lun_.finish(rng() % lun_.image.pending.size());
    }
    ASSERT_FALSE(lun_.image.overlap_seen)
        << "overlapping ops were with the image at once, step " << step;
    ASSERT_FALSE(lun_.kernel.broken()) << lun_.kernel.broken_reason();
    collect();
    if (HasFatalFailure()) return;
  }
  while (!open_.empty() && !HasFatalFailure()) {
    lun_.run();
    lun_.finish_all();
    collect();
  }
  EXPECT_EQ(lun_.image.content, model_);
  EXPECT_TRUE(lun_.device.idle());
  EXPECT_EQ(lun_.kernel.violations(), std::vector<std::string>{});
}

INSTANTIATE_TEST_SUITE_P(Rounds, DeviceRandom, ::testing::Range(0, 3));

}  // namespace
}  // namespace tcmurbd::testing
