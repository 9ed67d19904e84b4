// SPDX-License-Identifier: Apache-2.0
// For tests of rbd_handler/ceph against a real cluster: TCMU_RBD_TEST_CEPH_CONF names its ceph.conf
// with a privileged client.admin; it has a pool "rbd". Without it these tests are skipped.
#pragma once

#include <gtest/gtest.h>
#include <rados/librados.h>
#include <rbd/librbd.h>

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "rbd_handler/ceph/rbd_image.h"

namespace tcmurbd::ceph {

using Bytes = std::vector<uint8_t>;
inline Bytes operator+(Bytes a, const Bytes& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

// The path, empty if not given.
std::string live_conf();

// Collects completions and waits for them.
class Completions {
 public:
  CompletionSink sink();
  // REQUIRES: no other thread waits for `token`.
  int32_t wait(OpToken token) { return wait_done(token).result; }
  OpDone wait_done(OpToken token);
  // False: timeout; the op continues.
  bool wait_for(OpToken token, std::chrono::milliseconds limit);

 private:
  std::mutex mutex_;
  std::condition_variable arrived_;
  std::map<OpToken, OpDone> done_;  // Guarded by mutex_.
};

// The image under test with one op at a time.
class Target {
 public:
  // With the exclusive lock, if the image has one; it must be free.
  static std::unique_ptr<Target> open(const std::string& dev_config);
  static std::unique_ptr<Target> open_unlocked(const std::string& dev_config);
  int32_t read(uint64_t offset, Bytes& into);
  int32_t write(uint64_t offset, const Bytes& from);
  int32_t zero(uint64_t offset, uint64_t length);
  int32_t write_same(ByteRange range, const Bytes& pattern);
  // `data`: the block to compare, then the block to write.
  OpDone compare_and_write(uint64_t offset, const Bytes& data);
  int32_t run(const ImageOp& op) { return run_done(op).result; }
  OpDone run_done(const ImageOp& op);
  // With its data in `pieces` pieces. Data and iovecs are overwritten as soon as submit() returns.
  void submit_spoiled(ImageOp op, Bytes data, size_t pieces, OpToken token);

  Completions completions;
  std::unique_ptr<RbdImage> image;
  OpToken next_token = 0;

 private:
  std::deque<std::vector<iovec>> spoiled_;  // Kept, so that their memory is not reused.
};

// Skips without a cluster. Holds an independent connection, and removes the images that it made.
class LiveTest : public testing::Test {
 protected:
  struct ImageOptions {
    uint64_t bytes = 64 * kMiB;
    int order = 22;
    uint64_t features = RBD_FEATURE_LAYERING | RBD_FEATURE_EXCLUSIVE_LOCK | RBD_FEATURE_OBJECT_MAP |
                        RBD_FEATURE_FAST_DIFF;
  };

  void SetUp() override;
  void TearDown() override;

  // Returns the name of a new image.
  std::string make_image(const ImageOptions& options);
  std::string make_image() { return make_image(ImageOptions{}); }
  // A clone of the current content of `parent`. Objects of 1 MiB.
  std::string make_clone(const std::string& parent);
  // Another client's handle on an image; closed by the caller.
  rbd_image_t open_other(const std::string& image, const char* snapshot = nullptr);
  void resize(const std::string& image, uint64_t bytes);
  void snapshot(const std::string& image, const std::string& snapshot);
  // The image's content from `rbd export`.
  Bytes exported(const std::string& image);
  // "rbd/rbd/IMAGE[...];conf=CONF"
  std::string dev_config(const std::string& image) const;

  std::string conf_;
  rados_t cluster_ = nullptr;
  rados_ioctx_t pool_ = nullptr;

 private:
  std::vector<std::string> images_;  // Clones behind their parents.
};

}  // namespace tcmurbd::ceph
