// SPDX-License-Identifier: Apache-2.0
#include "ceph_live.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#ifdef __SANITIZE_ADDRESS__
// librados asks the DNS when it has no monitor's address; glibc keeps what it allocated for that.
extern "C" const char* __lsan_default_suppressions() { return "leak:res_context_send\n"; }
#endif

namespace tcmurbd::ceph {

std::string live_conf() {
  const char* conf = std::getenv("TCMU_RBD_TEST_CEPH_CONF");
  return conf != nullptr ? conf : "";
}

CompletionSink Completions::sink() {
  return [this](OpDone done) {
    const std::lock_guard lock(mutex_);
    EXPECT_TRUE(done_.emplace(done.token, done).second) << "two results for one op";
    arrived_.notify_all();
  };
}

OpDone Completions::wait_done(OpToken token) {
  std::unique_lock lock(mutex_);
  arrived_.wait(lock, [&] { return done_.contains(token); });
  return done_.extract(token).mapped();
}

bool Completions::wait_for(OpToken token, std::chrono::milliseconds limit) {
  std::unique_lock lock(mutex_);
  return arrived_.wait_for(lock, limit, [&] { return done_.contains(token); });
}

std::unique_ptr<Target> Target::open(const std::string& dev_config) {
  auto target = open_unlocked(dev_config);
  if (!target || target->image->info().read_only || !target->image->info().exclusive_lock)
    return target;
  const auto locked = target->image->take_free_lock();
  EXPECT_TRUE(locked.has_value()) << locked.error().text;
  return target;
}

std::unique_ptr<Target> Target::open_unlocked(const std::string& dev_config) {
  auto target = std::make_unique<Target>();
  const auto spec = parse_dev_config(dev_config);
  EXPECT_TRUE(spec.has_value()) << spec.error();
  auto image = RbdImage::open(*spec, target->completions.sink());
  EXPECT_TRUE(image.has_value()) << image.error();
  if (!image) return nullptr;
  target->image = std::move(*image);
  return target;
}

OpDone Target::run_done(const ImageOp& op) {
  const OpToken token = next_token++;
  image->submit(op, token);
  return completions.wait_done(token);
}

void Target::submit_spoiled(ImageOp op, Bytes data, size_t pieces, OpToken token) {
  std::vector<iovec>& iov = spoiled_.emplace_back();
  const size_t piece = data.size() / pieces;
  for (size_t i = 0; i + 1 < pieces; ++i) iov.push_back({data.data() + i * piece, piece});
  iov.push_back({data.data() + (pieces - 1) * piece, data.size() - (pieces - 1) * piece});
  if (!data.empty()) op.data = iov;
  image->submit(op, token);
  std::ranges::fill(data, 0xee);
  std::ranges::fill(iov, iovec{nullptr, kMiB});
}

int32_t Target::read(uint64_t offset, Bytes& into) {
  const iovec iov{into.data(), into.size()};
  return run({.kind = OpKind::kRead, .range = {offset, into.size()}, .data = {&iov, 1}});
}

int32_t Target::write(uint64_t offset, const Bytes& from) {
  const iovec iov{const_cast<uint8_t*>(from.data()), from.size()};
  return run({.kind = OpKind::kWrite, .range = {offset, from.size()}, .data = {&iov, 1}});
}

int32_t Target::zero(uint64_t offset, uint64_t length) {
  return run({.kind = OpKind::kWriteZeroes, .range = {offset, length}, .data = {}});
}

int32_t Target::write_same(ByteRange range, const Bytes& pattern) {
  const iovec iov{const_cast<uint8_t*>(pattern.data()), pattern.size()};
  return run({.kind = OpKind::kWriteSame, .range = range, .data = {&iov, 1}});
}

OpDone Target::compare_and_write(uint64_t offset, const Bytes& data) {
  const iovec iov{const_cast<uint8_t*>(data.data()), data.size()};
  return run_done(
      {.kind = OpKind::kCompareAndWrite, .range = {offset, data.size() / 2}, .data = {&iov, 1}});
}

void LiveTest::SetUp() {
  conf_ = live_conf();
  if (conf_.empty()) GTEST_SKIP() << "TCMU_RBD_TEST_CEPH_CONF names no cluster";
  ASSERT_EQ(rados_create(&cluster_, "admin"), 0);
  ASSERT_EQ(rados_conf_read_file(cluster_, conf_.c_str()), 0);
  ASSERT_EQ(rados_conf_set(cluster_, "rbd_cache", "false"), 0);
  ASSERT_EQ(rados_conf_set(cluster_, "admin_socket", ""), 0);
  ASSERT_EQ(rados_conf_set(cluster_, "client_mount_timeout", "10"), 0);
  ASSERT_EQ(rados_connect(cluster_), 0);
  ASSERT_EQ(rados_ioctx_create(cluster_, "rbd", &pool_), 0);
}

void LiveTest::TearDown() {
  for (auto image = images_.rbegin(); image != images_.rend(); ++image) {
    rbd_image_t handle = nullptr;
    if (rbd_open(pool_, image->c_str(), &handle, nullptr) == 0) {
      rbd_snap_info_t snapshots[8];
      int count = 8;
      const int found = rbd_snap_list(handle, snapshots, &count);
      for (int i = 0; i < found; ++i) {
        rbd_snap_unprotect(handle, snapshots[i].name);
        rbd_snap_remove(handle, snapshots[i].name);
      }
      if (found > 0) rbd_snap_list_end(snapshots);
      rbd_close(handle);
    }
    EXPECT_EQ(rbd_remove(pool_, image->c_str()), 0) << *image;
  }
  if (pool_ != nullptr) rados_ioctx_destroy(pool_);
  if (cluster_ != nullptr) rados_shutdown(cluster_);
}

std::string LiveTest::make_image(const ImageOptions& options) {
  static int serial = 0;
  const std::string name =
      "tcmu-rbd-test-" + std::to_string(::getpid()) + "-" + std::to_string(serial++);
  int order = options.order;
  EXPECT_EQ(rbd_create2(pool_, name.c_str(), options.bytes, options.features, &order), 0);
  images_.push_back(name);
  return name;
}

std::string LiveTest::make_clone(const std::string& parent) {
  snapshot(parent, "s");
  const rbd_image_t other = open_other(parent);
  EXPECT_EQ(rbd_snap_protect(other, "s"), 0);
  rbd_close(other);
  const std::string clone = make_image();
  EXPECT_EQ(rbd_remove(pool_, clone.c_str()), 0);
  int order = 20;
  EXPECT_EQ(
      rbd_clone(pool_, parent.c_str(), "s", pool_, clone.c_str(),
                RBD_FEATURE_LAYERING | RBD_FEATURE_EXCLUSIVE_LOCK | RBD_FEATURE_OBJECT_MAP, &order),
      0);
  return clone;
}

rbd_image_t LiveTest::open_other(const std::string& image, const char* snapshot) {
  rbd_image_t handle = nullptr;
  EXPECT_EQ(rbd_open(pool_, image.c_str(), &handle, snapshot), 0);
  return handle;
}

void LiveTest::resize(const std::string& image, uint64_t bytes) {
  const rbd_image_t other = open_other(image);
  EXPECT_EQ(rbd_resize(other, bytes), 0);
  rbd_close(other);
}

void LiveTest::snapshot(const std::string& image, const std::string& name) {
  const rbd_image_t other = open_other(image);
  EXPECT_EQ(rbd_snap_create(other, name.c_str()), 0);
  rbd_close(other);
}

Bytes LiveTest::exported(const std::string& image) {
  const std::string command = "rbd -c " + conf_ + " --no-progress export rbd/" + image + " -";
  FILE* pipe = ::popen(command.c_str(), "r");
  Bytes all;
  uint8_t chunk[65536];
  while (const size_t got = std::fread(chunk, 1, sizeof chunk, pipe))
    all.insert(all.end(), chunk, chunk + got);
  EXPECT_EQ(::pclose(pipe), 0);
  return all;
}

std::string LiveTest::dev_config(const std::string& image) const {
  return "rbd/rbd/" + image + ";conf=" + conf_;
}

}  // namespace tcmurbd::ceph
