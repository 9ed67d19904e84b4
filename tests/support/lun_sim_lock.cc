// SPDX-License-Identifier: Apache-2.0
// The port of the procedure that takes the lock (lock_procedure.h), over the simulated cluster: of
// the daemon's gateway and of the other one. Each call is an event of the simulation.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>

#include "tests/support/lun_sim.h"

namespace tcmurbd::testing {

using ceph::Asked;
using ceph::Fencing;
using ceph::LockFailure;
using ceph::LockHolder;
using ceph::OwnWatch;

// What both gateways do alike.
class LunSim::LockPort : public ceph::LockCluster {
 public:
  LockPort(LunSim& sim, FakeInstance& instance) : sim_(sim), instance_(instance) {}

  std::string address() const override { return sim_.address_of(instance_); }

  std::expected<std::optional<LockHolder>, int> holder() override {
    if (fails()) return std::unexpected(-ETIMEDOUT);
    const FakeInstance* owner = sim_.cluster_.lock_owner;
    if (owner == nullptr) return std::nullopt;
    const std::string address = sim_.address_of(*owner);
    return LockHolder{.client = "client." + address,
                      .cookie = "auto 1",
                      .address = address,
                      .version = sim_.cluster_.lock_changes};
  }

  std::expected<bool, int> remove(const LockHolder& holder) override {
    if (fails()) return std::unexpected(-ETIMEDOUT);
    FakeInstance*& owner = sim_.cluster_.lock_owner;
    if (owner == nullptr || sim_.address_of(*owner) != holder.address) return false;
    EXPECT_TRUE(owner->blocklisted()) << "a lock was broken whose owner was not fenced";
    // An entry that was removed and put back is a newer one.
    if (!sim_.life_.knows(Fault::kRemovedEntry)) {
      EXPECT_GE(instance_.standing().epoch, owner->standing().blocklisted_at)
          << "a lock was broken by who has not the map that fences its owner";
    }
    owner = nullptr;
    return true;
  }

  // Who fenced it has told the others, most often.
  Fencing fencing_of(const std::string& address) override {
    const FakeInstance& instance = sim_.instance_at(address);
    if (!instance.blocklisted() || sim_.chance(4)) return Fencing::kNone;
    return instance.removed() ? Fencing::kRemoved : Fencing::kOnBlocklist;
  }

  // One that was not confirmed may have been committed all the same.
  std::expected<void, LockFailure> blocklist(const std::string& address) override {
    const bool good = !fails();
    if (good || sim_.chance(3)) sim_.cluster_.blocklist(sim_.instance_at(address));
    if (!good) return std::unexpected(LockFailure{"no quorum", -ETIMEDOUT});
    return {};
  }

  std::expected<void, LockFailure> reach_header() override {
    if (instance_.blocklisted()) return std::unexpected(LockFailure{"fenced", -ESHUTDOWN});
    return {};
  }

  std::expected<void, LockFailure> wait_for_latest_map() override {
    if (fails()) return std::unexpected(LockFailure{"no quorum", -ETIMEDOUT});
    instance_.take_newest_map();
    return {};
  }

  std::expected<void, LockFailure> take_free_lock() override {
    if (instance_.blocklisted()) return std::unexpected(LockFailure{"fenced", -ESHUTDOWN});
    if (!sim_.cluster_.primary) return std::unexpected(LockFailure{"demoted", kNotPrimary});
    const FakeInstance* owner = sim_.cluster_.lock_owner;
    if (owner != nullptr && owner != &instance_)
      return std::unexpected(LockFailure{"another has it", -EROFS});
    instance_.take_lock();
    return {};
  }

 protected:
  bool fails() { return !sim_.healing_ && sim_.chance(60); }

  LunSim& sim_;
  FakeInstance& instance_;
};

// The daemon's gateway.
class LunSim::OurPort final : public LockPort {
 public:
  using LockPort::LockPort;

  // A channel whose OSD does not answer tells nothing of a machine that stood still: no model of
  // two faults at once.
  OwnWatch own_watch() override {
    if (sim_.watch_lost_) return OwnWatch::kGone;
    return sim_.chance(20) ? OwnWatch::kUnknown : OwnWatch::kThere;
  }

