// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/daemon/daemon.h"

#include <fmt/format.h>
#include <systemd/sd-daemon.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <cerrno>
#include <csignal>
#include <stdexcept>
#include <utility>

#include "common/boot_clock.h"
#include "common/check.h"
#include "common/crash_dump.h"
#include "common/replace_file.h"
#include "rbd_handler/daemon/lun_json.h"
#include "rbd_handler/messages/daemon.h"
#include "rbd_handler/messages/lock.h"
#include "rbd_handler/reactor/jobs.h"

namespace tcmurbd {

namespace asio = boost::asio;
using boost::system::error_code;

void apply_log_settings(const Config::Log& settings) {
  constexpr spdlog::level::level_enum kLevels[] = {spdlog::level::debug, spdlog::level::info,
                                                   spdlog::level::warn, spdlog::level::err};
  Log::set_level(kLevels[static_cast<size_t>(settings.level)]);
  Log::set_limits({settings.burst, settings.per_minute});
}

std::expected<std::unique_ptr<kernel::EventChannel>, std::string> DaemonPorts::open_netlink() {
  auto channel = kernel::NetlinkChannel::open();
  if (!channel) return std::unexpected(channel.error());
  return std::make_unique<kernel::NetlinkChannel>(std::move(*channel));
}

Daemon::Daemon(Config config, ReadConfig read_config, DaemonPorts ports)
    : config_(std::move(config)),
      read_config_(std::move(read_config)),
      ports_(std::move(ports)),
      signals_(control_, SIGTERM, SIGINT, SIGHUP),
      beat_timer_(control_),
      look_timer_(control_),
      vanished_timer_(control_),
      exit_timer_(control_),
      heartbeat_(boot_now()),
      netlink_wait_(control_) {}

Daemon::~Daemon() {
  if (netlink_wait_.is_open()) netlink_wait_.release();
}

int Daemon::run() {
  try {
    if (!start()) {
      leave_all_blocked();
      return 1;
    }
    control_.run();
    end_replies();
  } catch (const std::exception& error) {
    log_.write<messages::kFatal>(error.what());
    leave_all_blocked();
    return 1;
  }
  return exit_code_;
}

// The process must exit: its devices return BUSY until a successor takes them over, and the
// kernel's writers do not wait for replies that will never come.
void Daemon::leave_all_blocked() {
  for (const auto& [minor, lun] : luns_) block(lun->entry());
  if (!netlink_) return;
  if (auto wanted = netlink_->request_replies(false); !wanted)
    log_.write<messages::kNetlinkReplies>(wanted.error());
  end_replies();
}

// Each reactor's thread. After an exception, the control thread ends the process cleanly.
void Daemon::run_reactor(Reactor& reactor) {
  const SignalStack stack;
  try {
    reactor.loop.run();
  } catch (const std::exception& error) {
    asio::post(control_, [text = std::string(error.what())] { throw std::runtime_error(text); });
  }
}

bool Daemon::start() {
  auto channel = ports_.open_events();
  if (!channel) {
    log_.write<messages::kCannotStart>(channel.error());
    return false;
  }
  netlink_ = std::move(*channel);
  // This process handles events from here on. Writers that still wait for a reply of a dead
  // predecessor get an error and may retry.
  if (auto released = kernel::release_netlink_waiters(root_); !released)
    log_.write<messages::kNetlinkWaiters>(released.error());
  if (auto wanted = netlink_->request_replies(true); !wanted) {
    log_.write<messages::kCannotStart>(wanted.error());
    return false;
  }
  try {
    socket_ = std::make_unique<admin::ControlSocket>(
        control_, config_.paths.control_socket,
        [this](std::string_view request, admin::ControlSocket::Reply reply) {
          requests_.answer(request, std::move(reply));
        });
  } catch (const boost::system::system_error& error) {
    log_.write<messages::kCannotStart>(error.what());
    return false;
  }
  for (uint32_t i = 0; i < config_.reactor.threads; ++i) {
    reactors_.push_back(std::make_unique<Reactor>());
    Reactor& reactor = *reactors_.back();
    busy_.emplace_back(reactor.loop.get_executor());
    reactor.heartbeat.start();
    threads_.emplace_back([this, &reactor] { run_reactor(reactor); });
  }
  wait_for_signals();
  wait_for_netlink();
  heartbeat_ = Heartbeat(boot_now());
  wait_for_beat();
  bus_ = std::make_unique<BusService>(
      control_, [this](const std::string& dev_config, BusService::Reply answer) {
        check_config(dev_config, std::move(answer));
      });
  start_metrics();
  return take_over();
}

std::shared_ptr<Lun> Daemon::make_lun(const kernel::UioEntry& entry, ImageSpec spec) {
  Reactor& reactor = *reactors_[next_reactor_++ % reactors_.size()];
  LunPorts ports = ports_.lun;
  ports.keep_trace = [this](LunTrace trace) { keep_trace(std::move(trace)); };
  auto lun = std::make_shared<Lun>(Lun::Loops{control_, reactor.loop, reactor.heartbeat}, entry,
                                   std::move(spec), config_, copies_, std::move(ports));
  CHECK(luns_.emplace(entry.minor, lun).second);
  return lun;
}

// Only this one: another LUN may have its minor by now.
void Daemon::forget(const Lun& lun) {
  const auto found = luns_.find(lun.entry().minor);
  if (found != luns_.end() && found->second.get() == &lun) luns_.erase(found);
}

// LUNs answer requests from within calls, and are forgotten then.
std::vector<std::shared_ptr<Lun>> Daemon::all_luns() const {
  std::vector<std::shared_ptr<Lun>> luns;
  luns.reserve(luns_.size());
  for (const auto& [minor, lun] : luns_) luns.push_back(lun);
  return luns;
}

// As PATHS.STATE_DIR/user_0.disk1.trace-N.json, the last kTracesMax of each device.
void Daemon::keep_trace(LunTrace trace) {
  std::string name = trace.label.name;
  std::ranges::replace(name, '/', '.');
  const uint32_t number = traces_kept_[name]++ % kTracesMax;
  LogFields fields{.lun = trace.label.name, .image = trace.label.image};
  const auto kept = std::make_shared<std::expected<void, std::string>>();
  const std::string path =
      fmt::format("{}/{}.trace-{}.json", config_.paths.state_dir, name, number);
  trace_jobs_->run(
      [trace = std::move(trace), path, kept] { *kept = replace_file(path, trace_json({trace})); },
      [this, kept, path, fields = std::move(fields)] {
        if (*kept) {
          log_.write_with<messages::kTraceKept>(fields, path);
        } else {
          log_.write_with<messages::kTraceLost>(fields, kept->error());
        }
      });
}

// The kernel and hosts may have given up commands meanwhile, and a peer may have taken the lock.
void Daemon::wait_for_beat() {
  beat_timer_.expires_after(Heartbeat::kPeriod);
  beat_timer_.async_wait([this](const error_code& error) {
    if (error) return;
    if (const auto gap = heartbeat_.beat(boot_now())) {
      log_.write<messages::kControlGap>(std::chrono::duration<double>(*gap).count());
      for (const auto& lun : all_luns()) lun->on_away(*gap);
    }
    wait_for_beat();
  });
}

void Daemon::wait_for_signals() {
  signals_.async_wait([this](const error_code& error, int number) {
    if (error) return;
    if (number == SIGHUP) {
      reload();
    } else {
      log_.write<messages::kExiting>(number);
      shut_down();
    }
    wait_for_signals();
  });
}

// Systemd waits for READY after RELOADING. The first one is that of the take-over.
void Daemon::reload() {
  if (stopping_) return;
  if (ready_) {
    sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%lld",
               static_cast<long long>(std::chrono::duration_cast<std::chrono::microseconds>(
                                          std::chrono::steady_clock::now().time_since_epoch())
                                          .count()));
  }
  auto fresh = read_config_();
  note_reload(fresh.has_value());
  if (!fresh) {
    log_.write<messages::kNotReloaded>(fresh.error());
  } else {
    if (fresh->paths != config_.paths || fresh->reactor != config_.reactor) {
      log_.write<messages::kNeedsRestart>();
    }
    config_.log = fresh->log;
    config_.device = fresh->device;
    // Also if its port was in use before.
    if (fresh->metrics != config_.metrics || metrics_->port() == 0) metrics_->serve(fresh->metrics);
    config_.metrics = fresh->metrics;
    apply_log_settings(config_.log);
    for (const auto& lun : all_luns()) lun->reconfigure(config_);
    log_.write<messages::kReloaded>();
  }
  if (ready_) sd_notify(0, "READY=1");
}

