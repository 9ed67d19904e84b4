// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/daemon/daemon.h"

#include <fmt/format.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <cerrno>
#include <csignal>
#include <stdexcept>
#include <utility>

#include "common/boot_clock.h"
#include "common/crash_dump.h"
#include "common/replace_file.h"
#include "rbd_handler/ceph/headroom.h"
#include "rbd_handler/daemon/lun_json.h"
#include "rbd_handler/messages/daemon.h"
#include "rbd_handler/messages/lock.h"
#include "rbd_handler/reactor/jobs.h"

namespace tcmurbd {

namespace asio = boost::asio;
using boost::system::error_code;
using kernel::DeviceEvent;

void apply_log_settings(const Config::Log& settings) {
  constexpr spdlog::level::level_enum kLevels[] = {spdlog::level::debug, spdlog::level::info,
                                                   spdlog::level::warn, spdlog::level::err};
  Log::set_level(kLevels[static_cast<size_t>(settings.level)]);
  Log::set_limits({settings.burst, settings.per_minute});
}

namespace {
// As tcmu-rbdctl names it.
std::string lun_name(const kernel::DeviceName& name) {
  return fmt::format("{}/{}", name.hba, name.device);
}
}  // namespace

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
  take_over();
  return true;
}

std::shared_ptr<Lun> Daemon::make_lun(const kernel::UioEntry& entry, ImageSpec spec) {
  Reactor& reactor = *reactors_[next_reactor_++ % reactors_.size()];
  LunPorts ports = ports_.lun;
  ports.keep_trace = [this](LunTrace trace) { keep_trace(std::move(trace)); };
  auto lun = std::make_shared<Lun>(Lun::Loops{control_, reactor.loop, reactor.heartbeat}, entry,
                                   std::move(spec), config_, copies_, std::move(ports));
  luns_[entry.minor] = lun;
  return lun;
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

void Daemon::take_over() {
  starting_ = 1;  // This function itself.
  auto entries = kernel::scan_uio(root_);
  std::erase_if(entries, [](const kernel::UioEntry& entry) { return !entry.name.is_rbd(); });
  if (auto room = ceph::Headroom::of_process().check(entries.size() + ceph::kInstancesForNewLun);
      !room) {
    log_.write<messages::kLimitsTooLow>(entries.size(), room.error());
  }
  for (const kernel::UioEntry& entry : entries) take_over_one(entry);
  if (--starting_ == 0) ready();
}

void Daemon::take_over_one(const kernel::UioEntry& entry) {
  auto spec = parse_dev_config(entry.name.dev_config);
  if (!spec) {
    log_.write_with<messages::kNotTakenOver>({.lun = lun_name(entry.name)}, lun_name(entry.name),
                                             spec.error());
    block(entry);
    return;
  }
  ++starting_;
  try {
    make_lun(entry, std::move(*spec))->open(Origin::kTakenOver, [this](int) {
      if (--starting_ == 0) ready();
    });
  } catch (const std::system_error& error) {
    // As for one that is added: only this device fails.
    log_.write_with<messages::kNotTakenOver>({.lun = lun_name(entry.name)}, lun_name(entry.name),
                                             error.what());
    --starting_;
    luns_.erase(entry.minor);
    block(entry);
  }
}

// No daemon serves its ring: initiators get BUSY at once instead of a timeout for each command.
void Daemon::block(const kernel::UioEntry& entry) {
  const auto blocked = kernel::ConfigfsDevice(entry.name, root_).block(true);
  if (blocked) {
    log_.write_with<messages::kBlocked>({.lun = lun_name(entry.name)}, lun_name(entry.name));
  } else {
    log_.write_with<messages::kNotBlockedAtEnd>({.lun = lun_name(entry.name)}, lun_name(entry.name),
                                                blocked.error());
  }
}

void Daemon::ready() {
  if (stopping_) return;
  log_.write<messages::kReady>(luns_.size());
  sd_notify(0, "READY=1");
}

void Daemon::wait_for_netlink() {
  if (!netlink_wait_.is_open()) netlink_wait_.assign(netlink_->fd());
  netlink_wait_.async_wait(asio::posix::stream_descriptor::wait_read,
                           [this](const error_code& error) {
                             if (error) return;
                             read_netlink();
                           });
}

void Daemon::read_netlink() {
  const auto read = netlink_->read_events([this](const DeviceEvent& event) { on_event(event); });
  if (!read) {
    log_.write<messages::kNetlinkLost>(read.error());
    exit_code_ = 1;
    shut_down();
    return;
  }
  if (*read == kernel::EventChannel::Read::kOverrun) rescan();
  wait_for_netlink();
}

// Events were lost. It is unknown which ones, so all waiting writers get an error, and the devices
// are rescanned.
void Daemon::rescan() {
  log_.write<messages::kNetlinkOverrun>();
  if (auto released = kernel::release_netlink_waiters(root_); !released)
    log_.write<messages::kNetlinkWaiters>(released.error());
  const auto present = kernel::scan_uio(root_);
  std::erase_if(luns_, [&](const auto& item) {
    const bool there = std::ranges::any_of(present, [&](const kernel::UioEntry& entry) {
      return entry.minor == item.first && entry.name.device == item.second->entry().name.device;
    });
    if (!there) item.second->remove([](int) {});
    return !there;
  });
  for (const kernel::UioEntry& entry : present) {
    if (entry.name.is_rbd() && !luns_.contains(entry.minor)) take_over_one(entry);
  }
}

void Daemon::reply(const DeviceEvent& event, int status) {
  if (auto sent = netlink_->reply(event.kind, event.device_id, status); !sent) {
    log_.write<messages::kNetlinkNoReply>(event.device, sent.error());
  }
}

void Daemon::on_event(const DeviceEvent& event) {
  switch (event.kind) {
    case DeviceEvent::Kind::kAdded:
      on_added(event);
      return;
    case DeviceEvent::Kind::kRemoved:
      on_removed(event);
      return;
    case DeviceEvent::Kind::kReconfigured:
      on_reconfigured(event);
      return;
  }
}

void Daemon::on_added(const DeviceEvent& event) {
  const auto name = kernel::parse_device_name(event.device);
  if (!name || !name->is_rbd()) {
    // Always reply: without a reply, its enable would hang forever.
    log_.write<messages::kRefused>(
        event.device, name ? "only devices of subtype rbd are served here" : name.error());
    return reply(event, -ENOENT);
  }
  auto spec = parse_dev_config(name->dev_config);
  if (!spec) {
    log_.write_with<messages::kRefused>({.lun = lun_name(*name)}, lun_name(*name), spec.error());
    return reply(event, -EINVAL);
  }
  if (stopping_) return reply(event, -ESHUTDOWN);
  const kernel::UioEntry entry{event.minor, *name};
  try {
    make_lun(entry, std::move(*spec))->open(Origin::kAdded, [this, event](int status) {
      // The kernel unregisters a failed device without a REMOVED event.
      if (status != 0) luns_.erase(event.minor);
      reply(event, status);
    });
  } catch (const std::system_error& error) {
    // Out of threads, descriptors or memory: only this device fails.
    log_.write<messages::kRefused>(event.device, error.what());
    if (luns_.erase(event.minor) != 0) reply(event, -ENOMEM);
  }
}

void Daemon::on_removed(const DeviceEvent& event) {
  const auto found = luns_.find(event.minor);
  if (found == luns_.end()) return reply(event, 0);
  const std::shared_ptr<Lun> lun = found->second;
  luns_.erase(found);
  lun->remove([this, event, lun](int status) { reply(event, status); });
}

void Daemon::on_reconfigured(const DeviceEvent& event) {
  const auto found = luns_.find(event.minor);
  if (found == luns_.end()) return reply(event, -ENODEV);
  if (const auto* size = std::get_if<kernel::NewDevSize>(&event.change))
    return found->second->resize(size->bytes, [this, event](int status) { reply(event, status); });
  if (const auto* cache = std::get_if<kernel::NewWriteCache>(&event.change)) {
    if (!cache->enabled) return reply(event, 0);
    log_.write<messages::kWriteCacheRefused>(event.device);
    return reply(event, -EOPNOTSUPP);
  }
  log_.write<messages::kReconfigRefused>(event.device);
  reply(event, -EOPNOTSUPP);
}

// The kernel and hosts may have given up commands meanwhile, and a peer may have taken the lock.
void Daemon::wait_for_beat() {
  beat_timer_.expires_after(Heartbeat::kPeriod);
  beat_timer_.async_wait([this](const error_code& error) {
    if (error) return;
    if (const auto gap = heartbeat_.beat(boot_now())) {
      log_.write<messages::kControlGap>(std::chrono::duration<double>(*gap).count());
      for (const auto& [minor, lun] : luns_) lun->on_away(*gap);
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

void Daemon::reload() {
  sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%lld",
             static_cast<long long>(std::chrono::duration_cast<std::chrono::microseconds>(
                                        std::chrono::steady_clock::now().time_since_epoch())
                                        .count()));
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
    if (fresh->metrics != config_.metrics) metrics_->serve(fresh->metrics);
    config_.metrics = fresh->metrics;
    apply_log_settings(config_.log);
    for (const auto& [minor, lun] : luns_) lun->reconfigure(config_);
    log_.write<messages::kReloaded>();
  }
  sd_notify(0, "READY=1");
}

// Blocks and drains all LUNs in parallel; each is bounded by device.drain_timeout.
void Daemon::shut_down() {
  if (stopping_) return;
  stopping_ = true;
  sd_notify(0, "STOPPING=1");
  // No replies from here on: new devices must not wait for this process. A successor takes them
  // over.
  if (auto wanted = netlink_->request_replies(false); !wanted)
    log_.write<messages::kNetlinkReplies>(wanted.error());
  auto left = std::make_shared<size_t>(luns_.size() + 1);
  const auto one_done = [this, left](int) {
    if (--*left != 0) return;
    log_.write<messages::kExited>();
    control_.stop();
  };
  for (const auto& [minor, lun] : luns_) lun->leave(one_done);
  one_done(0);
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
