// SPDX-License-Identifier: Apache-2.0
// tcmu-rbd as it is, with an image that completes each op at once on a thread of its own, in the
// order of the ops: what the daemon itself costs, without librbd, network and OSDs. Data is not
// moved.
#include <unistd.h>

#include <condition_variable>
#include <deque>
#include <iostream>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>

#include "rbd_handler/daemon/daemon.h"
#include "rbd_handler/messages/daemon.h"
#include "tests/support/fake_ceph.h"

namespace tcmurbd::bench {
namespace {

// In the place of librbd's thread: takes what has come, and ends it.
class Finisher {
 public:
  explicit Finisher(testing::FakeServed& image) : image_(image), thread_([this] { run(); }) {}

  void add(OpToken token) {
    const std::lock_guard lock(mutex_);
    tokens_.push_back(token);
    if (tokens_.size() == 1) arrived_.notify_one();
  }

 private:
  [[noreturn]] void run() {
    std::deque<OpToken> batch;
    for (;;) {
      {
        std::unique_lock lock(mutex_);
        arrived_.wait(lock, [this] { return !tokens_.empty(); });
        batch.swap(tokens_);
      }
      for (const OpToken token : batch) image_.end(token);
      batch.clear();
    }
  }

  testing::FakeServed& image_;
  std::mutex mutex_;
  std::condition_variable arrived_;
  std::deque<OpToken> tokens_;
  std::thread thread_;
};

DaemonPorts instant_ports(uint64_t bytes) {
  const auto ceph = std::make_shared<testing::FakeCeph>();
  ceph->set_info({.bytes = bytes,
                  .object_bytes = 1U << 22U,
                  .stripe_bytes = 1U << 22U,
                  .exclusive_lock = true,
                  .id = "instant"});
  DaemonPorts ports;
  ports.lun.connect = ceph->connect();
  ports.lun.open_served_image = [ceph](const ImageSpec& spec, ceph::CompletionSink sink,
                                       ceph::NewsSink news) {
    auto opened = ceph->open_served_image()(spec, std::move(sink), std::move(news));
    if (opened) {
      testing::FakeServed& image = *ceph->served(spec.image);
      // Never deleted: the process ends with _exit.
      auto* const finisher = new Finisher(image);  // NOLINT(cppcoreguidelines-owning-memory)
      image.on_submit = [finisher](OpToken token) { finisher->add(token); };
    }
    return opened;
  };
  return ports;
}

int run(const char* config_path, uint64_t bytes) {
  const auto config = load_config(config_path);
  if (!config) {
    std::cerr << config.error() << "\n";
    return 1;
  }
  Log::start(messages::kLinesLost);
  apply_log_settings(config->log);
  Daemon daemon(*config, [config] { return config; }, instant_ports(bytes));
  _exit(daemon.run());
}

}  // namespace
}  // namespace tcmurbd::bench

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: instant_daemon CONFIG BYTES\n";
    return 2;
  }
  try {
    return tcmurbd::bench::run(argv[1], std::stoull(argv[2]));
  } catch (const std::exception& error) {
    std::cerr << "instant_daemon: " << error.what() << "\n";
    return 1;
  }
}
