// SPDX-License-Identifier: Apache-2.0
// A full cluster, and a pool that has reached its quota: ops that need space are refused at once,
// all others are served. The quotas need a manager, which reports the usage to the monitors.
#include <array>
#include <chrono>
#include <iostream>
#include <thread>

#include "ceph_live_gateway.h"

namespace tcmurbd::ceph {
namespace {

const ChannelHandlers kDeaf{.on_request = [](PeerRequest) {}, .on_watch_lost = {}, .on_fenced = {}};

using std::chrono::milliseconds;

// With a data pool of its own, so that each of its two pools can be full.
constexpr const char* kPool = "tcmu-rbd-full-meta";
constexpr const char* kDataPool = "tcmu-rbd-full-data";

class ImageFull : public LiveTest, public testing::WithParamInterface<std::string> {
 protected:
  void SetUp() override {
    LiveTest::SetUp();
    if (IsSkipped()) return;
    for (const std::string pool : {kPool, kDataPool})
      ceph("osd pool create", R"("pg_num": 4, "pool": ")" + pool + '"');
    ASSERT_EQ(rados_ioctx_create(cluster_, kPool, &meta_), 0);
    rados_set_pool_full_try(meta_);
    rbd_image_options_t options = nullptr;
    rbd_image_options_create(&options);
    rbd_image_options_set_string(options, RBD_IMAGE_OPTION_DATA_POOL, kDataPool);
    rbd_image_options_set_uint64(options, RBD_IMAGE_OPTION_ORDER, 20);
    EXPECT_EQ(rbd_create4(meta_, "image", 64 * kMiB, options), 0);
    rbd_image_options_destroy(options);
  }
  void TearDown() override {
    if (meta_ != nullptr) {
      set_full(false);
      target_.reset();
      rados_ioctx_destroy(meta_);
      for (const std::string pool : {kPool, kDataPool}) {
        std::string twice = R"("yes_i_really_really_mean_it": true, "pool": ")";
        twice.append(pool).append(R"(", "pool2": ")").append(pool).append("\"");
        ceph("osd pool rm", twice);
      }
    }
    LiveTest::TearDown();
  }

  void ceph(const std::string& prefix, const std::string& arguments) const {
    const std::string text = R"({"prefix": ")" + prefix + R"(", )" + arguments + '}';
    std::array<const char*, 1> commands{text.c_str()};
    EXPECT_EQ(rados_mon_command(cluster_, commands.data(), 1, nullptr, 0, nullptr, nullptr, nullptr,
                                nullptr),
              0)
        << text;
  }
  // Makes the pool full in the way of the test, or frees it.
  void set_full(bool full) const {
    if (GetParam() == "ratio") {
      // 16.2 knows no `osd set full`. The OSDs take the greatest of the three.
      for (const char* ratio : {"nearfull", "backfillfull", "full"})
        ceph(std::string("osd set-") + ratio + "-ratio",
             std::string(R"("ratio": )") + (full ? "0.00001" : "0.95"));
      return;
    }
    const std::string pool = GetParam() == "quota" ? kPool : kDataPool;
    ceph("osd pool set-quota", R"("field": "max_objects", "pool": ")" + pool + R"(", "val": ")" +
                                   (full ? "1" : "0") + '"');
  }
  // To an object that has no data yet. 1: it was paused.
  int32_t write_somewhere() {
    const OpToken token = target_->next_token++;
    const iovec iov{data_.data(), data_.size()};
    target_->image->submit(
        {.kind = OpKind::kWrite, .range = {kMiB, data_.size()}, .data = {&iov, 1}}, token);
    if (!target_->completions.wait_for(token, milliseconds(2000))) return 1;
    const int32_t result = target_->completions.wait(token);
    if (result == 0) {
      EXPECT_EQ(target_->zero(kMiB, kMiB), 0);
    }
    return result;
  }
  // Until it is refused, or served again: there is no sign that all daemons have the map. 1: it was
  // paused.
  template <typename Write>
  int32_t write_until(bool good, Write write) const {
    const auto begin = steady_clock::now();
    int32_t result = 0;
    do {
      if (result = write(); result == 1 || (result == 0) == good) break;
      std::this_thread::sleep_for(milliseconds(100));
    } while (seconds_since(begin) < 60);
    std::cout << GetParam() << ": " << result << " after " << seconds_since(begin) << " s\n";
    return result;
  }
  void expect_served() {
    Bytes back(data_.size());
    EXPECT_EQ(target_->read(0, back), 0);
    EXPECT_TRUE(back == data_);
    EXPECT_EQ(target_->write(0, Bytes(4096, 1)), 0);  // Takes no more space.
    EXPECT_EQ(target_->zero(4096, 4096), 0);
    EXPECT_EQ(target_->zero(0, kMiB), 0);
  }

  rados_ioctx_t meta_ = nullptr;
  std::unique_ptr<Target> target_;
  Bytes data_ = Bytes(65536, 0x5a);
};

TEST_P(ImageFull, IsToldAtOnceAndServedOn) {
  const std::string config = std::string("rbd/") + kPool + "/image;conf=" + conf_;
  target_ = Target::open(config);
  ASSERT_TRUE(target_);
  ASSERT_EQ(target_->write(0, data_), 0);
  ASSERT_EQ(target_->write(kMiB / 2, data_), 0);
  const auto control = ControlClient::get(conf_, "");
  ASSERT_TRUE(control);
  const auto spec = parse_dev_config(config);
  const std::string& id = target_->image->info().id;
  ASSERT_TRUE(LockChannel::open(*control, *spec, id, kDeaf));

  set_full(true);
  const int32_t expected = GetParam() == "ratio" ? -ENOSPC : -EDQUOT;
  if (GetParam() == "quota") {
    // The pool without data: blocks no write, except those that create an object there.
    int serial = 0;
    EXPECT_EQ(write_until(false,
                          [&] {
                            const std::string name = "probe" + std::to_string(serial++);
                            return rados_write_full(meta_, name.c_str(), "x", 1);
                          }),
              expected);
    EXPECT_EQ(write_somewhere(), 0);
  } else {
    ASSERT_EQ(write_until(false, [&] { return write_somewhere(); }), expected);
  }
  const auto begin = steady_clock::now();
  expect_served();
  EXPECT_TRUE(target_->image->release_lock());
  target_.reset();
  target_ = Target::open(config);
  ASSERT_TRUE(target_);
  EXPECT_EQ(target_->zero(0, 2 * kMiB), 0);
  const auto channel = LockChannel::open(*control, *spec, id, kDeaf);
  EXPECT_TRUE(channel.has_value()) << channel.error();
  std::cout << "what needs no space, and a fresh instance: " << seconds_since(begin) << " s\n";
  EXPECT_LT(seconds_since(begin), 5);
  set_full(false);
  EXPECT_EQ(write_until(true, [&] { return write_somewhere(); }), 0);
}

INSTANTIATE_TEST_SUITE_P(Ways, ImageFull, testing::Values("ratio", "quota", "data_quota"),
                         [](const auto& way) { return way.param; });

}  // namespace
}  // namespace tcmurbd::ceph
