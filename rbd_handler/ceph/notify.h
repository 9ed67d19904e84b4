// SPDX-License-Identifier: Apache-2.0
// A notify in flight to the watchers of an object. It ends when all of them have acknowledged it,
// or after its timeout if one of them is dead. A watcher may answer sooner with its own notify.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/mutex.h"

namespace tcmurbd::ceph {

class Notify {
 public:
  ~Notify();
  Notify() = default;
  Notify(const Notify&) = delete;
  Notify& operator=(const Notify&) = delete;

  // Once. `pool` is a rados_ioctx_t. Returns 0 or a negative errno; the answer keeps `notify`
  // alive. Any thread, callbacks of librados too; does not block.
  static int send(const std::shared_ptr<Notify>& notify, void* pool, const std::string& object,
                  const std::string& payload, std::chrono::milliseconds patience);

  // Any thread.
  void hear(char byte);
  // Until something was heard or it has ended; at most `limit`.
  void wait(std::chrono::milliseconds limit);
  // Until it has ended; at most `limit`.
  void wait_for_end(std::chrono::milliseconds limit);
  bool ended();

  struct Reply {
    uint64_t client;  // As returned by rados_get_instance_id.
    uint64_t cookie;
    std::optional<char> byte;  // If it acknowledged with one byte.
    std::string text;          // If with more.
    bool timed_out;            // It watches, and has not acknowledged.
  };
  struct Outcome {
    std::optional<char> heard;
    bool ended = false;
    int result = 0;  // Once ended; -ETIMEDOUT: some were silent. A negative errno.
    std::chrono::steady_clock::time_point end{};
    // The state of each watcher, if `known`: the OSD has returned it.
    bool known = false;
    std::vector<Reply> replies;
  };
  Outcome outcome();

 private:
  static void on_done(void* completion, void* self);

  Mutex mutex_;
  std::condition_variable_any changed_;
  std::optional<char> heard_ GUARDED_BY(mutex_);
  bool ended_ GUARDED_BY(mutex_) = false;
  int result_ GUARDED_BY(mutex_) = 0;
  std::chrono::steady_clock::time_point end_ GUARDED_BY(mutex_){};
  char* reply_ = nullptr;  // Written by librados before on_done.
  size_t reply_length_ = 0;
};

}  // namespace tcmurbd::ceph
