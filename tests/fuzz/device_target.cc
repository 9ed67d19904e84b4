// SPDX-License-Identifier: Apache-2.0
// A whole LUN with a kernel that follows the protocol and initiators that do not: any CDB with any
// data in either direction, aborts, resets, timeouts; image and lock are controlled by the input.
#include <array>
#include <optional>
#include <set>

#include "common/check.h"
#include "tests/fuzz/input.h"
#include "tests/fuzz/lun_driver.h"
#include "tests/fuzz/targets.h"
#include "tests/support/fake_kernel.h"

namespace tcmurbd::fuzz {
namespace {

using testing::FakeCommand;
using testing::FakeKernel;
using testing::FakeResult;

constexpr uint32_t kDataBytesMax = 16 * 1024;
constexpr size_t kOpenMax = 200;
// Operation codes whose data goes to the disk. The ring does not contain a command's direction: one
// of these that comes with a Data-In buffer writes the data of an earlier command from that buffer
// to the disk, where reads find it; its own answer must not contain any of it.
constexpr std::array<uint8_t, 24> kTakesDataOut{0x0a, 0x15, 0x2a, 0x2e, 0x2f, 0x3b, 0x41, 0x42,
                                                0x50, 0x51, 0x53, 0x55, 0x7f, 0x83, 0x89, 0x8a,
                                                0x8b, 0x8e, 0x8f, 0x93, 0x9c, 0xaa, 0xae, 0xaf};
constexpr auto kStale = static_cast<uint8_t>(FakeKernel::kStaleByte);

class Initiators {
 public:
  Initiators(FakeKernel& kernel, LunDriver& lun) : kernel_(kernel), lun_(lun) {}

  void act(Input& input) {
    switch (input.below(8)) {
      case 0:
      case 1:
        return send(any_command(input));
      case 2:
        return send(read_or_write(input));
      case 3:
        if (const auto tag = some_tag(input)) kernel_.abort(*tag);
        return;
      case 4:
        if (input.below(4) == 0) kernel_.lun_reset();
        return;
      case 5:
        if (const auto tag = some_tag(input);
            tag && kernel_.cmd_id(*tag) && expired_.insert(*tag).second)
          kernel_.expire(*tag);
        return;
      default:
        return lun_.event(input);
    }
  }

  // Every command has exactly one result, which satisfies the rules for answers.
  void collect() {
    CHECK(!kernel_.broken());
    std::erase_if(open_, [this](const Open& open) {
      const auto result = kernel_.take_result(open.tag);
      if (result) check(*result, stale_let_in_ && !open.takes_data_out);
      return result.has_value();
    });
  }
  void check_all_answered() {
    collect();
    CHECK(open_.empty() && kernel_.on_ring() == 0 && kernel_.kept() == 0);
    CHECK(kernel_.waiting() == 0 && kernel_.waiting_tmrs() == 0);
    CHECK(kernel_.violations().empty());
  }

 private:
  struct Open {
    uint64_t tag;
    bool takes_data_out;
  };

  void send(FakeCommand command) {
    if (open_.size() == kOpenMax) return;
    const bool takes_data_out =
        std::ranges::find(kTakesDataOut, command.cdb[0]) != kTakesDataOut.end();
    stale_let_in_ |= takes_data_out && command.data_in_bytes != 0;
    open_.push_back({kernel_.queue(std::move(command)), takes_data_out});
  }
  std::optional<uint64_t> some_tag(Input& input) {
    if (open_.empty()) return std::nullopt;
    return open_[input.below(static_cast<uint32_t>(open_.size()))].tag;
  }

