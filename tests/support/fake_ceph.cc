// SPDX-License-Identifier: Apache-2.0
#include "tests/support/fake_ceph.h"

#include <ranges>
#include <utility>

#include "common/check.h"

namespace tcmurbd::testing {

using ceph::LockFailure;
using std::chrono::steady_clock;

FakeServed::FakeServed(std::shared_ptr<FakeCeph> ceph, std::string image, std::string address,
                       const ceph::ImageInfo& info, ceph::CompletionSink sink)
    : ceph_(std::move(ceph)),
      image_(std::move(image)),
      address_(std::move(address)),
      sink_(std::move(sink)),
      info_(info) {}

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

std::expected<void, LockFailure> FakeServed::take_free_lock() {
  const std::lock_guard lock(ceph_->mutex_);
  const ceph::LockHolder own{.client = "client.1", .cookie = "auto 1", .address = address_};
  if (ceph_->holders_.try_emplace(image_, own).first->second != own)
    return std::unexpected(LockFailure{"another gateway has it", -EBUSY});
  return {};
}

std::expected<void, LockFailure> FakeServed::release_lock() {
  const std::lock_guard lock(ceph_->mutex_);
  const auto held = ceph_->holders_.find(image_);
  if (held != ceph_->holders_.end() && held->second.address == address_)
    ceph_->holders_.erase(held);
  return {};
}

class FakePeerChannel final : public ceph::PeerChannel {
 public:
  FakePeerChannel(std::shared_ptr<FakeCeph> ceph, std::string image, ceph::ChannelHandlers handlers)
      : ceph_(std::move(ceph)), image_(std::move(image)) {
    const std::lock_guard lock(ceph_->mutex_);
    ++ceph_->others_;
    ceph_->handlers_ = std::move(handlers);
  }
  ~FakePeerChannel() override {
    const std::lock_guard lock(ceph_->mutex_);
    --ceph_->others_;
  }

  void serve_as(const std::string& address) override {
    const std::lock_guard lock(ceph_->mutex_);
    ceph_->channel_.served_as.push_back(address);
  }
  void answer(const ceph::PeerRequest& request, lock::PeerAnswer answer) override {
    const std::lock_guard lock(ceph_->mutex_);
    ceph_->channel_.answers.emplace_back(request.nonce, answer);
  }
  std::expected<ceph::Asked, std::string> ask(const std::string& holder,
                                              std::chrono::seconds) override {
    const std::lock_guard lock(ceph_->mutex_);
    ceph_->channel_.asked.push_back(holder);
    if (ceph_->answer_ == ceph::Asked::kReleased) ceph_->holders_.erase(image_);
    return ceph_->answer_;
  }
  ceph::OwnWatch own_watch() override {
    const std::lock_guard lock(ceph_->mutex_);
    return ceph_->own_watch_;
  }
  std::expected<std::optional<ceph::LockHolder>, int> holder() const override {
    const std::lock_guard lock(ceph_->mutex_);
    const auto held = ceph_->holders_.find(image_);
    if (held == ceph_->holders_.end()) return std::nullopt;
    return held->second;
  }
  std::expected<bool, int> remove(const ceph::LockHolder& holder) const override {
    const std::lock_guard lock(ceph_->mutex_);
    return std::erase_if(ceph_->holders_, [&](const auto& held) {
             return held.first == image_ && held.second == holder;
           }) != 0;
  }

 private:
  const std::shared_ptr<FakeCeph> ceph_;
  const std::string image_;
};

class FakeFences final : public ceph::FenceList {
 public:
  FakeFences(std::shared_ptr<FakeCeph> ceph, ceph::OnOwnFenced on_own_fenced)
      : ceph_(std::move(ceph)) {
    const std::lock_guard lock(ceph_->mutex_);
    ++ceph_->others_;
    ceph_->on_own_fenced_ = std::move(on_own_fenced);
  }
  ~FakeFences() override {
    const std::lock_guard lock(ceph_->mutex_);
    --ceph_->others_;
  }

  void add(const std::string& address, ceph::FenceReason cause) override {
    const std::lock_guard lock(ceph_->mutex_);
    ceph_->fences_.try_emplace(address, cause);
  }
  void remove(const std::string& address) override {
    const std::lock_guard lock(ceph_->mutex_);
    ceph_->fences_.erase(address);
  }
  void refresh() override {
    const std::lock_guard lock(ceph_->mutex_);
    ++ceph_->refreshed_;
  }
  void serve_as(const std::string& address) override {
    const std::lock_guard lock(ceph_->mutex_);
    ceph_->guarded_ = address;
  }
  bool contains(const std::string& address) const override {
    const std::lock_guard lock(ceph_->mutex_);
    return ceph_->fences_.contains(address);
  }
  std::vector<ceph::FencedInstance> list() const override {
    const std::lock_guard lock(ceph_->mutex_);
    std::vector<ceph::FencedInstance> all;
    for (const auto& [address, cause] : ceph_->fences_)
      all.push_back({.address = address, .until = 1, .cause = cause});
    return all;
  }

