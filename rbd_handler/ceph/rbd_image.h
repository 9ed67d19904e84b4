// SPDX-License-Identifier: Apache-2.0
// The image that serves a LUN, by librbd (one rados_t per LUN: a fence never affects another LUN,
// and threads never wait for another LUN's OSDs).
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <expected>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "common/mutex.h"
#include "config/image_spec.h"
#include "rbd_handler/ceph/image_facts.h"
#include "rbd_handler/ceph/op_parts.h"
#include "rbd_handler/ceph/served_image.h"

namespace tcmurbd::ceph {

// Receives completions. Called on librbd's threads, on a thread of the image, and from within
// submit(), with no lock held. Must not block, which would stall librbd, nor close the image; may
// call submit() of this and of other images, except from within submit().
using CompletionSink = std::function<void(OpDone)>;

class ImageHandle;
class OpSlots;
struct OpSlot;

class RbdImage final : public ServedImage {
 public:
  // Connects and opens. BLOCKS without a limit (librbd has none when an OSD hangs), so: a worker
  // thread, never a reactor or the netlink thread. Errors are one line for the operator with the
  // step, its object and the reason. `news`: called when another client changed the image; never
  // from within this call.
  static std::expected<std::unique_ptr<RbdImage>, std::string> open(const ImageSpec& spec,
                                                                    CompletionSink sink,
                                                                    NewsSink news = {});
  ~RbdImage() override;

  // In addition to the contract of ServedImage: an op beyond the cached size, and a change when the
  // header may have changed, waits until the image's own thread has read the header again; then it
  // runs or ends with kBeyondEnd. A change that may have been truncated at the end of a shrunk
  // image succeeds only after the size was read. If it cannot be read, the op ends with that error
  // (-EAGAIN instead of -ETIMEDOUT: the op itself has ended and can be retried).
  void submit(const ImageOp& op, OpToken token) override;

  // A step that another thread is starting at the same time counts as started.
  void give_up(OpToken token) override;

  bool timed_out() const override { return timed_out_.load(std::memory_order_acquire); }
  const ImageInfo& info() const override;
  ObjectPlace place_of(const ByteRange& range) const override;
  const std::string& address() const override;
  std::expected<void, std::string> publish(const ServiceStatus& status) override;
  std::expected<uint64_t, std::string> refresh_size() override;
  bool primary() const override;
  std::expected<void, LockFailure> take_free_lock() override;
  std::expected<void, LockFailure> release_lock() override;
  std::expected<void, LockFailure> reach_header() override;
  std::expected<void, LockFailure> wait_for_latest_map() const override;

 private:
  // An op for the image's own thread: one to start once the size is known, or one that ended and
  // may have been truncated.
  struct DeferredOp {
    OpSlot* slot;
    bool started;
    int32_t result;
  };

  RbdImage(std::unique_ptr<ImageHandle> handle, std::string name, CompletionSink sink,
           NewsSink news);
  void start(OpSlot& slot);
  int call_librbd(OpSlot& slot, void* completion);
  int call_whole(OpSlot& slot, void* completion);
  static void on_complete(void* completion, void* slot);
  void ended(OpSlot& slot, int64_t result);
  void part_ended(OpSlot& slot, uint64_t bytes_read);
  void finish(OpSlot& slot, int32_t result);

  void defer(DeferredOp deferred);
  void run_deferred_ops(const std::stop_token& stop);
  void settle(const DeferredOp& deferred, const std::expected<uint64_t, int>& bytes);
  bool look_again();

  // Constant after construction.
  const std::unique_ptr<ImageHandle> handle_;
  const std::string name_;
  const CompletionSink sink_;
  const NewsSink news_;

  // These synchronise themselves.
  const std::unique_ptr<OpSlots> slots_;
  bool registered_ = false;  // In the service map.
  std::atomic<uint32_t> in_flight_{0};
  std::atomic<bool> timed_out_{false};

  Mutex deferred_mutex_;
  std::condition_variable_any deferred_arrived_;
  std::vector<DeferredOp> deferred_ GUARDED_BY(deferred_mutex_);
  // The header may have changed since the last look.
  bool look_ GUARDED_BY(deferred_mutex_) = false;
  ImageFacts told_;               // Used by the deferred ops' thread only.
  std::jthread deferred_thread_;  // Last: it uses all of the above.
};

}  // namespace tcmurbd::ceph
