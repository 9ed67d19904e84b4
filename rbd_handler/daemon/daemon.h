// SPDX-License-Identifier: Apache-2.0
// The daemon: the control loop, which handles events of the kernel, signals and tcmu-rbdctl, and
// the reactors, among which the LUNs are distributed. Every kernel event is answered in time, also
// when serving the device fails: a configfs writer without a reply hangs forever.
#pragma once

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <expected>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "common/heartbeat.h"
#include "config/config.h"
#include "rbd_handler/daemon/bus_service.h"
#include "rbd_handler/daemon/control_requests.h"
#include "rbd_handler/daemon/control_socket.h"
#include "rbd_handler/daemon/metrics_server.h"
#include "rbd_handler/daemon/replies.h"
#include "rbd_handler/kernel/netlink.h"
#include "rbd_handler/lun/lun.h"

namespace tcmurbd {

// What the daemon has from outside of this process. Tests fill in their own.
struct DaemonPorts {
  LunPorts lun;  // Its `root` is that of all files in /sys.
  std::function<std::expected<std::unique_ptr<kernel::EventChannel>, std::string>()> open_events =
      open_netlink;
  static std::expected<std::unique_ptr<kernel::EventChannel>, std::string> open_netlink();
};

// Applies the log section of the configuration to all Logs.
void apply_log_settings(const Config::Log& settings);

class Daemon {
 public:
  // `read_config` is called at SIGHUP, on the control thread.
  using ReadConfig = std::function<std::expected<Config, std::string>()>;
  Daemon(Config config, ReadConfig read_config, DaemonPorts ports);
  ~Daemon();

  // Serves until SIGTERM or SIGINT. Returns the process's exit code; the caller must then end it
  // with _exit: threads may hang in librbd for as long as an OSD does.
  int run();

 private:
  struct Reactor {
    boost::asio::io_context loop{1};
    reactor::Heartbeat heartbeat{loop};
  };

  bool start();
  void run_reactor(Reactor& reactor);
  void leave_all_blocked();
  std::shared_ptr<Lun> make_lun(const kernel::UioEntry& entry, ImageSpec spec);
  void forget(const Lun& lun);
  std::vector<std::shared_ptr<Lun>> all_luns() const;
  void keep_trace(LunTrace trace);
  // --- daemon_events.cc ---
  bool take_over();
  void take_over_one(const kernel::UioEntry& entry);
  void block(const kernel::UioEntry& entry);
  void ready();
  void wait_for_netlink();
  void read_netlink();
  void on_event(const kernel::DeviceEvent& event);
  void on_added(const kernel::DeviceEvent& event, const Replies::Reply& answer);
  void add(const kernel::UioEntry& entry, const ImageSpec& spec, const Replies::Reply& answer);
  void on_removed(const kernel::DeviceEvent& event, const Replies::Reply& answer);
  void on_reconfigured(const kernel::DeviceEvent& event, const Replies::Reply& answer);
  void reply(const kernel::DeviceEvent& event, int status);
  void end_replies();
  void rescan();
  // Events were lost: all writers that wait for a reply get an error. False: that failed.
  bool release_waiters();
  void drop(const std::shared_ptr<Lun>& lun);
  void look_at_devices();
  void drop_vanished_later();

  void wait_for_beat();
  void wait_for_signals();
  void reload();
  void shut_down();
  void bound_exit();
  void exit_if_done();
  // --- daemon_metrics.cc ---
  void start_metrics();
  void note_reload(bool good);
  // Calls `done` on the control thread, after kScrapePatience at the latest.
  void expose_metrics(metrics::Format format, std::function<void(std::string)> done);

  void check_config(const std::string& dev_config, BusService::Reply answer);

  static constexpr uint32_t kTracesMax = 4;
  static constexpr std::chrono::seconds kLookAgain{1};

  Config config_;
  const ReadConfig read_config_;
  const DaemonPorts ports_;
  const std::string& root_ = ports_.lun.root;
  Log log_;
  boost::asio::io_context control_;
  const std::shared_ptr<CopyManager> copies_ = std::make_shared<CopyManager>(control_, root_);
  std::vector<std::unique_ptr<Reactor>> reactors_;
  std::vector<boost::asio::executor_work_guard<boost::asio::io_context::executor_type>> busy_;
  std::vector<std::jthread> threads_;
  size_t next_reactor_ = 0;
  boost::asio::signal_set signals_;
  boost::asio::steady_timer beat_timer_;
  boost::asio::steady_timer look_timer_;  // See look_at_devices().
  boost::asio::steady_timer vanished_timer_;
  boost::asio::steady_timer exit_timer_;  // Bounds the wait for `replies_`.
  Heartbeat heartbeat_;
  std::unique_ptr<kernel::EventChannel> netlink_;
  boost::asio::posix::stream_descriptor netlink_wait_;
  Replies replies_{[this](const kernel::DeviceEvent& event, int status) { reply(event, status); }};
  std::unique_ptr<admin::ControlSocket> socket_;
  std::unique_ptr<BusService> bus_;
  std::unique_ptr<MetricsServer> metrics_;
  double started_ = 0;  // Seconds since the epoch, as is the next.
  double reload_time_ = 0;
  bool reload_good_ = true;
  ControlRequests::Luns luns_;  // By UIO minor.
  ControlRequests requests_{luns_, [this](ControlRequests::Reply reply) {
                              expose_metrics(metrics::Format::kText, std::move(reply));
                            }};
  const std::shared_ptr<reactor::Jobs> trace_jobs_ = std::make_shared<reactor::Jobs>(control_);
  std::map<std::string, uint32_t> traces_kept_;  // By device.
  size_t starting_ = 0;  // LUNs being taken over without a first result yet.
  bool ready_ = false;
  bool stopping_ = false;
  size_t leaving_ = 0;  // LUNs that the exit waits for.
  bool exiting_ = false;
  int exit_code_ = 0;
};

}  // namespace tcmurbd