 private:
  const std::shared_ptr<FakeCeph> ceph_;
};

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
    const std::lock_guard lock(ceph_->mutex_);
    return ceph::Blocklist{ceph_->blocklisted_.begin(), ceph_->blocklisted_.end()};
  }
  std::expected<ceph::ObjectLocation, std::string> locate(
      const ceph::ObjectPlace& place) const override {
    if (auto done = ceph_->take(CephStep::kLocate); !done)
      return std::unexpected(done.error().text);
    const std::lock_guard lock(ceph_->mutex_);
    if (ceph_->map_hangs_) return ceph::ObjectLocation{.pg = "1.5", .acting = {1}, .in_map = true};
    return ceph::ObjectLocation{.pg = "1." + place.object, .acting = {2, 0}};
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
  std::expected<std::shared_ptr<ceph::PeerChannel>, std::string> open_channel(
      const ImageSpec& spec, const std::string&, ceph::ChannelHandlers handlers) const override {
    if (auto done = ceph_->take(CephStep::kOpenChannel); !done)
      return std::unexpected(done.error().text);
    return std::make_shared<FakePeerChannel>(ceph_, spec.image, std::move(handlers));
  }
  std::expected<std::shared_ptr<ceph::FenceList>, std::string> open_fence_list(
      const ImageSpec&, const std::string&, const std::shared_ptr<Log>&, const std::string& fenced,
      ceph::OnOwnFenced on_own_fenced) const override {
    if (auto done = ceph_->take(CephStep::kOpenFences); !done)
      return std::unexpected(done.error().text);
    auto opened = std::make_shared<FakeFences>(ceph_, std::move(on_own_fenced));
    if (!fenced.empty()) opened->add(fenced, ceph::FenceReason::kPredecessor);
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
        auto image = std::make_unique<FakeServed>(self, spec.image,
                                                  "10.0.0.1:0/" + std::to_string(++self->opened_),
                                                  self->info_, std::move(sink));
        self->images_.insert(image.get());
        self->served_[spec.image] = image.get();
        return image;
      };
}

void FakeCeph::set_info(const ceph::ImageInfo& info) {
  const std::lock_guard lock(mutex_);
  info_ = info;
}

void FakeCeph::hang_object_map() {
  const std::lock_guard lock(mutex_);
  map_hangs_ = true;
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

std::string FakeCeph::owner(const std::string& image) const {
  const std::lock_guard lock(mutex_);
  const auto held = holders_.find(image);
  return held == holders_.end() ? "" : held->second.address;
}

void FakeCeph::give_lock(const std::string& image, const std::string& address) {
  const std::lock_guard lock(mutex_);
  holders_[image] = {.client = "client.2", .cookie = "auto 2", .address = address};
}

void FakeCeph::set_answer(ceph::Asked answer) {
  const std::lock_guard lock(mutex_);
  answer_ = answer;
}

void FakeCeph::set_own_watch(ceph::OwnWatch watch) {
  const std::lock_guard lock(mutex_);
  own_watch_ = watch;
}

std::set<std::string> FakeCeph::fences() const {
  const std::lock_guard lock(mutex_);
  const auto keys = std::views::keys(fences_);
  return {keys.begin(), keys.end()};
}

void FakeCeph::fence_elsewhere(const std::string& address) {
  const std::lock_guard lock(mutex_);
  fences_.try_emplace(address, ceph::FenceReason::kUnknown);
}

void FakeCeph::fence_instance(const std::string& address) {
  ceph::OnOwnFenced on_own_fenced;
  {
    const std::lock_guard lock(mutex_);
    blocklisted_.push_back(address);
    if (guarded_ != address) return;
    on_own_fenced = on_own_fenced_;
  }
  on_own_fenced(address);
}

void FakeCeph::report_fenced(const std::string& address) {
  ceph::OnOwnFenced on_own_fenced;
  {
    const std::lock_guard lock(mutex_);
    on_own_fenced = on_own_fenced_;
  }
  on_own_fenced(address);
}

size_t FakeCeph::fences_refreshed() const {
  const std::lock_guard lock(mutex_);
  return refreshed_;
}

ChannelUse FakeCeph::channel() const {
  const std::lock_guard lock(mutex_);
  return channel_;
}

ceph::ChannelHandlers FakeCeph::handlers() const {
  const std::lock_guard lock(mutex_);
  return handlers_;
}

}  // namespace tcmurbd::testing
