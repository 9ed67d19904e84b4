// SPDX-License-Identifier: Apache-2.0
// The life of one LUN, from the kernel's announcement to its removal, on the control thread. What
// may block runs as jobs; what serves commands runs on a reactor.
//
//     Opening --opened--> Serving --remove/leave--> Draining --idle--> Closing --closed--> Closed
//        |                  |  ^                                                             ^
//        |                  +--+ resize, broken ring (reset and go on)                       |
//        +--error, time-out or removed: what was opened is closed in a job ------------------+
//        +--error while taken over: stays Opening, tries again (initiators get BUSY meanwhile)
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "common/log.h"
#include "config/config.h"
#include "config/image_spec.h"
#include "rbd_handler/lun/copy_manager.h"
#include "rbd_handler/lun/hung_places.h"
#include "rbd_handler/lun/lun_image.h"
#include "rbd_handler/lun/lun_metrics.h"
#include "rbd_handler/lun/lun_open.h"
#include "rbd_handler/lun/lun_reactor.h"
#include "rbd_handler/lun/lun_snapshot.h"
#include "rbd_handler/lun/named_luns.h"
#include "rbd_handler/lun/place_finder.h"
#include "rbd_handler/reactor/jobs.h"

namespace tcmurbd {

class Lun : public std::enable_shared_from_this<Lun> {
 public:
  enum class State : uint8_t { kOpening, kServing, kDraining, kClosing, kClosed };
  // 0 or a negative errno, once, on the control thread.
  using Done = std::function<void(int status)>;

  struct Loops {
    boost::asio::io_context& control;
    boost::asio::io_context& reactor;
    reactor::Heartbeat& heartbeat;  // Of that reactor.
  };

  Lun(Loops loops, kernel::UioEntry entry, ImageSpec spec, const Config& config,
      std::shared_ptr<CopyManager> copies, LunPorts ports = {});

  // Calls `done` when it serves, or can't: at the latest after device.open_timeout. A LUN that is
  // taken over reports its first failure too, and goes on trying.
  void open(Origin origin, Done done);

  // attrib/dev_size is being changed to `bytes`: the kernel (tcmu_dev_size_store) writes it when
  // its event was answered. `done` when the new size is served and initiators get the unit
  // attention. Never waits for the cluster.
  void resize(uint64_t bytes, Done done);

  // The kernel takes the device away: ends what runs, closes the image (its lock and watch go with
  // it), then `done`; after device.drain_timeout in any case, while closing goes on in the
  // background.
  void remove(Done done);

  // The daemon ends: blocks the device, so that initiators get BUSY and try again until a successor
  // serves it, then as remove().
  void leave(Done done);

  // The control thread did not run for `gap`.
  void on_away(Duration gap);

  // New limits from a reloaded config.
  void reconfigure(const Config& config);

  // The writer of its `enable` waits for open()'s answer.
  bool is_enabled_now() const { return origin_ == Origin::kAdded && state_ == State::kOpening; }

  LunLabel label() const;
  // --- for tcmu-rbdctl (lun_views.cc): `fn` is called once, on the control thread ---
  struct Status {
    std::string name;
    std::string image;
    State state;
    // Absent if it does not serve; then the next ones are too.
    std::optional<DeviceCounters> counters;
    std::shared_ptr<const DeviceLatency> latency{};
    uint64_t bytes = 0;
    size_t commands_open = 0;
    uint32_t detached = 0;
    lock::State lock = lock::State::kUnowned;
    std::vector<std::string> warnings{};  // What an operator ought to mend.
    DeviceLoad load{};
  };
  void status(std::function<void(Status)> fn);
  // Its oldest commands, and where those in librbd that are older than a second are. The cluster
  // has kPlacesPatience to tell.
  void snapshot(std::function<void(LunSnapshot)> fn);
  void slow(std::function<void(LunSlow)> fn);
  // Its record is raw. To make stories of it takes milliseconds: on the control thread, of one LUN
  // in a turn at most.
  void trace(std::function<void(LunTrace)> fn);
  LunFences fences() const;
  // Has the exclusive lock released, see Gate::on_operator_asks(). No value: it does not serve, or
  // the answer takes longer than kReleasePatience; then the lock is released later.
  void release_lock(std::function<void(std::optional<lock::PeerAnswer>)> fn);
  static constexpr std::chrono::seconds kPlacesPatience{2};
  static constexpr std::chrono::seconds kReleasePatience{5};

  // --- for the metrics (lun_metrics.cc) ---
  // What is known without the reactor.
  LunMetrics describe_metrics() const;
  // Calls `fn` on the control thread, with what the reactor says. False: it does not serve, and
  // `fn` is not called.
  bool measure(std::function<void(LunMetrics)> fn);

  const kernel::UioEntry& entry() const { return entry_; }
  Log& log() const { return *log_; }

