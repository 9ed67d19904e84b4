// SPDX-License-Identifier: Apache-2.0
// A Ceph cluster as a LUN opens and uses it, for tests of what the LUN makes of it: each step
// works, is refused, or hangs until the test lets it go, and what was opened is counted until it is
// closed. Of what librbd and RADOS do, it has the owner of each image's lock, the blocklist, and
// one list of fenced instances.
//
// Thread: the test's, but for what LUNs call, which is any.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <expected>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "rbd_handler/ceph/cluster.h"

namespace tcmurbd::testing {

enum class CephStep : uint8_t {
  kConnect,
  kBlocklist,
  kOpenImage,
  kLatestMap,
  kPermission,
  kOpenChannel,
  kOpenFences,
  kCloseImage,
  kRefreshSize,
  kLocate,
};
inline constexpr size_t kCephSteps = 10;

class FakeCeph;

// Ops stay until the test ends them.
class FakeServed final : public ceph::ServedImage {
 public:
  FakeServed(std::shared_ptr<FakeCeph> ceph, std::string image, std::string address,
             const ceph::ImageInfo& info, ceph::CompletionSink sink);
  ~FakeServed() override;

  struct Pending {
    OpKind kind;
    ByteRange range;
    OpToken token;
  };
  // Ends the oldest with `result`. REQUIRES: pending is not empty.
  void finish(int32_t result = 0);
  // Ends the one that on_submit was called with. Any thread.
  void end(OpToken token, int32_t result = 0) { sink_({.token = token, .result = result}); }

  void submit(const ImageOp& op, OpToken token) override {
    if (on_submit) return on_submit(token);
    pending.push_back({op.kind, op.range, token});
  }
  void give_up(OpToken) override {}
  bool timed_out() const override { return timed_out_; }
  const ceph::ImageInfo& info() const override { return info_; }
  // An object for each MiB.
  ceph::ObjectPlace place_of(const ByteRange& range) const override {
    return {.pool = "pool",
            .object = std::to_string(range.offset >> 20U),
            .map_object = "map",
            .map_pool = "pool"};
  }
  const std::string& address() const override { return address_; }
  std::expected<void, std::string> publish(const ceph::ServiceStatus& status) override {
    published.push_back(status);
    return {};
  }
  std::expected<uint64_t, std::string> refresh_size() override;
  bool primary() const override { return true; }
  std::expected<void, ceph::LockFailure> take_free_lock() override;
  std::expected<void, ceph::LockFailure> release_lock() override;
  std::expected<void, ceph::LockFailure> reach_header() override { return {}; }
  std::expected<void, ceph::LockFailure> wait_for_latest_map() const override;

  // RADOS has given up an op of it, which may still be applied.
  void lose_track() { timed_out_ = true; }

  std::vector<Pending> pending;  // The thread with the LUN's turn.
  // Gets the ops, in the place of `pending`. Within the call, end() is allowed.
  std::function<void(OpToken)> on_submit;
  std::vector<ceph::ServiceStatus> published;

 private:
  const std::shared_ptr<FakeCeph> ceph_;
  const std::string image_;
  const std::string address_;
  const ceph::CompletionSink sink_;
  const ceph::ImageInfo info_;
  std::atomic<bool> timed_out_{false};
};

// What the channel of the newest LUN was used for.
struct ChannelUse {
  std::vector<std::string> served_as;  // Instances, in order.
  std::vector<std::string> asked;      // Owners that were asked for the lock.
  std::vector<std::pair<uint64_t, lock::PeerAnswer>> answers;  // By the nonce of the request.
};

// Held by what it opened.
class FakeCeph : public std::enable_shared_from_this<FakeCeph> {
 public:
  // The step fails. `error` is of those that tell one.
  void refuse(CephStep step, const std::string& why, int error = -5);
  void allow(CephStep step);
  // The step waits until release(), which is for all that wait and come later.
  void hang(CephStep step);
  void release(CephStep step);
  // When it was begun, each time.
  std::vector<std::chrono::steady_clock::time_point> times(CephStep step) const;
  size_t begun(CephStep step) const { return times(step).size(); }

  ceph::ConnectCluster connect();
  ceph::OpenServedImage open_served_image();

  // Of images that are opened from now on.
  void set_info(const ceph::ImageInfo& info);
  void set_permission(bool may);
  // Hung ops wait for the object map.
  void hang_object_map();
  size_t images_open() const;
  size_t others_open() const;  // Channels and lists of fenced instances.
  // The newest of this image; null: it is not open.
  FakeServed* served(const std::string& image) const;
  std::vector<std::string> blocklisted() const;

  // The instance that owns the image's lock; empty: it is free.
  std::string owner(const std::string& image) const;
  // Another gateway acquires it, with this instance,
  void give_lock(const std::string& image, const std::string& address);
  // and gives this answer when it is asked: the lock is free then if it says so.
  void set_answer(ceph::Asked answer);
  void set_own_watch(ceph::OwnWatch watch);
  // The list of fenced instances. Another gateway adds one with fence_elsewhere().
  std::set<std::string> fences() const;
  void fence_elsewhere(const std::string& address);
  // Another client blocklists an instance of the newest LUN.
  void fence_instance(const std::string& address);
  // What the newest LUN's guard reports then, also of an earlier instance: it was on its way.
  void report_fenced(const std::string& address);
  size_t fences_refreshed() const;
  ChannelUse channel() const;
  // Of the newest channel.
  ceph::ChannelHandlers handlers() const;

 private:
  friend class FakeServed;
  friend class FakeConnection;
  friend class FakePeerChannel;
  friend class FakeFences;
  struct Step {
    std::optional<ceph::LockFailure> failure;
    bool hangs = false;
    std::vector<std::chrono::steady_clock::time_point> times;
  };
  // What the step ends with, when it may.
  std::expected<void, ceph::LockFailure> take(CephStep step);

  mutable std::mutex mutex_;  // Of all below.
  std::condition_variable released_;
  std::array<Step, kCephSteps> steps_;
  ceph::ImageInfo info_{.bytes = 1U << 20U,
                        .object_bytes = 1U << 22U,
                        .stripe_bytes = 1U << 22U,
                        .exclusive_lock = true,
                        .id = "1f2e3d"};
  bool may_ = true;
  bool map_hangs_ = false;
  size_t opened_ = 0;  // Images in all, which numbers them.
  size_t others_ = 0;
  std::map<std::string, FakeServed*> served_;  // By image.
  std::set<FakeServed*> images_;
  std::vector<std::string> blocklisted_;
  std::map<std::string, ceph::LockHolder> holders_;  // By image.
  ceph::Asked answer_ = ceph::Asked::kReleased;
  ceph::OwnWatch own_watch_ = ceph::OwnWatch::kThere;
  std::map<std::string, ceph::FenceReason> fences_;
  size_t refreshed_ = 0;
  ChannelUse channel_;
  ceph::ChannelHandlers handlers_;
  ceph::OnOwnFenced on_own_fenced_;
  std::string guarded_;
};

}  // namespace tcmurbd::testing
