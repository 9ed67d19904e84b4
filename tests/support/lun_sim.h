// SPDX-License-Identifier: Apache-2.0
// A LUN between a fake kernel, a fake cluster and a second gateway, each of which does what it
// likes next; and the model of what may be seen. See tests/unit/device_sim_test.cc.
//
// The model. Each write has an id. It is older than another if it was answered, in whatever way,
// before the other was submitted. Once a write was acknowledged, no read that is submitted after
// that, by whomever, returns one that is older than it.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <vector>

#include "rbd_handler/device.h"
#include "tests/support/fake_cluster.h"
#include "tests/support/fake_kernel.h"

namespace tcmurbd::testing {

class LunSim {
 public:
  struct Options {
    bool keep_buffer = true;
    bool reads_need_lock = false;
  };
  LunSim(uint32_t seed, Options options);

  // One event. Failures are gtest's.
  void step();
  // The cluster is well from now on: everything ends, and what must hold then is checked.
  void heal();

  const Device& device() const { return device_; }

 private:
  static constexpr uint32_t kBlocks = 64;
  static constexpr uint32_t kBlocksPerGroup = 8;
  static constexpr uint64_t kNever = UINT64_MAX;
  static constexpr OpToken kPeersOp = UINT32_MAX;

  struct Write {
    uint64_t submitted = 0;
    uint64_t answered = kNever;
  };
  struct Pending {
    uint32_t block = 0;
    uint32_t count = 0;
    uint32_t id = 0;                                 // Of a write; 0: it changes nothing.
    bool status = false;                             // GET LBA STATUS.
    std::optional<uint32_t> shown{};                 // VERIFY: what GOOD says is there.
    std::vector<uint64_t> newest;                    // Of a read, for each block: see newest_.
    std::shared_ptr<std::vector<uint8_t>> memory{};  // Of a copy's read or write.
  };

  // In turn: much at once; much, and hardly anything ends; little, so that what needs a moment of
  // peace happens too (the lock handed over).
  enum class Weather : uint8_t { kBad, kStuck, kCalm };
  Weather weather() const;

  bool chance(uint32_t one_in) { return random_() % one_in == 0; }
  uint32_t below(uint32_t limit) { return static_cast<uint32_t>(random_() % limit); }

  // The initiator.
  void issue();
  void issue_write(const Pending& command, uint32_t kind, FakeCommand& request);
  void issue_for_a_copy();
  void abort_one();
  void collect();
  void collect_of_copies();
  void answered(const Pending& command, const FakeResult& result);
  void remember_newest(Pending& command) const;
  void check_status(const Pending& command, const std::vector<uint8_t>& data);
  void good(const Pending& command, const std::vector<uint8_t>& data_in);
  void acknowledge(uint32_t block, uint32_t id);
  void check_seen(uint32_t block, uint32_t id, uint64_t newest);

  // The daemon's edges, and the cluster.
  void run_device();
  void pass_time();
  void report_done(const OpDone& done);
  void end_some_op();
  void run_job(bool friendly);
  void acquire(bool friendly);
  void release(bool friendly);
  void fence(bool friendly);
  void reopen(bool friendly);

  // The other gateway.
  void peer_turn();
  void peer_takes();
  void peer_breaks();
  void peer_works();
  void peer_leaves_a_write_behind(uint32_t block);

  std::mt19937 random_;
  FakeKernel kernel_;
  FakeCluster cluster_{kBlocks, kBlocksPerGroup};
  FakeInstance* mine_;
  FakeInstance* peer_;
  bool peer_alive_ = true;
  std::optional<uint64_t> peer_asks_;  // Its request that is not answered yet.
  TimePoint peer_gives_up_{};
  uint64_t last_request_ = 0;
  Device device_;
  lock::Job job_ = lock::Job::kNone;
  TimePoint now_{std::chrono::hours(1)};
  uint64_t clock_ = 0;  // Of the model: counts events.
  uint32_t last_id_ = 0;
  std::vector<Write> writes_{1};  // By id; 0 is the image as it was made.
  std::vector<uint64_t>
      newest_;  // For each block: when the newest acknowledged write was submitted.
  std::map<uint64_t, Pending> open_;    // Commands by the kernel's tag.
  std::map<uint64_t, Pending> copies_;  // Reads and writes of copies, by the copy; it has just one.
  uint64_t last_copy_ = 0;
};

}  // namespace tcmurbd::testing
