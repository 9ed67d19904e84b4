// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/daemon/scrape.h"

#include <sys/resource.h>
#include <unistd.h>

#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <utility>

namespace tcmurbd {

namespace asio = boost::asio;

namespace {

metrics::LunSample as_sample(LunMetrics&& lun) {
  metrics::LunSample sample{.lun = std::move(lun.name),
                            .pool = std::move(lun.pool),
                            .name_space = std::move(lun.name_space),
                            .image = std::move(lun.image),
                            .state = lun.state,
                            .device = std::move(lun.device)};
  for (const auto& [where, commands] : lun.hung)
    sample.hung.push_back(
        {where.osd ? std::to_string(*where.osd) : "unknown", where.primary, commands});
  return sample;
}

struct Collection : std::enable_shared_from_this<Collection> {
  Collection(asio::io_context& control, metrics::Sample begun,
             std::function<void(metrics::Sample)> fn)
      : timer(control, kScrapePatience), sample(std::move(begun)), done(std::move(fn)) {}

  void ask(const std::vector<std::shared_ptr<Lun>>& luns) {
    waiting = 1;  // This function itself.
    sample.luns.resize(luns.size());
    for (size_t i = 0; i < luns.size(); ++i) {
      sample.luns[i] = as_sample(luns[i]->describe_metrics());
      waiting += luns[i]->measure([self = shared_from_this(), i](LunMetrics measured) {
        if (!self->done) return;  // Too late.
        self->sample.luns[i] = as_sample(std::move(measured));
        self->one_done();
      });
    }
    timer.async_wait([self = shared_from_this()](const boost::system::error_code& error) {
      if (error || !self->done) return;
      self->sample.luns_unanswered = self->waiting;
      self->finish();
    });
    one_done();
  }

  void one_done() {
    if (--waiting != 0) return;
    timer.cancel();
    finish();
  }

  void finish() { std::exchange(done, nullptr)(std::move(sample)); }

  asio::steady_timer timer;
  metrics::Sample sample;
  std::function<void(metrics::Sample)> done;
  size_t waiting = 0;
};

}  // namespace

void scrape(asio::io_context& control, const std::vector<std::shared_ptr<Lun>>& luns,
            metrics::Sample sample, std::function<void(metrics::Sample)> done) {
  std::make_shared<Collection>(control, std::move(sample), std::move(done))->ask(luns);
}

std::optional<metrics::ProcessSample> read_process() {
  std::ifstream file("/proc/self/stat");
  const std::string stat{std::istreambuf_iterator<char>(file), {}};
  // proc(5): the second field is the name in parentheses, which may contain any byte.
  const size_t name_end = stat.rfind(')');
  if (name_end == std::string::npos) return std::nullopt;
  std::istringstream rest(stat.substr(name_end + 1));
  const std::vector<std::string> fields{std::istream_iterator<std::string>(rest), {}};
  constexpr size_t kFirst = 3;  // Of `fields`.
  constexpr size_t kThreads = 20;
  constexpr size_t kResidentPages = 24;
  if (fields.size() <= kResidentPages - kFirst) return std::nullopt;
  const auto number = [&](size_t field) {
    return std::strtoull(fields[field - kFirst].c_str(), nullptr, 10);
  };
  metrics::ProcessSample process{
      .resident_bytes = number(kResidentPages) * static_cast<uint64_t>(sysconf(_SC_PAGESIZE)),
      .threads = number(kThreads)};
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  for (const timeval& time : {usage.ru_utime, usage.ru_stime})
    process.cpu_seconds +=
        static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  rlimit files{};
  if (getrlimit(RLIMIT_NOFILE, &files) == 0) process.max_fds = files.rlim_cur;
  std::error_code error;
  for (std::filesystem::directory_iterator entry("/proc/self/fd", error), end;
       !error && entry != end; entry.increment(error))
    ++process.open_fds;
  return process;
}

}  // namespace tcmurbd
