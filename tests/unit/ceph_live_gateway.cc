// SPDX-License-Identifier: Apache-2.0
#include "ceph_live_gateway.h"

#include <signal.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

namespace tcmurbd::ceph {

Gateway::Gateway(const std::string& conf, const std::string& image, Manner manner)
    : manner_(manner), worker_([this](std::stop_token stop) { answer_requests(stop); }) {
  const std::string dev_config = "rbd/rbd/" + image + ";conf=" + conf;
  target = Target::open_unlocked(dev_config);
  auto shared = ControlClient::get(conf, "");
  EXPECT_TRUE(shared.has_value()) << shared.error();
  control = *shared;
  const auto on_request = [this](PeerRequest request) {
    const std::lock_guard lock(mutex_);
    requests_.push_back(request);
    ++asked_;
    arrived_.notify_one();
  };
  guard = FenceGuard::of(control);
  auto known = guard->open_ledger(*parse_dev_config(dev_config), target->image->info().id,
                                  std::make_shared<Log>());
  EXPECT_TRUE(known.has_value()) << known.error();
  ledger = *known;
  auto opened =
      LockChannel::open(control, *parse_dev_config(dev_config), target->image->info().id,
                        {.on_request = on_request, .on_fenced = [this] { ledger->refresh(); }});
  EXPECT_TRUE(opened.has_value()) << opened.error();
  channel = std::move(*opened);
}

Gateway::~Gateway() { channel.reset(); }

std::expected<LockTaken, LockFailure> Gateway::acquire(std::span<const std::string> fenced) {
  return acquire_lock(*target->image, *channel, *control, *ledger, fenced);
}

uint32_t Gateway::asked() {
  const std::lock_guard lock(mutex_);
  return asked_;
}

void Gateway::answer_requests(std::stop_token stop) {
  std::unique_lock lock(mutex_);
  while (arrived_.wait(lock, stop, [this] { return !requests_.empty(); })) {
    const PeerRequest request = requests_.front();
    requests_.pop_front();
    lock.unlock();
    switch (manner_) {
      case Manner::kReleases:
        EXPECT_TRUE(target->image->release_lock().has_value());
        channel->answer(request, lock::PeerAnswer::kReleased);
        break;
      case Manner::kHoldsDetached:
        channel->answer(request, lock::PeerAnswer::kHoldsDetached);
        break;
      case Manner::kMustWait:
        channel->answer(request, lock::PeerAnswer::kWait);
        break;
      case Manner::kSilent:
        break;
      case Manner::kTakesAgain:
        EXPECT_TRUE(target->image->release_lock().has_value());
        EXPECT_TRUE(target->image->take_free_lock().has_value());
        manner_ = Manner::kReleases;
        break;
    }
    lock.lock();
  }
}

namespace {

bool stopped(const std::filesystem::path& thread) {
  std::ifstream file(thread / "stat");
  std::string stat(std::istreambuf_iterator<char>(file), {});
  const size_t name_end = stat.rfind(") ");
  return name_end == stat.npos || stat[name_end + 2] == 'T';
}

bool all_stopped(pid_t pid) {
  const std::filesystem::directory_iterator threads("/proc/" + std::to_string(pid) + "/task");
  return std::ranges::all_of(threads, [](const auto& thread) { return stopped(thread.path()); });
}

}  // namespace

// A signal stops a process's threads one by one, and not at once: until then it may still serve.
Frozen::Frozen(pid_t pid) : pid_(pid) {
  if (pid_ <= 0) return;  // kill(-1) would stop all processes.
  EXPECT_EQ(::kill(pid_, SIGSTOP), 0);
  const auto begin = steady_clock::now();
  while (!all_stopped(pid_) && seconds_since(begin) < 10)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  EXPECT_TRUE(all_stopped(pid_));
}

Frozen::~Frozen() {
  if (pid_ > 0) ::kill(pid_, SIGCONT);
}

pid_t pid_from(const char* variable) {
  const char* value = std::getenv(variable);
  EXPECT_NE(value, nullptr) << variable << " is not set";
  return value != nullptr ? std::atoi(value) : -1;
}

}  // namespace tcmurbd::ceph
