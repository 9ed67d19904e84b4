// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/lun.h"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <cerrno>
#include <utility>

#include "common/check.h"

namespace tcmurbd {

namespace asio = boost::asio;
using boost::system::error_code;
using std::chrono::seconds;

namespace {
// A LUN that was taken over tries again this often at the slowest: an operator who has mended the
// cluster does not want to wait longer, and one attempt costs a few connections.
constexpr seconds kRetryDelayMax{15};
}  // namespace

Lun::Lun(Loops loops, kernel::UioEntry entry, ImageSpec spec, const Config& config)
    : loops_(loops),
      entry_(std::move(entry)),
      spec_(std::move(spec)),
      configfs_(entry_.name),
      log_(std::make_shared<Log>(
          fmt::format("{}/{} {}", entry_.name.hba, entry_.name.device, spec_.to_string()))),
      poll_(config.reactor.poll),
      settings_(config.device),
      jobs_(std::make_shared<reactor::Jobs>(loops_.control)),
      timer_(loops_.control),
      retry_timer_(loops_.control) {}

void Lun::report(int status) {
  if (const Done done = std::exchange(done_, nullptr)) done(status);
}

template <typename Fn>
void Lun::on_reactor(Fn fn) {
  asio::post(loops_.reactor, [serving = serving_, fn = std::move(fn)]() mutable { fn(*serving); });
}

void Lun::open(Origin origin, Done done) {
  origin_ = origin;
  done_ = std::move(done);
  timer_.expires_after(settings_.open_timeout);
  timer_.async_wait([self = shared_from_this()](const error_code& error) {
    if (error || self->state_ != State::kOpening) return;
    self->open_failed(
        {fmt::format(
             "the cluster has not answered within {} s; is it reachable, are its OSDs healthy?",
             self->settings_.open_timeout.count()),
         -ETIMEDOUT});
  });
  attach();
}

// Local and quick, so it runs right here; then the image, which may take its time.
void Lun::attach() {
  auto attached = attach_device(entry_, configfs_, origin_);
  if (!attached) {
    give_up(attached.error());  // Nothing to wait for: another handler has it, or it is going away.
    return;
  }
  attached_ = std::make_unique<Attached>(std::move(*attached));
  inbox_ = std::make_shared<reactor::Inbox>();
  open_image_job();
}

void Lun::open_image_job() {
  auto opened = std::make_shared<std::optional<std::expected<OpenedImage, OpenError>>>();
  jobs_->run(
      [spec = spec_, configfs = configfs_, inbox = inbox_, opened] {
        *opened = open_image(spec, configfs, [inbox](OpDone done) { inbox->push(done); });
      },
      [self = shared_from_this(), opened] { self->image_opened(**opened); });
}

void Lun::image_opened(std::expected<OpenedImage, OpenError>& opened) {
  if (state_ == State::kOpening && opened) {
    serve(std::move(*opened));
  } else if (state_ == State::kOpening) {
    open_failed(opened.error());
  } else if (opened) {
    // Too late: the device was removed, or its enable was answered with a time-out.
    image_ = std::move(opened->image);
    close_all();
  }
}

void Lun::give_up(const OpenError& error) {
  log_->error("cannot serve it: {}", error.text);
  report(error.error);
  close_all();
}

void Lun::open_failed(const OpenError& error) {
  if (origin_ == Origin::kAdded) {
    give_up(error);
    return;
  }
  log_->error("cannot serve it yet, initiators get BUSY: {}", error.text);
  report(error.error);
  if (error.error == -ETIMEDOUT) return;  // That attempt goes on, and ends in image_opened.
  retry_timer_.expires_after(retry_delay_);
  retry_delay_ = std::min(retry_delay_ * 2, kRetryDelayMax);
  retry_timer_.async_wait([self = shared_from_this()](const error_code& canceled) {
    if (!canceled && self->state_ == State::kOpening) self->open_image_job();
  });
}

void Lun::serve(OpenedImage opened) {
  timer_.cancel();
  image_ = std::move(opened.image);
  state_ = State::kServing;
  const ceph::ImageInfo& info = image_->info();
  log_->info("serving {} bytes ({} in the image){}{}, client {}",
             opened.disk.blocks * opened.disk.block_size, info.bytes,
             opened.disk.read_only ? ", read-only" : "",
             origin_ == Origin::kTakenOver ? ", taken over" : "", image_->address());
  const std::weak_ptr<Lun> weak = weak_from_this();
  reactor::Serving::Hooks hooks;
  hooks.fetch_target_facts = [weak, &control = loops_.control] {
    asio::post(control, [weak] {
      if (auto self = weak.lock()) self->fetch_target_facts();
    });
  };
  hooks.broken = [weak, &control = loops_.control](const std::string& reason) {
    asio::post(control, [weak, reason] {
      if (auto self = weak.lock()) self->on_broken(reason);
    });
  };
  serving_ = std::make_shared<reactor::Serving>(loops_.reactor, attached_->uio, *inbox_, *image_,
                                                std::move(attached_->ring), opened.disk, poll_,
                                                std::move(hooks));
  on_reactor([](reactor::Serving& serving) { serving.start(); });
  if (origin_ == Origin::kTakenOver) {
    if (auto unblocked = configfs_.block(false); !unblocked)
      log_->error("unblocking it: {}", unblocked.error());
  }
  report(0);
}

void Lun::fetch_target_facts() {
  if (!serving_) return;
  auto facts = configfs_.read_target_facts();
  if (!facts) {
    log_->warning("reading identity and port groups: {}", facts.error());
    facts = scsi::TargetFacts{};
  }
  on_reactor(
      [facts = std::move(*facts)](reactor::Serving& serving) { serving.on_target_facts(facts); });
}

void Lun::on_broken(const std::string& reason) {
  if (state_ != State::kServing) return;
  log_->error("the ring can't be followed: {}; resetting it, open commands get BUSY", reason);
  auto ring = reattach_ring(attached_->uio, configfs_);
  if (!ring) {
    log_->error("resetting the ring: {}; the device stays blocked", ring.error().text);
    return;
  }
  auto shared = std::make_shared<ring::Ring>(std::move(*ring));
  on_reactor([shared](reactor::Serving& serving) { serving.restart(std::move(*shared)); });
  if (auto unblocked = configfs_.block(false); !unblocked)
    log_->error("unblocking it: {}", unblocked.error());
}

void Lun::resize(uint64_t bytes) {
  if (state_ != State::kServing) return;  // Whoever opens it reads dev_size after this.
  log_->info("resized to {} bytes", bytes);
  on_reactor([bytes](reactor::Serving& serving) { serving.resize(bytes); });
  auto size = std::make_shared<std::expected<uint64_t, std::string>>();
  jobs_->run([image = image_.get(), size] { *size = image->refresh_size(); },
             [log = log_, size, bytes] {
               if (!*size) {
                 log->warning("the image's size after the resize: {}", size->error());
               } else if (**size < bytes) {
                 log->warning(
                     "the device has {} bytes, the image only {}: blocks beyond it will be refused",
                     bytes, **size);
               }
             });
}

void Lun::remove(Done done) {
  log_->info("removed by the kernel");
  report(-ESHUTDOWN);  // An open under way: its writer must not be forgotten.
  done_ = std::move(done);
  drain("its removal");
}

void Lun::leave(Done done) {
  if (attached_) {
    if (auto blocked = configfs_.block(true); !blocked)
      log_->warning("blocking it: {}", blocked.error());
  }
  report(-ESHUTDOWN);
  done_ = std::move(done);
  drain("our exit");
}

void Lun::drain(const char* why) {
  timer_.cancel();
  retry_timer_.cancel();
  if (state_ != State::kServing) {
    // Still opening: what the job brings is closed when it comes.
    const bool opening = state_ == State::kOpening;
    if (opening) close_all();
    report(0);
    return;
  }
  state_ = State::kDraining;
  timer_.expires_after(settings_.drain_timeout);
  timer_.async_wait([self = shared_from_this(), why](const error_code& error) {
    if (error) return;
    self->log_->warning("ops hang in the cluster, {} does not wait for them any longer", why);
    self->report(0);
  });
  on_reactor([self = shared_from_this()](reactor::Serving& serving) {
    serving.drain([self] { asio::post(self->loops_.control, [self] { self->close_all(); }); });
  });
}

void Lun::close_all() {
  state_ = State::kClosing;
  retry_timer_.cancel();
  // Without an image nothing uses the mapping, and the open under way may last.
  if (!image_) attached_.reset();
  // The image first: its pending reads use the mapping. The reactor's half has stopped, but a
  // handler that was cancelled may still hold a reference to it, so it must not own what is torn
  // down here.
  struct Parts {
    std::shared_ptr<reactor::Serving> serving;
    std::unique_ptr<Attached> attached;
    std::unique_ptr<ceph::RbdImage> image;
  };
  auto parts =
      std::make_shared<Parts>(std::move(serving_), std::move(attached_), std::move(image_));
  jobs_->run(
      [parts, inbox = inbox_] {
        parts->image.reset();
        parts->attached.reset();
      },
      [self = shared_from_this()] {
        self->timer_.cancel();
        self->state_ = State::kClosed;
        self->log_->info("closed");
        self->report(0);
      });
}

void Lun::status(std::function<void(Status)> fn) {
  Status status{entry_.name.hba + "/" + entry_.name.device, spec_.to_string(), state_,
                std::nullopt};
  if (!serving_) {
    fn(status);
    return;
  }
  on_reactor(
      [self = shared_from_this(), status, fn = std::move(fn)](reactor::Serving& serving) mutable {
        status.counters = serving.device().counters();
        status.bytes = serving.device().disk().blocks * serving.device().disk().block_size;
        status.commands_open = serving.device().tasks();
        asio::post(self->loops_.control, [status, fn] { fn(status); });
      });
}

}  // namespace tcmurbd
