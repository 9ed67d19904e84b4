// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/lun/lun.h"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <cerrno>
#include <functional>
#include <system_error>
#include <utility>

#include "rbd_handler/lun/report_log.h"
#include "rbd_handler/messages/commands.h"
#include "rbd_handler/messages/lun.h"

namespace tcmurbd {

namespace asio = boost::asio;
using boost::system::error_code;
using std::chrono::seconds;

namespace {
// What failed is tried again this often at the slowest: an operator who has mended the cluster does
// not want to wait longer, and one attempt costs a few connections.
constexpr seconds kRetryDelayMin{1};
constexpr seconds kRetryDelayMax{15};
// Linux's time-out of a SCSI command (SD_TIMEOUT).
constexpr seconds kHostPatience{30};
}  // namespace

Lun::Lun(Loops loops, kernel::UioEntry entry, ImageSpec spec, const Config& config,
         std::shared_ptr<CopyManager> copies, LunPorts ports)
    : loops_(loops),
      ports_(std::move(ports)),
      entry_(std::move(entry)),
      spec_(std::move(spec)),
      configfs_(entry_.name, ports_.root),
      log_(std::make_shared<Log>(fmt::format("{}/{}", entry_.name.hba, entry_.name.device),
                                 spec_.to_string())),
      poll_(config.reactor.poll),
      state_dir_(config.paths.state_dir),
      copy_manager_(std::move(copies)),
      settings_(config.device),
      jobs_(std::make_shared<reactor::Jobs>(loops_.control)),
      configfs_jobs_(std::make_shared<reactor::Jobs>(loops_.control)),
      walks_(std::make_shared<reactor::Jobs>(loops_.control)),
      copy_walks_(std::make_shared<reactor::Jobs>(loops_.control)),
      hung_(std::make_shared<HungPlaces>(loops_.control)),
      places_(std::make_shared<PlaceFinder>(loops_.control)),
      timer_(loops_.control),
      retry_timer_(loops_.control) {}

void Lun::complete_request(int status) {
  if (const Done done = std::exchange(done_, nullptr)) done(status);
}

void Lun::open(Origin origin, Done done) {
  origin_ = origin;
  done_ = std::move(done);
  attach();
}

// Local and quick, so it runs right here; then the image, which may take its time. Another process
// may have the device, or this one be out of descriptors: a device that is taken over is tried
// again.
void Lun::attach() {
  try {
    inbox_ = std::make_shared<reactor::Inbox>();
  } catch (const std::system_error& error) {
    return open_failed({fmt::format("the process is out of resources: {}", error.what()), -ENOMEM});
  }
  auto attached = attach_device(ports_, entry_, configfs_, origin_);
  if (!attached) return open_failed(attached.error());
  attached_ = std::make_shared<Attached>(std::move(*attached));
  lun_image_ = std::make_shared<LunImage>(
      loops_.control, spec_, InstanceRecord(state_dir_, entry_.name.hba, entry_.name.device), log_,
      [inbox = inbox_](OpDone done) { inbox->push(done); },
      std::bind_front(open_instance, ports_.open_served_image));
  open_image_job();
}

void Lun::open_image_job() {
  if (auto room = ceph::Headroom::of_process().check(ceph::kInstancesForNewLun); !room) {
    open_failed({room.error(), -ENOMEM});
    return;
  }
  timer_.expires_after(settings_.open_timeout);
  timer_.async_wait([self = shared_from_this()](const error_code& error) {
    if (!error && self->state_ == State::kOpening) self->still_opening();
  });
  auto opened = std::make_shared<std::optional<std::expected<OpenedImage, OpenError>>>();
  jobs_->run(
      [ports = ports_, lun_image = lun_image_, listeners = lun_image_->listeners(),
       configfs = configfs_, opened] {
        *opened = open_image(ports, lun_image->spec(), configfs, lun_image->record(), listeners,
                             lun_image->log());
      },
      [self = shared_from_this(), opened] {
        if (!self->leaving_) self->timer_.cancel();
        self->image_opened(**opened);
      });
}

// The attempt goes on, and ends in image_opened.
void Lun::still_opening() {
  const std::string& obstacle = jobs_->obstacle();
  const OpenError late{
      obstacle.empty()
          ? fmt::format("the cluster has not answered within {} s{}; is it reachable, are its OSDs "
                        "healthy?",
                        settings_.open_timeout.count(),
                        refusal_.empty() ? "" : fmt::format(" (previous error: {})", refusal_))
          : obstacle,
      -ETIMEDOUT};
  if (origin_ == Origin::kAdded) return give_up(late);
  log_->write<messages::kNotServedYet>(", initiators get BUSY", late.text);
  complete_request(late.error);
}

void Lun::image_opened(std::expected<OpenedImage, OpenError>& opened) {
  if (state_ == State::kOpening && opened && !leaving_) {
    serve(std::move(*opened));
  } else if (state_ == State::kOpening && !leaving_) {
    open_failed(opened.error());
  } else if (opened) {
    // Too late: the device was removed, or its enable was answered with a time-out.
    lun_image_->adopt(std::move(*opened), attached_);
    close_all();
  }
}

void Lun::give_up(const OpenError& error) {
  log_->write<messages::kNotServed>(error.text);
  complete_request(error.error);
  close_all();
}

void Lun::open_failed(const OpenError& error) {
  if (origin_ == Origin::kAdded) {
    give_up(error);
    return;
  }
  log_->write<messages::kNotServedYet>(attached_ ? ", initiators get BUSY" : "", error.text);
  refusal_ = error.text;
  complete_request(error.error);
  retry_later([](Lun& self) { self.attached_ ? self.open_image_job() : self.attach(); });
}

// Unless it is in another state by then.
void Lun::retry_later(std::function<void(Lun&)> again) {
  retry_timer_.expires_after(retry_delay_);
  retry_delay_ = std::min(retry_delay_ * 2, kRetryDelayMax);
  retry_timer_.async_wait([self = shared_from_this(), state = state_,
                           again = std::move(again)](const error_code& canceled) {
    if (!canceled && self->state_ == state && !self->leaving_) again(*self);
  });
}

void Lun::serve(OpenedImage opened) {
  state_ = State::kServing;
  retry_delay_ = kRetryDelayMin;
  const scsi::DiskFacts disk = opened.disk;
  disk_ = disk;
  kernel_limit_ = opened.kernel_limit;
  lun_image_->adopt(std::move(opened), attached_);
  const ceph::ImageInfo& info = lun_image_->image().info();
  log_->write<messages::kServing>(
      disk.blocks * disk.block_size, info.bytes, disk.read_only ? ", read-only" : "",
      origin_ == Origin::kTakenOver ? ", taken over" : "", lun_image_->image().address());
  if (!info.exclusive_lock && !info.read_only) log_->write<messages::kNoExclusiveLock>();
  if (!lun_image_->image().primary()) log_->write<messages::kNotPrimaryAtOpen>();
  warn_of_limits();
  notify_task_management(true);
  lun_reactor_ = std::make_shared<reactor::LunReactor>(
      loops_.reactor,
      reactor::LunReactor::Parts{label(), loops_.heartbeat, attached_->uio,
                                 std::move(attached_->kept_buffers), inbox_, lun_image_->image(),
                                 std::move(attached_->ring)},
      disk, device_settings(), poll_, make_hook());
  lun_image_->serve([&reactor = loops_.reactor,
                     serving = std::weak_ptr(lun_reactor_)](const LunImage::DeviceCall& event) {
    asio::post(reactor, [serving, event] {
      if (auto self = serving.lock()) self->apply(event);
    });
  });
  on_reactor([](reactor::LunReactor& serving) { serving.start(); });
  if (const auto bytes = std::exchange(resized_, std::nullopt)) resize(*bytes, [](int) {});
  copy_manager_->add(shared_from_this());
  if (origin_ != Origin::kTakenOver) return complete_request(0);
  // Only then it serves.
  set_blocked(false, [self = shared_from_this()] {
    if (self->state_ == State::kServing && !self->leaving_) self->complete_request(0);
  });
}

DeviceSettings Lun::device_settings() const {
  DeviceSettings settings;
  settings.name = label().name;
  settings.gate.fence_after = settings_.fence_after;
  settings.gate.release_after = settings_.release_after;
  settings.deadline = deadline();
  settings.reads_need_lock = settings_.reads_need_lock;
  settings.slow_after = settings_.slow_after;
  settings.kernel_limit = kernel_limit_;
  settings.limits = lun_image_->image().info().limits;
  settings.primary = lun_image_->image().primary();
  settings.safe = lun_image_->safe();
  return settings;
}

reactor::LunReactor::ToControl Lun::make_hook() {
  return
      [weak = weak_from_this(), &control = loops_.control](reactor::LunReactor::Request request) {
        asio::post(control, [weak, request = std::move(request)]() mutable {
          if (const auto self = weak.lock()) self->on_request(request);
        });
      };
}

void Lun::on_request(reactor::LunReactor::Request& request) {
  using reactor::LunReactor;
  std::visit(OnEffect{
                 [this](const FetchTargetFacts&) { fetch_target_facts(); },
                 [this](const StartLockAction& start) { start_lock_action(start.action); },
                 [this](const lock::PeerReply& reply) { lun_image_->answer_peer(reply); },
                 [this](const Report& report) { on_report(report); },
                 [this](LunReactor::FindDisks& find) {
                   copy_manager_->start(shared_from_this(), std::move(find.request), find.run);
                 },
                 [this](const LunReactor::RingBroken& broken) { on_broken(broken.reason); },
                 [this](const LunReactor::RingUnused&) { reset_ring(); },
             },
             request);
}

void Lun::on_report(const Report& report) {
  log_report(*log_, report);
  if (report.kind == Report::Kind::kHangs) lun_image_->locate(report.range, report.cmd_id);
  if (report.kind == Report::Kind::kDeadline) lun_image_->note_deadline();
}

// Another handler would take the entries for commands: they are asked for only while we serve.
void Lun::notify_task_management(bool wanted) {
  if (wanted && !attached_->ring.supports_tmr()) {
    log_->write<messages::kNoTmrNotifications>();
    return;
  }
  if (auto set = configfs_.set_attribute("tmr_notification", wanted ? 1 : 0); !set)
    log_->write<messages::kTmrNotSwitched>(set.error());
}

void Lun::fetch_target_facts() {
  if (!lun_reactor_) return;
  auto fetched = std::make_shared<Fetched>();
  walks_->run([configfs = configfs_,
               fetched] { *fetched = {configfs.read_target_facts(), configfs.kernel_limit()}; },
              [self = shared_from_this(), fetched] { self->facts_fetched(*fetched); });
}

void Lun::facts_fetched(Fetched& fetched) {
  if (!lun_reactor_) return;
  note_kernel_limit(fetched.kernel_limit);
  auto& facts = fetched.facts;
  if (!facts) {
    log_->write<messages::kNoFacts>(facts.error());
    facts = facts_;  // A host must not see another disk for it.
  }
  identity_ = facts_ = *facts;
  on_reactor([facts = std::move(*facts)](reactor::LunReactor& serving) {
    serving.apply([&](Device& device, TimePoint now) { device.on_target_facts(facts, now); });
  });
}

// A host that fills its window waits for so long; the kernel and the host know nothing of QoS.
void Lun::warn_of_limits() const {
  constexpr uint64_t kWindow = 64;  // LIO's default_cmdsn_depth.
  const Duration needed =
      task::time_at(lun_image_->image().info().limits, kWindow, kWindow * disk_.max_transfer_bytes);
  const Duration limit = kernel_limit_ == Duration{} ? kHostPatience : kernel_limit_;
  if (needed <= limit) return;
  log_->write<messages::kQosLimits>(
      kWindow, disk_.max_transfer_bytes / 1024, std::chrono::duration_cast<seconds>(needed).count(),
      std::chrono::duration_cast<seconds>(limit).count(),
      kernel_limit_ == Duration{} ? "the host's timeout" : "cmd_time_out");
}

void Lun::note_kernel_limit(Duration limit) {
  if (std::exchange(kernel_limit_, limit) == limit) return;
  log_->write<messages::kCmdTimeOut>(std::chrono::duration_cast<seconds>(limit).count());
  if (!lun_reactor_) return;
  on_reactor([limit](reactor::LunReactor& serving) {
    serving.apply([limit](Device& device, TimePoint) { device.on_kernel_limit(limit); });
  });
}

void Lun::on_broken(const std::string& reason) {
  if (state_ != State::kServing) return;
  log_->write<messages::kRingBroken>(reason);
  // Blocks of the data area that reads in flight will still write to must not go to new commands.
  set_blocked(true, [] {});
}

void Lun::reset_ring() {
  if (state_ != State::kServing) return;
  auto ring = std::make_shared<std::optional<std::expected<ring::Ring, OpenError>>>();
  configfs_jobs_->run([attached = attached_, configfs = configfs_,
                       ring] { *ring = reattach_ring(attached->uio, configfs); },
                      [self = shared_from_this(), ring] { self->ring_reset(**ring); });
}

void Lun::ring_reset(std::expected<ring::Ring, OpenError>& ring) {
  if (state_ != State::kServing || leaving_) return;
  if (!ring) {
    log_->write<messages::kRingNotReset>(ring.error().text);
    return retry_later([](Lun& self) { self.reset_ring(); });
  }
  auto shared = std::make_shared<ring::Ring>(std::move(*ring));
  on_reactor([shared](reactor::LunReactor& serving) { serving.restart(std::move(*shared)); });
  set_blocked(false, [] {});
}

void Lun::set_blocked(bool blocked, std::move_only_function<void()> then) {
  wants_blocked_ = blocked;
  auto outcome = std::make_shared<std::expected<void, std::string>>();
  configfs_jobs_->run(
      [configfs = configfs_, blocked, outcome] { *outcome = configfs.block(blocked); },
      [self = shared_from_this(), blocked, outcome, then = std::move(then)]() mutable {
        if (*outcome) {
          self->retry_delay_ = kRetryDelayMin;
        } else {
          self->block_failed(blocked, outcome->error());
        }
        then();
      });
}

// A device that stays blocked gives BUSY for good. One that could not be blocked is no worse than
// before.
void Lun::block_failed(bool blocked, const std::string& why) {
  log_->write<messages::kNotBlocked>(blocked ? "blocking" : "unblocking", why);
  if (blocked || wants_blocked_ || state_ != State::kServing || leaving_) return;
  retry_later([](Lun& self) {
    if (!self.wants_blocked_) self.set_blocked(false, [] {});
  });
}

void Lun::resize(uint64_t bytes, Done done) {
  if (state_ == State::kOpening) resized_ = bytes;
  if (state_ != State::kServing) return done(0);
  log_->write<messages::kResized>(bytes);
  disk_.blocks = bytes / disk_.block_size;
  on_reactor([bytes, done = std::move(done),
              &control = loops_.control](reactor::LunReactor& serving) mutable {
    serving.resize(bytes);
    asio::post(control, [done = std::move(done)] { done(0); });
  });
  lun_image_->refresh_size(bytes);
}

void Lun::remove(Done done) {
  log_->write<messages::kRemoved>();
  complete_request(-ESHUTDOWN);  // An open under way: its writer must not be forgotten.
  done_ = std::move(done);
  drain("the removal");
}

void Lun::on_away(Duration gap) {
  if (state_ != State::kServing) return;
  on_reactor([gap](reactor::LunReactor& serving) {
    serving.apply(
        [gap](Device& device, TimePoint now) { device.on_away(AwayCause::kControlGap, gap, now); });
  });
}

void Lun::leave(Done done) {
  leaving_ = true;
  complete_request(-ESHUTDOWN);
  done_ = std::move(done);
  if (!attached_) return drain("the exit");
  timer_.expires_after(settings_.drain_timeout);
  timer_.async_wait([self = shared_from_this()](const error_code& error) {
    if (error) return;
    self->log_->write<messages::kExitDoesNotWait>();
    self->complete_request(0);
  });
  set_blocked(true, [self = shared_from_this()] { self->drain("the exit"); });
}

void Lun::drain(const char* why) {
  timer_.cancel();
  retry_timer_.cancel();
  if (state_ != State::kServing) {
    // Still opening: what the job brings is closed when it comes.
    const bool opening = state_ == State::kOpening;
    if (opening) close_all();
    complete_request(0);
    return;
  }
  state_ = State::kDraining;
  copy_manager_->remove(*this);
  timer_.expires_after(settings_.drain_timeout);
  timer_.async_wait([self = shared_from_this(), why](const error_code& error) {
    if (!error) self->stop_waiting(why);
  });
  on_reactor([self = shared_from_this()](reactor::LunReactor& serving) {
    serving.drain([self] { asio::post(self->loops_.control, [self] { self->close_all(); }); });
  });
}

// A daemon that ends leaves the fence to its successor, which reads the instance's record; a
// device that is removed has none.
void Lun::stop_waiting(const char* why) {
  log_->write<messages::kHungOpsRemain>(why);
  if (leaving_) {
    notify_task_management(false);
    return complete_request(0);
  }
  lun_image_->abandon([self = shared_from_this()] { self->complete_request(0); });
}

void Lun::close_all() {
  state_ = State::kClosing;
  retry_timer_.cancel();
  if (leaving_ && lun_reactor_) notify_task_management(false);
  // A handler of the reactor's half that was cancelled may still hold a reference to it, so it must
  // not own what is torn down here.
  const auto closed = [self = shared_from_this()] {
    self->timer_.cancel();
    self->state_ = State::kClosed;
    self->log_->write<messages::kClosed>();
    self->complete_request(0);
  };
  lun_reactor_.reset();
  attached_.reset();
  if (lun_image_) {
    lun_image_->close(closed);
  } else {
    closed();
  }
}

KnownLun Lun::known() const {
  return {entry_.name, identity_, state_ == State::kServing ? std::optional(disk_) : std::nullopt};
}

std::optional<Lun::ServedDisk> Lun::copy_disk() const {
  if (state_ != State::kServing) return std::nullopt;
  return ServedDisk{{&loops_.reactor, lun_reactor_}, disk_};
}

}  // namespace tcmurbd
