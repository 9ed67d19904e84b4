// SPDX-License-Identifier: Apache-2.0
// A LUN between a fake kernel, a fake cluster and a second gateway, which act at random. Checks
// that the guarantee of seen_model.h holds, that every command is answered once and in time, and
// that no state is left over. See tests/unit/device_sim_test.cc.
//
// There are two clocks: now_ of the daemon and its kernel, world_now() of all others. They differ
// after the machine, and with it its clock, was frozen.
#pragma once

#include <boost/container/small_vector.hpp>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "rbd_handler/device/device.h"
#include "tests/support/fake_cluster.h"
#include "tests/support/fake_kernel.h"
#include "tests/support/lun_sim_life.h"
#include "tests/support/procedure_run.h"
#include "tests/support/seen_model.h"
#include "tests/support/taken_effects.h"

namespace tcmurbd::testing {

// Events of one life or many.
struct SimCounts {
  uint64_t steps = 0;
  uint64_t fences = 0;
  uint64_t releases = 0;
  uint64_t aborts = 0;
  uint64_t deadlines = 0;
  uint64_t expired = 0;
  uint64_t freezes = 0;
  uint64_t dropped_sessions = 0;
  uint64_t outside_resets = 0;
  uint64_t removed_entries = 0;
  uint64_t resizes = 0;
  uint64_t crashes = 0;
  uint64_t errors = 0;

  void add(const SimCounts& other);
  std::string to_string() const;
};

class LunSim {
 public:
  explicit LunSim(const Life& life);

  // One event. Failures are gtest's.
  void step();
  // The cluster is healthy from now on: everything ends, and the final state is checked.
  void heal();

  SimCounts counts() const;

 private:
  static constexpr uint32_t kBlocks = 64;
  static constexpr uint32_t kBlocksPerGroup = 8;
  static constexpr OpToken kPeersOp = UINT32_MAX;
  // A host gives up a session that is silent for this long.
  static constexpr Duration kHostPatience = std::chrono::milliseconds(2500);
  // The cluster removes a watch that is silent for this long.
  static constexpr Duration kWatchTimeout = std::chrono::milliseconds(4000);
  // A peer breaks the lock of an owner that does not answer for this long.
  static constexpr Duration kPeerPatience = std::chrono::milliseconds(1000);

  struct Pending {
    boost::container::small_vector<BlockRun, 1> runs{};  // Its range; empty: a flush.
    uint32_t id = 0;                                     // Of a write; 0: it changes nothing.
    bool status = false;                                 // GET LBA STATUS.
    std::optional<uint32_t> shown{};  // VERIFY, COMPARE AND WRITE: the content that GOOD confirms.
    std::vector<uint64_t> newest{};   // For commands that read, for each block.
    std::shared_ptr<std::vector<uint8_t>> memory{};  // For a read or write of a copy.
    bool of_long_copy = false;
    TimePoint since{};            // When the kernel put it on the ring.
    uint32_t size_max = kBlocks;  // The image's maximum size during the command.
  };

  // An EXTENDED COPY whose destination is this LUN, and that writes in pieces, one after the other.
  struct LongCopy {
    uint64_t copy = 0;
    uint32_t id = 0;  // The write in the model.
    TimePoint issued{};
    BlockRun whole{};
    uint32_t written = 0;   // Blocks.
    bool waits = false;     // For the end of a piece.
    bool given_up = false;  // By its host.
  };

  // In turn: high load; high load with few completions; low load, which allows events that need
  // calm (a hand-over of the lock).
  enum class Weather : uint8_t { kBad, kStuck, kCalm };
  Weather weather() const;

  bool chance(uint32_t one_in) { return random_() % one_in == 0; }
  uint32_t below(uint32_t limit) { return static_cast<uint32_t>(random_() % limit); }
  TimePoint world_now() const { return now_ + skew_; }

  void check_invariants();
  void check_look(const std::optional<std::string>& wrong) const;

  // --- the initiator (lun_sim_initiator.cc) ---
  void issue();
  FakeCommand compose(Pending& command);
  FakeCommand compose_write(Pending& command);
  FakeCommand compose_unmap(Pending& command);
  FakeCommand compose_compare_and_write(Pending& command);
  void issue_for_a_copy();
  void go_on_copying();
  void end_long_copy(bool good);
  void abort_one();
  void reset_lun();
  void remember_newest(Pending& command) const;

