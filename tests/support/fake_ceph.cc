// SPDX-License-Identifier: Apache-2.0
#include "tests/support/fake_ceph.h"

#include <utility>

#include "common/check.h"

namespace tcmurbd::testing {

using ceph::LockFailure;
using std::chrono::steady_clock;

FakeServed::FakeServed(std::shared_ptr<FakeCeph> ceph, std::string address,
                       const ceph::ImageInfo& info, ceph::CompletionSink sink)
    : ceph_(std::move(ceph)), address_(std::move(address)), sink_(std::move(sink)), info_(info) {}

FakeServed::~FakeServed() {
  std::ignore = ceph_->take(CephStep::kCloseImage);
  const std::lock_guard lock(ceph_->mutex_);
  ceph_->images_.erase(this);
  std::erase_if(ceph_->served_, [this](const auto& item) { return item.second == this; });
}

void FakeServed::finish(int32_t result) {
  CHECK(!pending.empty());
  const OpToken token = pending.front().token;
  pending.erase(pending.begin());
  sink_({.token = token, .result = result});
}

std::expected<uint64_t, std::string> FakeServed::refresh_size() {
  if (auto done = ceph_->take(CephStep::kRefreshSize); !done)
    return std::unexpected(done.error().text);
  return info_.bytes;
}

std::expected<void, LockFailure> FakeServed::wait_for_latest_map() const {
  return ceph_->take(CephStep::kLatestMap);
}

// The control client.
class FakeConnection final : public ceph::Cluster, public ceph::Monitors {
 public:
  explicit FakeConnection(std::shared_ptr<FakeCeph> ceph) : ceph_(std::move(ceph)) {}

  std::expected<void, LockFailure> blocklist(const std::string& address) const override {
    if (auto done = ceph_->take(CephStep::kBlocklist); !done) return done;
    const std::lock_guard lock(ceph_->mutex_);
    ceph_->blocklisted_.push_back(address);
    return {};
  }
  std::expected<ceph::Blocklist, LockFailure> blocklisted() const override {
    return ceph::Blocklist{};
  }
  std::expected<std::string, std::string> locate(const std::string&, const std::string&,
                                                 const std::string&) const override {
    return "nowhere";
  }

  std::shared_ptr<ceph::Monitors> monitors() const override {
    return std::make_shared<FakeConnection>(ceph_);
  }
  const std::string& user() const override { return user_; }
  std::expected<bool, LockFailure> may_blocklist() const override {
    if (auto done = ceph_->take(CephStep::kPermission); !done) return std::unexpected(done.error());
    const std::lock_guard lock(ceph_->mutex_);
    return ceph_->may_;
  }
  std::expected<std::shared_ptr<ceph::LockChannel>, std::string> open_channel(
      const ImageSpec&, const std::string&, ceph::LockChannel::Handlers) const override {
    if (auto done = ceph_->take(CephStep::kOpenChannel); !done)
      return std::unexpected(done.error().text);
    return ceph_->counted<ceph::LockChannel>();
  }
  std::expected<ceph::OpenLedger, std::string> open_ledger(
      const ImageSpec&, const std::string&, const std::shared_ptr<Log>&,
      const std::string& fenced) const override {
    if (auto done = ceph_->take(CephStep::kOpenLedger); !done)
      return std::unexpected(done.error().text);
    ceph::OpenLedger opened{.guard = nullptr, .ledger = ceph_->counted<ceph::FenceLedger>()};
    const std::lock_guard lock(ceph_->mutex_);
    if (!fenced.empty()) ceph_->in_ledger_.push_back(fenced);
    return opened;
  }

 private:
  const std::shared_ptr<FakeCeph> ceph_;
  const std::string user_ = "client.fake";
};

void FakeCeph::refuse(CephStep step, const std::string& why, int error) {
  const std::lock_guard lock(mutex_);
  steps_[static_cast<size_t>(step)].failure = LockFailure{why, error};
}

void FakeCeph::allow(CephStep step) {
  const std::lock_guard lock(mutex_);
  steps_[static_cast<size_t>(step)].failure.reset();
}

void FakeCeph::hang(CephStep step) {
  const std::lock_guard lock(mutex_);
  steps_[static_cast<size_t>(step)].hangs = true;
}

void FakeCeph::release(CephStep step) {
  const std::lock_guard lock(mutex_);
  steps_[static_cast<size_t>(step)].hangs = false;
  released_.notify_all();
}

std::vector<steady_clock::time_point> FakeCeph::times(CephStep step) const {
  const std::lock_guard lock(mutex_);
  return steps_[static_cast<size_t>(step)].times;
}

std::expected<void, LockFailure> FakeCeph::take(CephStep number) {
  std::unique_lock lock(mutex_);
  Step& step = steps_[static_cast<size_t>(number)];
  step.times.push_back(steady_clock::now());
  released_.wait(lock, [&] { return !step.hangs; });
  if (step.failure) return std::unexpected(*step.failure);
  return {};
}

template <typename T>
std::shared_ptr<T> FakeCeph::counted() {
  const std::lock_guard lock(mutex_);
  ++others_;
  const std::shared_ptr<void> token(nullptr, [self = shared_from_this()](void*) {
    const std::lock_guard closing(self->mutex_);
    --self->others_;
  });
  return {token, nullptr};
}

ceph::ConnectCluster FakeCeph::connect() {
  return [self = shared_from_this()](
             const ImageSpec&) -> std::expected<std::shared_ptr<const ceph::Cluster>, std::string> {
    if (auto done = self->take(CephStep::kConnect); !done)
      return std::unexpected(done.error().text);
    return std::make_shared<const FakeConnection>(self);
  };
}

ceph::OpenServedImage FakeCeph::open_served_image() {
  return
      [self = shared_from_this()](
          const ImageSpec& spec, ceph::CompletionSink sink,
          const ceph::NewsSink&) -> std::expected<std::unique_ptr<ceph::ServedImage>, std::string> {
        if (auto done = self->take(CephStep::kOpenImage); !done)
          return std::unexpected(done.error().text);
        const std::lock_guard lock(self->mutex_);
        auto image = std::make_unique<FakeServed>(
            self, "10.0.0.1:0/" + std::to_string(++self->opened_), self->info_, std::move(sink));
        self->images_.insert(image.get());
        self->served_[spec.image] = image.get();
        return image;
      };
}

void FakeCeph::set_info(const ceph::ImageInfo& info) {
  const std::lock_guard lock(mutex_);
  info_ = info;
}

void FakeCeph::set_permission(bool may) {
  const std::lock_guard lock(mutex_);
  may_ = may;
}

size_t FakeCeph::images_open() const {
  const std::lock_guard lock(mutex_);
  return images_.size();
}

size_t FakeCeph::others_open() const {
  const std::lock_guard lock(mutex_);
  return others_;
}

FakeServed* FakeCeph::served(const std::string& image) const {
  const std::lock_guard lock(mutex_);
  const auto found = served_.find(image);
  return found == served_.end() ? nullptr : found->second;
}

std::vector<std::string> FakeCeph::blocklisted() const {
  const std::lock_guard lock(mutex_);
  return blocklisted_;
}

std::vector<std::string> FakeCeph::in_ledger() const {
  const std::lock_guard lock(mutex_);
  return in_ledger_;
}

}  // namespace tcmurbd::testing
