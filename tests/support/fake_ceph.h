// SPDX-License-Identifier: Apache-2.0
// A Ceph cluster as a LUN opens and uses it, for tests of what the LUN makes of it: each step
// works, is refused, or hangs until the test lets it go, and what was opened is counted until it is
// closed. Nothing is modelled of what librbd or RADOS do. The channel and the ledger are null
// pointers that own something: a LUN without a channel needs no lock.
//
// Thread: the test's, but for what LUNs call, which is any.
#pragma once

#include <array>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <expected>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
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
  kOpenLedger,
  kCloseImage,
  kRefreshSize,
};
inline constexpr size_t kCephSteps = 9;

class FakeCeph;

// Ops stay until the test ends them.
class FakeServed final : public ceph::ServedImage {
 public:
  FakeServed(std::shared_ptr<FakeCeph> ceph, std::string address, const ceph::ImageInfo& info,
             ceph::CompletionSink sink);
  ~FakeServed() override;

  struct Pending {
    OpKind kind;
    ByteRange range;
    OpToken token;
  };
  // Ends the oldest with `result`. REQUIRES: pending is not empty.
  void finish(int32_t result = 0);

  void submit(const ImageOp& op, OpToken token) override {
    pending.push_back({op.kind, op.range, token});
  }
  void give_up(OpToken) override {}
  bool timed_out() const override { return false; }
  const ceph::ImageInfo& info() const override { return info_; }
  ceph::ObjectPlace place_of(const ByteRange&) const override { return {}; }
  const std::string& address() const override { return address_; }
  std::expected<void, std::string> publish(const ceph::ServiceStatus&) override { return {}; }
  std::expected<uint64_t, std::string> refresh_size() override;
  bool primary() const override { return true; }
  std::expected<void, ceph::LockFailure> take_free_lock() override { return {}; }
  std::expected<void, ceph::LockFailure> release_lock() override { return {}; }
  std::expected<void, ceph::LockFailure> reach_header() override { return {}; }
  std::expected<void, ceph::LockFailure> wait_for_latest_map() const override;

  std::vector<Pending> pending;  // The reactor's thread.

 private:
  const std::shared_ptr<FakeCeph> ceph_;
  const std::string address_;
  const ceph::CompletionSink sink_;
  const ceph::ImageInfo info_;
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
  size_t images_open() const;
  size_t others_open() const;  // Channels and ledgers.
  // The newest of this image; null: it is not open.
  FakeServed* served(const std::string& image) const;
  std::vector<std::string> blocklisted() const;
  // The instances that a ledger was opened with.
  std::vector<std::string> in_ledger() const;

 private:
  friend class FakeServed;
  friend class FakeConnection;
  struct Step {
    std::optional<ceph::LockFailure> failure;
    bool hangs = false;
    std::vector<std::chrono::steady_clock::time_point> times;
  };
  // What the step ends with, when it may.
  std::expected<void, ceph::LockFailure> take(CephStep step);
  // Owns something that is counted.
  template <typename T>
  std::shared_ptr<T> counted();

  mutable std::mutex mutex_;  // Of all below.
  std::condition_variable released_;
  std::array<Step, kCephSteps> steps_;
  ceph::ImageInfo info_{.bytes = 1U << 20U,
                        .object_bytes = 1U << 22U,
                        .stripe_bytes = 1U << 22U,
                        .exclusive_lock = true,
                        .id = "1f2e3d"};
  bool may_ = true;
  size_t opened_ = 0;  // Images in all, which numbers them.
  size_t others_ = 0;
  std::map<std::string, FakeServed*> served_;  // By image.
  std::set<FakeServed*> images_;
  std::vector<std::string> blocklisted_;
  std::vector<std::string> in_ledger_;
};

}  // namespace tcmurbd::testing