  // --- its answers (lun_sim_answers.cc) ---
  void collect();
  void collect_of_copies();
  void answered(uint64_t tag, const Pending& command, const FakeResult& result);
  void check_sense(const Pending& command, const FakeResult& result) const;
  void check_order(uint64_t tag, const Pending& command) const;
  void check_status(const Pending& command, const std::vector<uint8_t>& data) const;
  void good(const Pending& command, const std::vector<uint8_t>& data_in);
  void check_aborted();
  void check_overdue();

  // --- the daemon's edges (lun_sim_daemon.cc) ---
  DeviceSettings settings() const;
  ring::Ring fresh_ring();
  void run_device();
  void take_effects();
  void take_action();
  void pass_time();
  void expire();
  void report_done(const OpDone& done);
  void restart_ring();
  void tell_watch_lost();
  void thaw(Duration gap);

  // --- faults (lun_sim_faults.cc) ---
  void inject();
  void freeze_daemon();
  void freeze_machine();
  void drop_session();
  void drop_silent_session();
  void deliver_late();
  void reset_ring();
  void remove_entry();
  void resize();
  void change_role();
  void change_limits();
  void crash();
  void start_successor();

  // --- the cluster (lun_sim_cluster.cc) ---
  void end_some_op();
  void end_op(FakeInstance& instance, size_t index);
  void close_some_instance();
  void run_action(bool friendly);
  bool acquire(bool friendly);
  void release(bool friendly);
  void fence(bool friendly);
  void reopen(bool friendly);

  // --- taking the lock (lun_sim_lock.cc) ---
  class LockPort;
  class OurPort;
  class PeersPort;
  // One that is under way; calls of its port are events.
  struct LockAcquisition {
    void start(std::unique_ptr<ceph::LockCluster> with);
    bool under_way() const { return run.has_value(); }
    std::optional<ProcedureRun::Outcome> step();
    void stop();

    std::unique_ptr<ceph::LockCluster> port{};
    std::optional<ProcedureRun> run{};
  };
  std::string address_of(const FakeInstance& instance) const;
  FakeInstance& instance_at(const std::string& address);
  void start_taking();
  void peer_starts_taking();
  void taken(const ProcedureRun::Outcome& outcome);

  // --- the other gateway (lun_sim_peer.cc) ---
  void peer_turn();
  void peer_goes_on_taking();
  void ask_daemon();
  void hear_daemon(lock::PeerAnswer answer);
  void peer_works();
  void peer_leaves_a_write_behind(uint32_t block);
  bool peer_keeps_off(uint32_t block);

  const Life life_;
  std::mt19937 random_;
  FakeKernel kernel_;
  FakeCluster cluster_{kBlocks, kBlocksPerGroup};
  SeenModel model_{kBlocks};
  FakeInstance* mine_;
  FakeInstance* peer_;
  bool peer_alive_ = true;
  bool peer_serves_ = false;                // It has the lock, and the procedure has succeeded.
  LockAcquisition taking_;                  // Of the daemon's gateway,
  LockAcquisition peer_taking_;             // and of the other.
  std::optional<uint64_t> peer_asks_;       // Its request that is not answered yet,
  bool peer_unheard_ = false;               // and that a frozen daemon has not heard,
  std::optional<ceph::Asked> peer_answer_;  // or that it answered.
  TimePoint peer_gives_up_{};
  bool healing_ = false;
  uint64_t last_request_ = 0;
  std::unique_ptr<Device> device_;  // None: it has crashed.
  TakenEffects effects_;
  // Earlier instances that are not closed, by number: an order that a seed repeats.
  std::map<uint32_t, FakeInstance*> numbers_;
  bool frozen_ = false;        // The device gets no events.
  TimePoint frozen_since_{};   // In world time.
  std::vector<OpDone> inbox_;  // Ops that ended meanwhile.
  lock::Action action_ = lock::Action::kNone;
  TimePoint now_{std::chrono::hours(1)};
  Duration skew_{};
  TimePoint awake_since_{};
  std::optional<TimePoint> releasing_since_;
  bool watch_lost_ = false;  // The daemon does not know it.
  uint64_t clock_ = 0;       // Of the model: counts events.
  uint32_t device_blocks_ = kBlocks;
  std::map<uint64_t, Pending> open_;  // Commands by the kernel's tag.
  std::set<uint64_t> given_up_;       // Commands of lost sessions.
  std::vector<FakeCommand>
      late_;  // Commands of such sessions that the kernel has not received yet.
  std::vector<uint64_t> aborted_;       // To be answered at once.
  std::map<uint64_t, Pending> copies_;  // Reads and writes of copies, by copy; each has only one.
  uint64_t last_copy_ = 0;
  std::optional<LongCopy> long_copy_;
  SimCounts counts_;
};

}  // namespace tcmurbd::testing
