// SPDX-License-Identifier: Apache-2.0
// One image in a model of RADOS, shared by any number of client instances, for tests with hung ops.
// It models the observed behaviour of librbd and RADOS:
//
//  - an op ends when the test says, in any order, late or never, well or with an error;
//  - an instance can be blocklisted, which makes a new map epoch. That stops nothing by itself: a
//    placement group refuses an old instance's ops (-ESHUTDOWN) only once an op of an instance that
//    has that epoch was executed there. Until then they are applied;
//  - an entry of the blocklist can be removed, which makes a new epoch too: a placement group that
//    has heard of it takes the old instance's ops again;
//  - -ESHUTDOWN does not mean that nothing was applied, and neither does -ETIMEDOUT, after which an
//    op may still be applied until the instance's connections are closed, or for a process that
//    died, at any time;
//  - a change without the exclusive lock is refused at once (-EROFS), and one to an image that is
//    not primary when it is executed (kNotPrimary);
//  - what is read and then written, or written and then read, are two ops of RADOS, and all of the
//    above may come between them.
//
// A block holds one number, the write's id, in its first four bytes; 0 reads as zeroes.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <random>
#include <vector>

#include "rbd_handler/image.h"

namespace tcmurbd::testing {

inline constexpr uint32_t kBlockBytes = 512;

class FakeCluster;

// The state that decides whether a placement group executes an instance's ops.
struct FakeStanding {
  uint64_t epoch = 0;           // Of the instance's map.
  uint64_t blocklisted_at = 0;  // The first epoch that has it; 0: it never was.
  uint64_t removed_at = 0;      // The first epoch without it; 0: it was not removed.
};

class FakeInstance final : public Image {
 public:
  FakeInstance(FakeCluster& cluster, uint64_t epoch) : cluster_(cluster), standing_{epoch} {}

  void submit(const ImageOp& op, OpToken token) override;
  void give_up(OpToken token) override;

  // Ops that have not been reported yet.
  size_t pending() const { return pending_.size(); }
  size_t gave_up() const { return gave_up_.size(); }
  // Whether a change of it may still be applied.
  bool changes_pending() const;
  // Whether a change of it that touches the block may still be applied.
  bool may_change(uint32_t block) const;
  // Executes the first of two parts of pending op `index`; no effect if it has only one part, or
  // was called before.
  void do_first_part(size_t index);
  bool first_part_left(size_t index) const;
  // Whether it was given up before any part of it started.
  bool may_cancel(size_t index) const;
  // Executes pending op `index`, or the rest of it, and reports it. A blocklisted instance may get
  // -ESHUTDOWN for an op that was applied.
  OpDone finish(size_t index, bool may_lie);
  // Reports `error` for it; `partly`: its first block was changed before.
  OpDone fail(size_t index, int32_t error, bool partly);
  // Reports -ETIMEDOUT for it; it is executed by late(), or never.
  OpDone time_out(size_t index);
  // Executes one that was timed out.
  void late(size_t index);
  // Its process died: no op is reported any more, and its changes may be applied late.
  void die();
  bool dead() const { return dead_; }
  // Its connections are closed: ops that timed out are not executed any more. REQUIRES: pending()
  // == 0
  void close();

  // The image was shrunk to `blocks`: ops in flight beyond them end with -ERANGE.
  void cut(uint32_t blocks);

  // Has the lock now, but not the newest map.
  void take_lock();
  // Releases the lock. REQUIRES: it has it.
  void release();
  void take_newest_map();
  const FakeStanding& standing() const { return standing_; }
  // Whether a change that may still be applied was submitted to it after it was blocklisted.
  bool changed_when_listed() const;
  bool blocklisted() const { return standing_.blocklisted_at != 0; }
  bool removed() const { return standing_.removed_at != 0; }
  void blocklist(uint64_t epoch) {
    standing_.blocklisted_at = epoch;
    standing_.removed_at = 0;
  }
  void remove_entry(uint64_t epoch) { standing_.removed_at = epoch; }

 private:
  struct Op {
    ImageOp op;
    OpToken token;
    uint32_t id;                    // What it writes, or compares with.
    uint32_t expected;              // Of kCompareAndWrite.
    bool refused;                   // Submitted without the lock.
    std::vector<uint32_t> found{};  // The content of each block that its first part read or wrote.
    bool failed = false;            // Its first part was refused by a placement group.
    bool cut = false;               // The image became too small for it.
    bool given_up = false;
    bool when_listed = false;  // The instance was blocklisted when this was submitted.

    uint32_t first() const { return static_cast<uint32_t>(op.range.offset / kBlockBytes); }
    uint32_t blocks() const { return static_cast<uint32_t>(op.range.length / kBlockBytes); }
  };
  Op take(size_t index);
  int32_t execute(Op& op);
  int32_t compare_and_write(const Op& op);
  void first_part(Op& op);
  bool write(const Op& op);
  bool read(const Op& op, std::vector<uint32_t>& ids);
  void give_back(const Op& op, const std::vector<uint32_t>& ids);

  FakeCluster& cluster_;
  FakeStanding standing_;
  bool dead_ = false;
  bool released_ = false;  // librbd knows that it lost the lock.
  std::vector<Op> pending_;
  std::vector<Op> gave_up_;
};

class FakeCluster {
 public:
  FakeCluster(uint32_t blocks, uint32_t blocks_per_group)
      : content_(blocks),
        blocks_(blocks),
        per_group_(blocks_per_group),
        groups_(blocks / blocks_per_group) {}

  FakeInstance& open();
  void blocklist(FakeInstance& instance);
  // REQUIRES: it was blocklisted.
  void remove_entry(FakeInstance& instance);
  // Every placement group gets the latest map.
  void spread_map();
  // The image's size; removed blocks lose their content, new ones read as zeroes.
  void resize(uint32_t blocks);
  uint32_t blocks() const { return blocks_; }
  uint64_t epoch() const { return epoch_; }

  // False: the placement group refuses it.
  bool write(uint32_t block, uint32_t id, const FakeStanding& standing);
  bool read(uint32_t block, uint32_t& id, const FakeStanding& standing);

  const std::vector<uint32_t>& content() const { return content_; }
  std::deque<FakeInstance>& instances() { return instances_; }
  const std::deque<FakeInstance>& instances() const { return instances_; }

  FakeInstance* lock_owner = nullptr;
  uint64_t lock_changes = 0;  // How often an instance acquired it.
  bool primary = true;
  bool overlap_seen = false;     // Two changes of one instance overlapped.
  bool unlocked_change = false;  // A change was submitted to an instance that never had the lock.
  bool torn = false;             // Another change came between the parts of a successful op.

 private:
  bool reach(uint32_t block, const FakeStanding& standing);

  uint64_t epoch_ = 1;
  std::vector<uint32_t> content_;
  uint32_t blocks_;
  const uint32_t per_group_;
  std::vector<uint64_t> groups_;  // The latest epoch known to each placement group.
  std::deque<FakeInstance> instances_;
};

}  // namespace tcmurbd::testing