  std::expected<Asked, std::string> ask(const std::string& holder,
                                        std::chrono::seconds /*patience*/) override {
    FakeInstance& peer = *sim_.peer_;
    if (sim_.address_of(peer) != holder) return Asked::kNobody;
    if (!sim_.peer_alive_ || sim_.chance(8)) return Asked::kNoAnswer;
    if (sim_.chance(30)) return std::unexpected("the channel is full");
    if (sim_.cluster_.lock_owner != &peer) return Asked::kReleased;
    if (peer.changes_pending()) return sim_.chance(4) ? Asked::kMustWait : Asked::kHoldsDetached;
    peer.release();
    return Asked::kReleased;
  }
};

// The other one.
class LunSim::PeersPort final : public LockPort {
 public:
  using LockPort::LockPort;

  // Its commands do not wait, so nobody can have given them up.
  OwnWatch own_watch() override { return OwnWatch::kThere; }

  // The daemon's answer is an event of its own.
  std::expected<Asked, std::string> ask(const std::string& holder,
                                        std::chrono::seconds /*patience*/) override {
    unanswered_ = false;
    if (const auto answer = std::exchange(sim_.peer_answer_, std::nullopt)) return *answer;
    if (!sim_.peer_asks_) {
      if (sim_.address_of(*sim_.mine_) != holder) return Asked::kNobody;
      sim_.ask_daemon();
      throw ProcedureRun::NotYet{};
    }
    if (sim_.world_now() < sim_.peer_gives_up_) throw ProcedureRun::NotYet{};
    sim_.peer_asks_.reset();
    unanswered_ = true;
    return Asked::kNoAnswer;
  }

  // An owner that is alive, was too slow and does not know goes on where no placement group has
  // heard of the new map yet. If the peer's own writes hang on their way to such a group, are
  // aborted, and the host goes back to us, they are what it sees in the end: nothing that an owner
  // could help, and what blocklists rest on. Maps spread in less time than a host needs for that.
  std::expected<void, LockFailure> blocklist(const std::string& address) override {
    auto done = LockPort::blocklist(address);
    const bool away = !sim_.device_ || (sim_.frozen_ && sim_.world_now() - sim_.frozen_since_ >
                                                            sim_.device_->away_limit());
    if (done && unanswered_ && !away) sim_.cluster_.spread_map();
    return done;
  }

 private:
  bool unanswered_ = false;
};

void LunSim::LockAcquisition::start(std::unique_ptr<ceph::LockCluster> with) {
  port = std::move(with);
  run.emplace(*port);
}

std::optional<ProcedureRun::Outcome> LunSim::LockAcquisition::step() {
  auto outcome = run->step();
  if (outcome) stop();
  return outcome;
}

void LunSim::LockAcquisition::stop() {
  run.reset();
  port.reset();
}

std::string LunSim::address_of(const FakeInstance& instance) const {
  const auto& all = cluster_.instances();
  const auto found =
      std::ranges::find(all, &instance, [](const FakeInstance& one) { return &one; });
  return fmt::format("10.0.0.1:0/{}", found - all.begin());
}

FakeInstance& LunSim::instance_at(const std::string& address) {
  return cluster_.instances().at(std::stoul(address.substr(address.rfind('/') + 1)));
}

void LunSim::start_taking() { taking_.start(std::make_unique<OurPort>(*this, *mine_)); }

void LunSim::peer_starts_taking() {
  peer_taking_.start(std::make_unique<PeersPort>(*this, *peer_));
}

// As the LunImage tells it.
void LunSim::taken(const ProcedureRun::Outcome& outcome) {
  using enum lock::Outcome;
  if (outcome) {
    const bool free = outcome->how == ceph::Acquired::kFree;
    return device_->on_lock_event(free ? kAcquiredFree : kAcquired, now_);
  }
  const int error = outcome.error().error;
  if (error == ceph::kWasAway) tell_watch_lost();
  const auto why = error == -ESHUTDOWN    ? kAcquireLost
                   : error == kNotPrimary ? kAcquireDemoted
                                          : kAcquireFailed;
  device_->on_lock_event(why, now_);
}

}  // namespace tcmurbd::testing