  // Data from initiators never contains the byte with which the fake kernel marks stale data.
  static std::vector<uint8_t> clean(std::span<const uint8_t> bytes) {
    std::vector<uint8_t> copy(bytes.begin(), bytes.end());
    std::ranges::replace(copy, kStale, uint8_t{0x5a});
    return copy;
  }
  static FakeCommand any_command(Input& input) {
    FakeCommand command;
    // The kernel hands over whole CDBs.
    command.cdb = clean(input.bytes(16));
    command.cdb.resize(16);
    if (command.cdb[0] == 0x7f) {
      const auto more = clean(input.bytes(command.cdb[7]));
      command.cdb.resize(8);
      command.cdb.insert(command.cdb.end(), more.begin(), more.end());
      command.cdb.resize(8u + command.cdb[7]);
    }
    add_data(input, command);
    return command;
  }
  static void add_data(Input& input, FakeCommand& command) {
    const uint8_t how = input.byte();
    command.scattered = (how & 4) != 0;
    if ((how & 3) == 0) return;
    if ((how & 3) == 1) {
      command.data_in_bytes = input.below(kDataBytesMax);
      return;
    }
    // Parameter data byte by byte, then more of it up to a length that may fit the CDB.
    command.data_out = clean(input.bytes(input.byte()));
    if ((how & 8) != 0) command.data_out.resize(512 * input.below(17), how >> 4);
  }
  static FakeCommand read_or_write(Input& input) {
    const uint8_t how = input.byte();
    const auto lba = static_cast<uint8_t>(input.below(100));
    const auto blocks = static_cast<uint8_t>(input.below(9));
    const bool writes = (how & 1) != 0;
    FakeCommand command{.cdb = {uint8_t(writes ? 0x2a : 0x28), 0, 0, 0, 0, lba, 0, 0, blocks, 0},
                        .scattered = (how & 2) != 0};
    if (writes)
      command.data_out.assign(blocks * 512u, how >> 2);
    else
      command.data_in_bytes = blocks * 512u;
    return command;
  }

  static void check(const FakeResult& result, bool may_be_stale) {
    if (result.how != FakeResult::How::kAnswered) return;
    switch (result.status) {
      case 0x00:  // GOOD
        for (const uint8_t byte : result.data_in) CHECK(byte != kStale || may_be_stale);
        return;
      case 0x02:  // CHECK CONDITION: current, fixed format
        CHECK(result.sense[0] == 0x70 || result.sense[0] == 0xf0);
        CHECK((result.sense[2] & 0x0f) != 0);
        return;
      case 0x08:  // BUSY
      case 0x18:  // RESERVATION CONFLICT
      case 0x40:  // TASK ABORTED
        return;
      default:
        UNREACHABLE();
    }
  }

  FakeKernel& kernel_;
  LunDriver& lun_;
  std::vector<Open> open_;
  std::set<uint64_t> expired_;
  bool stale_let_in_ = false;
};

}  // namespace

void device(Bytes bytes) {
  Input input(bytes);
  const uint8_t kind = input.byte();
  FakeKernel kernel({.block_bytes = 512,
                     .blocks = 64,
                     .flags = static_cast<uint16_t>(1 | (kind & 0xe)),
                     .tmr_notification = (kind & 4) != 0});
  std::optional<LunDriver> lun;
  lun.emplace(ring::Ring::attach(kernel.map()).value(),
              DeviceSettings{.reads_need_lock = (kind & 0x10) != 0}, [&] {
                if (lun->device().publish()) kernel.doorbell();
                for (const auto& [id] : lun->freed()) CHECK(kernel.free_kept_buf(id));
              });
  Initiators initiators(kernel, *lun);
  while (!input.empty()) {
    initiators.act(input);
    initiators.collect();
    CHECK(lun->device().broken_reason().empty());
  }
  // Commands that wait for space come after the earlier ones were taken.
  const auto left = [&] { return kernel.on_ring() + kernel.waiting() + kernel.waiting_tmrs(); };
  for (int turn = 0; turn == 0 || (left() != 0 && turn < 300); ++turn) lun->settle();
  initiators.check_all_answered();
}

}  // namespace tcmurbd::fuzz
