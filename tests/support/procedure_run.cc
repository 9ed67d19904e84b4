// SPDX-License-Identifier: Apache-2.0
#include "tests/support/procedure_run.h"

namespace tcmurbd::testing {

class ProcedureRun::Replay final : public ceph::LockCluster {
 public:
  struct Suspended {};

  explicit Replay(ProcedureRun& run) : run_(run) {}

  std::string address() const override { return run_.port_.address(); }
  ceph::OwnWatch own_watch() override {
    return next([](LockCluster& port) { return port.own_watch(); });
  }
  std::expected<std::optional<ceph::LockHolder>, int> holder() override {
    return next([](LockCluster& port) { return port.holder(); });
  }
  std::expected<bool, int> remove(const ceph::LockHolder& holder) override {
    return next([&](LockCluster& port) { return port.remove(holder); });
  }
  ceph::Fencing fencing_of(const std::string& address) override {
    return next([&](LockCluster& port) { return port.fencing_of(address); });
  }
  std::expected<ceph::Asked, std::string> ask(const std::string& holder,
                                              std::chrono::seconds patience) override {
    return next([&](LockCluster& port) { return port.ask(holder, patience); });
  }
  std::expected<void, ceph::LockFailure> blocklist(const std::string& address) override {
    return next([&](LockCluster& port) { return port.blocklist(address); });
  }
  std::expected<void, ceph::LockFailure> reach_header() override {
    return next([](LockCluster& port) { return port.reach_header(); });
  }
  std::expected<void, ceph::LockFailure> wait_for_latest_map() override {
    return next([](LockCluster& port) { return port.wait_for_latest_map(); });
  }
  std::expected<void, ceph::LockFailure> take_free_lock() override {
    return next([](LockCluster& port) { return port.take_free_lock(); });
  }

 private:
  template <typename Call>
  auto next(Call call) -> decltype(call(std::declval<LockCluster&>())) {
    using Answer = decltype(call(std::declval<LockCluster&>()));
    if (at_ == run_.answers_.size()) {
      if (called_) throw Suspended{};
      called_ = true;
      run_.answers_.emplace_back(std::any(call(run_.port_)));
    }
    return std::any_cast<Answer>(run_.answers_[at_++]);
  }

  ProcedureRun& run_;
  size_t at_ = 0;
  bool called_ = false;
};

std::optional<ProcedureRun::Outcome> ProcedureRun::step() {
  Replay replay(*this);
  try {
    return ceph::acquire_lock(replay);
  } catch (const Replay::Suspended&) {
    return std::nullopt;
  } catch (const NotYet&) {
    return std::nullopt;
  }
}

}  // namespace tcmurbd::testing