// Blocks and drains all LUNs in parallel; each is bounded by device.drain_timeout. So is the wait
// for devices that the kernel removes now.
void Daemon::shut_down() {
  if (stopping_) return;
  stopping_ = true;
  sd_notify(0, "STOPPING=1");
  // No replies from here on: new devices must not wait for this process. A successor takes them
  // over.
  if (auto wanted = netlink_->request_replies(false); !wanted)
    log_.write<messages::kNetlinkReplies>(wanted.error());
  look_timer_.cancel();
  bound_exit();
  const auto luns = all_luns();
  leaving_ = luns.size() + 1;
  const auto one_done = [this](int) {
    --leaving_;
    exit_if_done();
  };
  for (const auto& lun : luns) lun->leave(one_done);
  one_done(0);
}

void Daemon::bound_exit() {
  exit_timer_.expires_after(std::max(config_.device.drain_timeout, std::chrono::seconds(1)));
  exit_timer_.async_wait([this](const error_code& error) {
    if (error) return;
    replies_.answer_all(-ESHUTDOWN);
    bound_exit();  // Further events may come until the last LUN has left.
  });
}

void Daemon::exit_if_done() {
  if (!stopping_ || leaving_ != 0 || !replies_.empty() || exiting_) return;
  exiting_ = true;
  log_.write<messages::kExited>();
  control_.stop();
}

// Opens the image as a LUN would, and closes it. If it hangs in RADOS, the job's thread stays
// blocked; the bus service answers the caller in time.
void Daemon::check_config(const std::string& dev_config, BusService::Reply answer) {
  auto spec = parse_dev_config(dev_config);
  if (!spec) return answer(std::unexpected(spec.error()));
  auto jobs = std::make_shared<reactor::Jobs>(control_);
  auto verdict = std::make_shared<BusService::Verdict>();
  jobs->run([open = ports_.lun.open_served_image, spec = std::move(*spec),
             verdict] { *verdict = check_image(open, spec); },
            [verdict, answer = std::move(answer)] { answer(*verdict); });
}

}  // namespace tcmurbd
