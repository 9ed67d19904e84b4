// SPDX-License-Identifier: Apache-2.0
#include "tests/support/lun_sim.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "common/check.h"

namespace tcmurbd::testing {
namespace {

using std::chrono::milliseconds;

// Everything is shorter than in life, so that it happens often.
DeviceSettings settings(const LunSim::Options& options) {
  return {.gate = {.fence_after = milliseconds(400),
                   .fence_calm = milliseconds(1000),
                   .release_after = milliseconds(100),
                   .drain_patience = milliseconds(200),
                   .hold_min = milliseconds(60),
                   .fence_retry = milliseconds(300),
                   .acquire_retry = milliseconds(100)},
          .deadline = milliseconds(1500),
          .reads_need_lock = options.reads_need_lock};
}

FakeKernel::Options kernel_options(const LunSim::Options& options) {
  return {.ring_bytes = 64 * 1024 - 128,
          .block_bytes = kBlockBytes,
          .blocks = 1024,
          .flags = static_cast<uint16_t>(options.keep_buffer ? 0xf : 0x7)};
}

std::vector<uint8_t> blocks_of(uint32_t id, uint32_t count) {
  std::vector<uint8_t> data(size_t{count} * kBlockBytes);
  for (size_t at = 0; at < data.size(); at += kBlockBytes) std::memcpy(&data[at], &id, sizeof id);
  return data;
}

std::vector<uint8_t> cdb10(uint8_t opcode, uint32_t block, uint32_t count) {
  return {opcode, 0, 0, 0, 0, static_cast<uint8_t>(block), 0, 0, static_cast<uint8_t>(count), 0};
}

}  // namespace

LunSim::LunSim(uint32_t seed, Options options)
    : random_(seed),
      kernel_(kernel_options(options)),
      mine_(&cluster_.open()),
      peer_(&cluster_.open()),
      device_(ring::Ring::attach(kernel_.map()).value(), *mine_,
              scsi::DiskFacts{.block_size = kBlockBytes, .blocks = kBlocks}, settings(options)),
      newest_(kBlocks) {}

LunSim::Weather LunSim::weather() const {
  constexpr std::array kCycle{Weather::kBad, Weather::kStuck, Weather::kCalm};
  return kCycle[clock_ / 4096 % kCycle.size()];
}

void LunSim::step() {
  ++clock_;
  switch (below(16)) {
    case 0:
    case 1:
    case 2:
      if (open_.size() < (weather() == Weather::kCalm ? 4 : 40)) issue();
      if (chance(4) && copies_.size() < (weather() == Weather::kCalm ? 1 : 8)) issue_for_a_copy();
      break;
    case 3:
      if (weather() != Weather::kCalm) abort_one();
      break;
    case 4:
      if (weather() != Weather::kCalm && chance(40)) kernel_.lun_reset();
      break;
    case 5:
      peer_turn();
      break;
    case 6:
    case 7:
      pass_time();
      break;
    case 8:
    case 9:
      run_job(weather() == Weather::kCalm);
      break;
    default:
      end_some_op();
  }
  run_device();
  EXPECT_FALSE(cluster_.overlap_seen) << "overlapping ops were with one instance at once";
  EXPECT_FALSE(cluster_.torn) << "something came between the two parts of an op";
  EXPECT_FALSE(cluster_.unlocked_change) << "a change was given to librbd without the lock";
  EXPECT_FALSE(kernel_.broken()) << kernel_.broken_reason();
}

// --- the initiator ---

void LunSim::issue() {
  Pending command{.block = below(kBlocks), .count = 0, .id = 0, .newest = {}};
  command.count = 1 + below(std::min(6u, kBlocks - command.block));
  const uint32_t kind = below(11);
  FakeCommand request{.scattered = chance(2)};
  if (kind == 0) {  // SYNCHRONIZE CACHE
    command.count = 0;
    request.cdb = {0x35, 0, 0, 0, 0, 0, 0, 0, 0, 0};
  } else if (kind < 3) {
    request.cdb = cdb10(0x28, command.block, command.count);
    request.data_in_bytes = command.count * kBlockBytes;
    remember_newest(command);
  } else if (kind == 8) {
    command.status = true;
    command.count = kBlocks - command.block;
    request.cdb = {0x9e, 0x12, 0,    0, 0, 0, 0, 0, 0, static_cast<uint8_t>(command.block),
                   0,    0,    0x10, 0, 0, 0};
    request.data_in_bytes = 4096;
    remember_newest(command);
  } else if (kind == 9) {  // VERIFY(10) with one block for all, of a write not long ago.
    command.shown = last_id_ - below(std::min(last_id_ + 1, 12u));
    request.cdb = cdb10(0x2f, command.block, command.count);
    request.cdb[1] = 0x06;
    request.data_out = blocks_of(*command.shown, 1);
    remember_newest(command);
  } else {
    command.id = ++last_id_;
    writes_.push_back({.submitted = clock_});
    issue_write(command, kind, request);
  }
  open_[kernel_.queue(std::move(request))] = std::move(command);
}

void LunSim::issue_write(const Pending& command, uint32_t kind, FakeCommand& request) {
  const uint8_t block = static_cast<uint8_t>(command.block);
  const uint8_t count = static_cast<uint8_t>(command.count);
  request.data_out = blocks_of(command.id, kind == 3 ? 1 : command.count);
  if (kind == 3) {  // WRITE SAME(10)
    request.cdb = cdb10(0x41, block, count);
  } else if (kind == 4) {  // WRITE AND VERIFY(10), with BYTCHK and without
    request.cdb = cdb10(0x2e, block, count);
    request.cdb[1] = chance(2) ? 0x02 : 0x00;
  } else if (kind == 5) {  // ORWRITE(16)
    request.cdb = {0x8b, 0, 0, 0, 0, 0, 0, 0, 0, block, 0, 0, 0, count, 0, 0};
  } else {
    request.cdb = cdb10(0x2a, block, count);
  }
}

void LunSim::remember_newest(Pending& command) const {
  command.newest.assign(newest_.begin() + command.block,
                        newest_.begin() + command.block + command.count);
}

// A read or write for an EXTENDED COPY of some LUN: the same promises, and the kernel knows nothing
// of it.
void LunSim::issue_for_a_copy() {
  Pending command{.block = below(kBlocks), .count = 0, .id = 0, .newest = {}};
  command.count = 1 + below(std::min(6u, kBlocks - command.block));
  command.memory = std::make_shared<std::vector<uint8_t>>(command.count * kBlockBytes);
  copy::Op op{.token = command.block,
              .disk = 0,
              .kind = chance(3) ? OpKind::kRead : OpKind::kWrite,
              .range = {command.block * kBlockBytes, command.memory->size()},
              .data = *command.memory,
              .memory = command.memory};
  if (op.kind == OpKind::kRead) {
    remember_newest(command);
  } else {
    command.id = ++last_id_;
    writes_.push_back({.submitted = clock_});
    *command.memory = blocks_of(command.id, command.count);
    op.data = *command.memory;
  }
  copies_[++last_copy_] = std::move(command);
  device_.on_copy_op(last_copy_, op, now_);
}

void LunSim::collect_of_copies() {
  std::vector<CopyOpDone> ended;
  device_.take_copy_ops_done(ended);
  for (const CopyOpDone& done : ended) {
    const auto found = copies_.find(done.copy);
    ASSERT_NE(found, copies_.end()) << "told twice";
    const Pending& command = found->second;
    EXPECT_EQ(done.token, command.block);
    if (command.id != 0) writes_[command.id].answered = clock_;
    using enum scsi::ScsiStatus;
    EXPECT_TRUE(done.result.status == kGood || done.result.status == kBusy ||
                done.result.status == kTaskAborted);
    if (done.result.status == kGood) good(command, *command.memory);
    copies_.erase(found);
  }
}

void LunSim::abort_one() {
  if (!copies_.empty() && chance(4)) device_.on_copy_cancelled(copies_.begin()->first, now_);
  if (open_.empty()) return;
  auto chosen = open_.begin();
  std::advance(chosen, below(static_cast<uint32_t>(open_.size())));
  kernel_.abort(chosen->first);
}

void LunSim::collect() {
  for (auto it = open_.begin(); it != open_.end();) {
    if (const auto result = kernel_.take_result(it->first)) {
      answered(it->second, *result);
      it = open_.erase(it);
    } else {
      ++it;
    }
  }
}

void LunSim::answered(const Pending& command, const FakeResult& result) {
  const bool is_good = result.how == FakeResult::How::kAnswered && result.status == 0x00;
  if (result.how == FakeResult::How::kAnswered) {
    const bool miscompare = command.shown && result.status == 0x02 && result.sense[2] == 0x0e;
    EXPECT_TRUE(result.status == 0x00 || result.status == 0x08 || miscompare) << int{result.status};
  }
  if (command.id != 0) writes_[command.id].answered = clock_;
  if (!is_good) return;
  if (command.status) return check_status(command, result.data_in);
  if (command.id == 0 && !command.shown) {
    ASSERT_EQ(result.data_in.size(), command.count * kBlockBytes);
  }
  good(command, result.data_in);
}

void LunSim::good(const Pending& command, const std::vector<uint8_t>& data_in) {
  for (uint32_t i = 0; i < command.count; ++i) {
    if (command.id != 0) {
      acknowledge(command.block + i, command.id);
      continue;
    }
    if (command.shown) {
      check_seen(command.block + i, *command.shown, command.newest[i]);
      continue;
    }
    uint32_t seen = 0;
    std::memcpy(&seen, &data_in[i * kBlockBytes], sizeof seen);
    check_seen(command.block + i, seen, command.newest[i]);
  }
}

// A block that is told to be deallocated is one that reads as zeroes.
void LunSim::check_status(const Pending& command, const std::vector<uint8_t>& data) {
  uint32_t block = command.block;
  for (size_t at = 8; at < data.size(); at += 16) {
    ASSERT_EQ(uint32_t{data[at + 7]}, block) << "a descriptor does not follow the one before";
    for (uint32_t i = 0; i < data[at + 11]; ++i, ++block) {
      ASSERT_LT(block, kBlocks);
      if (data[at + 12] == 1) check_seen(block, 0, command.newest[block - command.block]);
    }
  }
  EXPECT_EQ(block, kBlocks);
}

void LunSim::acknowledge(uint32_t block, uint32_t id) {
  newest_[block] = std::max(newest_[block], writes_[id].submitted);
}

void LunSim::check_seen(uint32_t block, uint32_t id, uint64_t newest) {
  ASSERT_LE(id, last_id_) << "bytes that nobody wrote";
  EXPECT_FALSE(writes_[id].answered < newest)
      << "block " << block << " shows write " << id << ", answered at " << writes_[id].answered
      << ", although one submitted at " << newest << " was acknowledged; now " << clock_;
}

// --- the daemon's edges ---

void LunSim::run_device() {
  device_.on_ring(now_);
  if (const lock::Job job = device_.take_job(); job != lock::Job::kNone) {
    // A release that hangs is overtaken.
    EXPECT_TRUE(job_ == lock::Job::kNone || job_ == lock::Job::kRelease) << "two jobs at a time";
    job_ = job;
  }
  if (device_.publish()) kernel_.doorbell();
  std::vector<uint16_t> freed;
  device_.take_freed_buffers(freed);
  collect_of_copies();
  for (const uint16_t id : freed) EXPECT_TRUE(kernel_.free_kept_buf(id)) << id;
  std::vector<Report> reports;
  device_.take_reports(reports);
  std::vector<lock::PeerReply> replies;
  device_.take_peer_replies(replies);
  for (const lock::PeerReply& reply : replies) {
    if (!peer_asks_ || reply.request != *peer_asks_) continue;  // It has given up waiting.
    peer_asks_.reset();
    if (reply.answer == lock::PeerAnswer::kHoldsDetached) peer_breaks();
    if (reply.answer == lock::PeerAnswer::kReleased) peer_takes();
    if (reply.answer == lock::PeerAnswer::kNotOwner && cluster_.lock_owner == mine_) peer_breaks();
  }
  collect();
}

void LunSim::pass_time() {
  const int ticks = chance(50) ? 20 : 1;
  for (int i = 0; i < ticks; ++i) {
    now_ += Device::kTick;
    if (device_.wants_time()) device_.on_time(now_);
    run_device();
  }
}

// Of any instance; those that were given up have to live with it.
void LunSim::end_some_op() {
  std::vector<FakeInstance*> busy;
  for (FakeInstance& instance : cluster_.instances()) {
    if (instance.pending() + instance.gave_up() != 0) busy.push_back(&instance);
  }
  if (busy.empty()) return;
  const bool mine_first = weather() == Weather::kCalm && mine_->pending() != 0;
  FakeInstance& instance = mine_first ? *mine_ : *busy[below(static_cast<uint32_t>(busy.size()))];
  if (&instance == mine_ && weather() == Weather::kStuck && !chance(64)) return;
  // What others left behind comes late: that is what it is feared for.
  if (&instance != mine_ && !chance(16)) return;
  const auto which = below(static_cast<uint32_t>(instance.pending() + instance.gave_up()));
  if (which < instance.pending() && chance(3)) {
    instance.do_first_part(which);
  } else if (which >= instance.pending()) {
    instance.late(which - instance.pending());
  } else if (weather() != Weather::kCalm && chance(300)) {
    report_done(instance.time_out(which));
  } else {
    report_done(instance.finish(which, chance(2)));
  }
}

void LunSim::report_done(const OpDone& done) {
  if (done.token != kPeersOp) device_.on_done(done, now_);
}

void LunSim::run_job(bool friendly) {
  const lock::Job job = std::exchange(job_, lock::Job::kNone);
  switch (job) {
    case lock::Job::kNone:
      return;
    case lock::Job::kAcquire:
      return acquire(friendly);
    case lock::Job::kRelease:
      // librbd waits for what is under way; the device has to have waited before.
      EXPECT_FALSE(mine_->changes_pending()) << "released over a write that may still land";
      return release(friendly);
    case lock::Job::kFence:
      return fence(friendly);
    case lock::Job::kReopen:
      return reopen(friendly);
  }
}

void LunSim::acquire(bool friendly) {
  if (!friendly && chance(10)) return device_.on_acquire_failed(lock::AcquireFailure::kOther, now_);
  if (mine_->blocklisted()) return device_.on_acquire_failed(lock::AcquireFailure::kLost, now_);
  FakeInstance* const owner = cluster_.lock_owner;
  if (owner == peer_ && (!peer_alive_ || peer_->changes_pending() || chance(8))) {
    cluster_.blocklist(*peer_);  // It did not answer, or said that writes of its own hang.
    peer_ = &cluster_.open();
  } else if (owner != nullptr && owner != mine_ && owner != peer_) {
    cluster_.blocklist(*owner);
  }
  cluster_.lock_owner = mine_;
  mine_->take_newest_map();
  device_.on_acquired(now_);
}

void LunSim::release(bool friendly) {
  const bool works = friendly || !chance(20);
  if (works && cluster_.lock_owner == mine_) cluster_.lock_owner = nullptr;
  device_.on_released(works, now_);
}

void LunSim::fence(bool friendly) {
  const bool works = friendly || !chance(4);
  // One that was not confirmed may have been committed all the same.
  if (works || chance(3)) cluster_.blocklist(*mine_);
  device_.on_fenced(works, now_);
}

void LunSim::reopen(bool friendly) {
  if (!friendly && chance(4)) return device_.on_reopen_failed(now_);
  EXPECT_TRUE(mine_->blocklisted()) << "opened anew beside an instance that was not fenced";
  mine_ = &cluster_.open();  // With the newest map.
  device_.on_reopened(*mine_, now_);
}

// --- the other gateway ---

void LunSim::peer_turn() {
  if (weather() == Weather::kCalm) {
    peer_alive_ = true;
  } else if (chance(200)) {
    peer_alive_ = !peer_alive_;
  }
  if (!peer_alive_) return;
  if (peer_->blocklisted()) peer_ = &cluster_.open();
  if (cluster_.lock_owner == peer_) return peer_works();
  if (peer_asks_) {
    if (now_ >= peer_gives_up_) {
      peer_asks_.reset();
      peer_breaks();
    }
  } else if (chance(30)) {
    peer_asks_ = ++last_request_;
    peer_gives_up_ = now_ + milliseconds(300);
    device_.on_peer_asks(*peer_asks_, now_);
  }
}

void LunSim::peer_breaks() {
  if (cluster_.lock_owner != nullptr && cluster_.lock_owner != peer_)
    cluster_.blocklist(*cluster_.lock_owner);
  peer_takes();
}

void LunSim::peer_takes() {
  // Somebody else may have been quicker; then this one fails and asks again.
  if (cluster_.lock_owner != nullptr && !cluster_.lock_owner->blocklisted()) return;
  cluster_.lock_owner = peer_;
  peer_->take_newest_map();
}

// Its commands run at once and one after the other: it needs no order of its own.
void LunSim::peer_works() {
  const uint32_t block = below(kBlocks);
  if (peer_->touches(block)) return;  // It holds what it left behind, as we do.
  if (chance(8)) return peer_leaves_a_write_behind(block);
  const uint64_t epoch = cluster_.epoch();
  uint32_t seen = 0;
  EXPECT_TRUE(cluster_.read(block, seen, epoch, 0));
  check_seen(block, seen, newest_[block]);
  writes_.push_back({.submitted = clock_, .answered = clock_});
  EXPECT_TRUE(cluster_.write(block, ++last_id_, epoch, 0));
  acknowledge(block, last_id_);
}

// Aborted at once, and on its way for as long as the cluster likes.
void LunSim::peer_leaves_a_write_behind(uint32_t block) {
  if (peer_->pending() == kImageOpsMax) return;
  writes_.push_back({.submitted = clock_, .answered = clock_});
  std::array<uint8_t, kBlockBytes> data{};
  std::memcpy(data.data(), &++last_id_, sizeof last_id_);
  const iovec iov{data.data(), data.size()};
  peer_->submit({OpKind::kWrite, {uint64_t{block} * kBlockBytes, kBlockBytes}, {&iov, 1}},
                kPeersOp);
}

// --- the end ---

void LunSim::heal() {
  peer_alive_ = false;
  for (int round = 0; round < 4000 && !(open_.empty() && device_.idle()); ++round) {
    ++clock_;
    for (FakeInstance& instance : cluster_.instances()) {
      while (instance.gave_up() != 0) instance.late(0);
      while (instance.pending() != 0) report_done(instance.finish(0, false));
    }
    for (uint32_t closed = 1; closed < device_.instance(); ++closed)
      device_.on_instance_closed(closed, now_);
    run_job(true);
    pass_time();
  }
  EXPECT_TRUE(open_.empty()) << open_.size() << " commands were never answered";
  EXPECT_TRUE(copies_.empty()) << copies_.size() << " ops of copies were never answered";
  EXPECT_TRUE(device_.idle());
  EXPECT_EQ(device_.detached(), 0u);
  EXPECT_EQ(kernel_.kept(), 0u) << "buffers were never freed";
  EXPECT_EQ(kernel_.on_ring(), 0u);
  EXPECT_EQ(kernel_.violations(), std::vector<std::string>{});
  for (uint32_t block = 0; block < kBlocks; ++block)
    check_seen(block, cluster_.content()[block], newest_[block]);
}

}  // namespace tcmurbd::testing
