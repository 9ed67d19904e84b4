// SPDX-License-Identifier: Apache-2.0
// The daemon's metrics: over HTTP, and for tcmu-rbdctl.
#include <pthread.h>
#include <sys/utsname.h>

#include <chrono>
#include <ctime>

#include "rbd_handler/daemon/daemon.h"
#include "rbd_handler/daemon/scrape.h"
#include "rbd_handler/metrics/exposition.h"

namespace tcmurbd {

namespace {

double now_s() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

std::string kernel_release() {
  utsname names{};
  return uname(&names) == 0 ? names.release : "";
}

// Negative: not known.
double cpu_seconds(pthread_t thread) {
  clockid_t clock{};
  timespec time{};
  if (pthread_getcpuclockid(thread, &clock) != 0 || clock_gettime(clock, &time) != 0) return -1;
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}

}  // namespace

void Daemon::start_metrics() {
  started_ = now_s();
  note_reload(true);
  metrics_ = std::make_unique<MetricsServer>(
      control_, [this](metrics::Format format, MetricsServer::Reply reply) {
        expose_metrics(format, std::move(reply));
      });
  metrics_->serve(config_.metrics);
}

void Daemon::note_reload(bool good) {
  reload_good_ = good;
  reload_time_ = now_s();
}

void Daemon::expose_metrics(metrics::Format format, std::function<void(std::string)> done) {
  metrics::Sample sample{.version = TCMU_RBD_VERSION,
                         .kernel = kernel_release(),
                         .process = read_process(),
                         .reload_good = reload_good_,
                         .reload_time = reload_time_};
  if (sample.process) sample.process->start_time = started_;
  for (std::jthread& thread : threads_)
    sample.reactor_cpu_seconds.push_back(cpu_seconds(thread.native_handle()));
  scrape(control_, all_luns(), std::move(sample),
         [format, done = std::move(done)](const metrics::Sample& complete) {
           done(metrics::expose(complete, format));
         });
}

}  // namespace tcmurbd