  // --- for the CopyManager ---
  KnownLun known() const;
  void note_identity(scsi::TargetFacts identity) { identity_ = std::move(identity); }
  // How old a command may become before the kernel answers it, as just read. Zero: any age.
  void note_kernel_limit(Duration limit);
  void warn_of_limits() const;
  // Of jobs that list configfs directories: a lock of the kernel's may keep them.
  // Copies have a queue of their own: they list directories of other LUNs too, and INQUIRY of
  // this one must not wait for those.
  reactor::Jobs& copy_walks() const { return *copy_walks_; }
  struct ServedDisk {
    reactor::CopyTarget place;
    scsi::DiskFacts facts;
  };
  // Nothing if it does not serve.
  std::optional<ServedDisk> copy_disk() const;

 private:
  void attach();
  void open_image_job();
  void still_opening();
  void image_opened(std::expected<OpenedImage, OpenError>& opened);
  void open_failed(const OpenError& error);
  void give_up(const OpenError& error);
  void retry_later(std::function<void(Lun&)> again);
  void serve(OpenedImage opened);
  // Brings what the reactor's half asks for to the control thread.
  reactor::LunReactor::ToControl make_hook();
  void on_request(reactor::LunReactor::Request& request);
  DeviceSettings device_settings() const;
  // osd_op_timeout of its dev_config, else command_deadline_s.
  Duration deadline() const { return spec_.command_deadline.value_or(settings_.command_deadline); }
  void on_report(const Report& report);
  void start_lock_action(lock::Action action);
  void notify_task_management(bool wanted);
  void on_broken(const std::string& reason);
  void reset_ring();
  void ring_reset(std::expected<ring::Ring, OpenError>& ring);
  void set_blocked(bool blocked, std::move_only_function<void()> then);
  void block_failed(bool blocked, const std::string& why);
  void fetch_target_facts();
  struct Fetched {
    std::expected<scsi::TargetFacts, std::string> facts;
    Duration kernel_limit{};
  };
  void facts_fetched(Fetched& fetched);
  void drain(const char* why);
  void stop_waiting(const char* why);
  void close_all();
  void complete_request(int status);
  HungByOsd hung_by_osd(const DeviceGauges& gauges);
  void add_places(LunSnapshot snapshot, std::function<void(LunSnapshot)> fn);
  template <typename Fn>
  void on_reactor(Fn fn) {
    boost::asio::post(loops_.reactor,
                      [serving = lun_reactor_, fn = std::move(fn)]() mutable { fn(*serving); });
  }

  const Loops loops_;
  const LunPorts ports_;
  const kernel::UioEntry entry_;
  const ImageSpec spec_;
  const kernel::ConfigfsDevice configfs_;
  const std::shared_ptr<Log> log_;  // Shared with the reactor's half.
  const std::chrono::microseconds poll_;
  const std::string state_dir_;
  const std::shared_ptr<CopyManager> copy_manager_;
  // Control thread only from here on.
  Config::Device settings_;
  const std::shared_ptr<reactor::Jobs> jobs_;           // Opens the image.
  const std::shared_ptr<reactor::Jobs> configfs_jobs_;  // Block, unblock and reset the device.
  const std::shared_ptr<reactor::Jobs> walks_;          // Read configfs,
  const std::shared_ptr<reactor::Jobs> copy_walks_;     // and for copies: see copy_walks().
  const std::shared_ptr<HungPlaces> hung_;              // For measure().
  const std::shared_ptr<PlaceFinder> places_;           // For snapshot().
  boost::asio::steady_timer timer_;                     // Bounds an attempt to open, then drain.
  boost::asio::steady_timer retry_timer_;
  std::chrono::seconds retry_delay_{1};
  State state_ = State::kOpening;
  Origin origin_ = Origin::kAdded;
  bool wants_blocked_ = false;  // See set_blocked().
  std::string refusal_;         // Why the last attempt to open failed.
  bool leaving_ = false;        // The device stays, for a successor.
  Done done_;
  std::optional<uint64_t> resized_;  // While opening: the open job may have read the size before.
  scsi::DiskFacts disk_;             // As the reactor's half has them.
  scsi::TargetFacts facts_;          // As last read from configfs, as are the next ones.
  scsi::TargetFacts identity_;       // Without groups, if a copy has read it.
  Duration kernel_limit_{};          // See note_kernel_limit().
  // What serving needs; torn down in a job, in the reverse order.
  std::shared_ptr<Attached> attached_;  // Also held by what still has ops under way.
  std::shared_ptr<reactor::Inbox> inbox_;
  std::shared_ptr<LunImage> lun_image_;
  std::shared_ptr<reactor::LunReactor> lun_reactor_;
};

// "opening", "serving", ...
std::string_view name(Lun::State state);

}  // namespace tcmurbd
