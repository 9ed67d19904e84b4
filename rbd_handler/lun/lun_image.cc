// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/lun/lun_image.h"

#include <boost/asio/post.hpp>
#include <cerrno>
#include <chrono>
#include <utility>

#include "rbd_handler/messages/commands.h"
#include "rbd_handler/messages/lock.h"
#include "rbd_handler/messages/lun.h"
#include "rbd_handler/reactor/inbox.h"

namespace tcmurbd {

namespace asio = boost::asio;
using ceph::LockFailure;

namespace {

// Measures a job for its log line.
class Stopwatch {
 public:
  double milliseconds() const {
    const auto elapsed = std::chrono::steady_clock::now() - begin_;
    return std::chrono::duration<double, std::milli>(elapsed).count();
  }

 private:
  const std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
};

const char* describe(lock::PeerAnswer answer) {
  switch (answer) {
    case lock::PeerAnswer::kReleased:
      return "released";
    case lock::PeerAnswer::kHoldsDetached:
      return "break the lock: this gateway has hung writes";
    case lock::PeerAnswer::kWait:
      return "wait: this gateway has hung writes and was fenced recently, or its release takes "
             "long";
    case lock::PeerAnswer::kNotOwner:
      break;
  }
  return "this gateway is not the owner";
}

// Empty: there is none.
std::string address_of(const ceph::ServedImage* image) {
  return image != nullptr ? image->address() : std::string{};
}

// Work on what is open, which the job's own thread lets go: perhaps as the last one.
template <typename Fn>
auto on_opened(OpenedImage opened, Fn fn) {
  return [held = std::move(opened), fn = std::move(fn)]() mutable {
    const OpenedImage mine = std::move(held);
    fn(mine);
  };
}

// Closes `held` on a thread of its own.
template <typename T>
void let_go(const std::shared_ptr<reactor::Jobs>& jobs, T held) {
  jobs->run([held = std::move(held)]() mutable { T(std::move(held)); }, [] {});
}

// Why the image that has the name now must not take the place of the one that was served; empty:
// it may. Host caches, the lock channel and the list of fences are those of the image by its id.
// Without its lock, hung writes of peers would be neither waited for nor fenced.
std::string not_the_same(const ceph::ImageInfo& served, const ceph::ImageInfo& now) {
  if (now.id != served.id)
    return fmt::format("the name belongs to another image now (id {}, not {}); rename it back",
                       now.id, served.id);
  if (!served.read_only && served.exclusive_lock && !now.exclusive_lock)
    return "the feature exclusive-lock was disabled; enable it again with 'rbd feature enable'";
  return {};
}

// An instance with what its ops use. Destroyed when the last who uses it lets it go, which BLOCKS
// until its ops have ended.
struct Instance {
  ~Instance() {
    const std::string address = image->address();
    const bool lost_track = image->timed_out();
    image.reset();
    // librados gave ops up that an OSD may still have, and their connections being closed is no
    // proof (ceph/FENCES.md): the blocklist has to keep such an instance out for as long as it
    // can.
    if (fences && !lost_track) fences->remove(address);
    fences.reset();
    mapping.reset();
    on_closed();
  }

  std::shared_ptr<ceph::ServedImage> image;
  std::shared_ptr<ceph::FenceList> fences;
  std::shared_ptr<void> mapping;
  std::function<void()> on_closed;
};

}  // namespace

LunImage::LunImage(asio::io_context& control, const ImageSpec& spec, InstanceRecord record,
                   std::shared_ptr<Log> log, ceph::CompletionSink sink, OpenInstance open)
    : control_(control),
      spec_(spec),
      record_(std::move(record)),
      log_(std::move(log)),
      sink_(std::move(sink)),
      open_(std::move(open)),
      jobs_(std::make_shared<reactor::Jobs>(control)),
      questions_(std::make_shared<reactor::Jobs>(control)),
      retry_timer_(control) {}

ImageListeners LunImage::listeners() {
  const auto post = [weak = weak_from_this(), &control = control_](auto fn) {
    asio::post(control, [weak, fn = std::move(fn)] {
      if (auto self = weak.lock()) fn(*self);
    });
  };
  ceph::ChannelHandlers handlers;
  handlers.on_request = [post](ceph::PeerRequest request) {
    post([request](LunImage& lun_image) { lun_image.on_peer_asks(request); });
  };
  handlers.on_watch_lost = [post] { post([](LunImage& lun_image) { lun_image.on_watch_lost(); }); };
  handlers.on_fenced = [post] { post([](LunImage& lun_image) { lun_image.on_fences_changed(); }); };
  handlers.on_silent = [post](std::vector<std::string> addresses) {
    post([addresses = std::move(addresses)](LunImage& lun_image) { lun_image.bury(addresses); });
  };
  return {.done = sink_,
          .news = news_sink(),
          .channel = std::move(handlers),
          .own_fenced = [post](const std::string& address) {
            post([address](LunImage& lun_image) { lun_image.on_own_fenced(address); });
          }};
}

void LunImage::adopt(OpenedImage opened, std::shared_ptr<void> mapping) {
  opened_ = std::move(opened);
  mapping_ = std::move(mapping);
  opened_.image = number(std::move(opened_.image));
  serve_as_instance();
  if (!opened_.predecessor.empty()) fenced_.push_back(opened_.predecessor);
  publish(published_);
}

std::shared_ptr<ceph::ServedImage> LunImage::number(std::shared_ptr<ceph::ServedImage> image) {
  auto closed = [self = shared_from_this(), &control = control_, number = ++instances_]() mutable {
    asio::post(control, [self = std::move(self), number] { self->on_instance_closed(number); });
  };
  ceph::ServedImage* const raw = image.get();
  const std::shared_ptr<Instance> instance(
      new Instance{std::move(image), opened_.fences, mapping_, std::move(closed)});
  return {instance, raw};
}

void LunImage::tell(DeviceCall call) {
  if (tell_) tell_(std::move(call));
}

void LunImage::tell_outcome(lock::Outcome outcome) {
  tell([outcome](Device& device, TimePoint now) { device.on_lock_event(outcome, now); });
}

void LunImage::start(lock::Action job) {
  if (closed_ || job == lock::Action::kNone) return;
  const uint64_t number = ++job_;
  switch (job) {
    case lock::Action::kAcquire:
      return acquire(number);
    case lock::Action::kRelease:
      return release(number);
    case lock::Action::kFence:
      jobs_ = std::make_shared<reactor::Jobs>(control_);  // The old one ends when its jobs do.
      return fence(number);
    case lock::Action::kReopen:
      jobs_ = std::make_shared<reactor::Jobs>(control_);
      return reopen(number);
    case lock::Action::kNone:
      return;
  }
}

bool LunImage::counts(uint64_t job) const { return job == job_ && !closed_; }

void LunImage::acquire(uint64_t job) {
  struct Outcome {
    std::expected<ceph::LockTaken, LockFailure> taken;
    double milliseconds = 0;
  };
  auto outcome = std::make_shared<Outcome>();
  jobs_->run(on_opened(opened_,
                       [outcome, record = record_, fenced = fenced_](const OpenedImage& opened) {
                         if (!opened.channel) return;  // A snapshot needs no lock.
                         const Stopwatch watch;
                         // Before the first write, so that a successor knows whom to fence.
                         if (auto noted = record.write(opened.image->address()); !noted) {
                           outcome->taken = std::unexpected(LockFailure{noted.error(), -EIO});
                           return;
                         }
                         outcome->taken =
                             ceph::acquire_lock(*opened.image, *opened.channel, *opened.monitors,
                                                *opened.fences, fenced);
                         outcome->milliseconds = watch.milliseconds();
                       }),
             [this, self = shared_from_this(), job, outcome] {
               acquired(job, outcome->taken, outcome->milliseconds);
             });
}

void LunImage::acquired(uint64_t job, const std::expected<ceph::LockTaken, LockFailure>& taken,
                        double milliseconds) {
  if (!counts(job)) return;
  if (taken) {
    log_->write<messages::kLockAcquired>(milliseconds, taken->detail.empty() ? "" : ", ",
                                         taken->detail);
    // What other gateways fenced before.
    if (opened_.fences) opened_.fences->refresh();
    publish_owner(opened_.channel != nullptr);  // A snapshot has no lock.
    tell_outcome(taken->how == ceph::Acquired::kFree ? lock::Outcome::kAcquiredFree
                                                     : lock::Outcome::kAcquired);
    return;
  }
  const int error = taken.error().error;
  if (error != kNotPrimary)  // The device reports that one.
    log_->write<messages::kLockNotAcquired>(taken.error().text);
  const auto why = error == -ESHUTDOWN    ? lock::Outcome::kAcquireLost
                   : error == kNotPrimary ? lock::Outcome::kAcquireDemoted
                                          : lock::Outcome::kAcquireFailed;
  tell([why, away = error == ceph::kWasAway](Device& device, TimePoint now) {
    if (away) device.on_away(AwayCause::kWatchLost, {}, now);
    device.on_lock_event(why, now);
  });
}

void LunImage::release(uint64_t job) {
  auto released = std::make_shared<std::expected<void, LockFailure>>();
  auto watch = std::make_shared<Stopwatch>();
  jobs_->run(on_opened(opened_,
                       [released](const OpenedImage& opened) {
                         *released = opened.image->release_lock();
                       }),
             [this, self = shared_from_this(), job, released, watch] {
               if (!counts(job)) return;
               const bool good = released->has_value();
               if (good) {
                 publish_owner(false);
                 log_->write<messages::kLockReleased>(watch->milliseconds());
               } else {
                 log_->write<messages::kLockNotReleased>(released->error().text);
               }
               tell_outcome(good ? lock::Outcome::kReleased : lock::Outcome::kReleaseFailed);
             });
}

void LunImage::fence(uint64_t job) {
  if (!room_for_another()) {
    log_->write<messages::kFenceNotPossible>(given_up_);
    tell_outcome(lock::Outcome::kFenceFailed);
    return;
  }
  const std::string address = image().address();
  log_->write<messages::kFence>(address);
  auto done = std::make_shared<std::expected<void, LockFailure>>();
  auto watch = std::make_shared<Stopwatch>();
  jobs_->run(on_opened(opened_,
                       [address, done](const OpenedImage& opened) {
                         *done = opened.monitors->blocklist(address);
                       }),
             [this, self = shared_from_this(), job, address, done, watch] {
               fenced(job, address, *done, watch->milliseconds());
             });
}

void LunImage::fenced(uint64_t job, const std::string& address,
                      const std::expected<void, LockFailure>& done, double milliseconds) {
  const bool good = done.has_value();
  if (good) {
    log_->write<messages::kFenceDone>(milliseconds);
    fenced_.push_back(address);
    fencing_ = true;
    if (const auto fences = closed_ ? fences_.lock() : opened_.fences)
      fences->add(address, ceph::FenceReason::kHungOps);
  } else {
    log_->write<messages::kFenceFailed>(milliseconds, done.error().text);
  }
  if (counts(job)) tell_outcome(good ? lock::Outcome::kFenced : lock::Outcome::kFenceFailed);
}

// The one that serves is about to join those that were given up.
bool LunImage::room_for_another() const { return given_up_ + 2 <= reactor::kInstancesMax; }

void LunImage::reopen(uint64_t job) {
  if (!room_for_another()) {
    log_->write<messages::kReopenNotPossible>(given_up_);
    tell_outcome(lock::Outcome::kReopenFailed);
    return;
  }
  auto outcome = std::make_shared<std::expected<std::unique_ptr<ceph::ServedImage>, OpenError>>();
  jobs_->run(
      [outcome, open = open_, spec = spec_, sink = sink_, news = news_sink()] {
        *outcome = open(spec, sink, news);
      },
      [this, self = shared_from_this(), job, outcome] { reopened(job, std::move(*outcome)); });
}

void LunImage::reopened(uint64_t job,
                        std::expected<std::unique_ptr<ceph::ServedImage>, OpenError> outcome) {
  if (!counts(job)) {
    // It was not used. If the LUN is closing, that waits for it.
    if (outcome)
      let_go(closed_ ? jobs_ : std::make_shared<reactor::Jobs>(control_), std::move(*outcome));
    return;
  }
  if (outcome) {
    if (auto changed = not_the_same(image().info(), (*outcome)->info()); !changed.empty()) {
      let_go(std::make_shared<reactor::Jobs>(control_), std::move(*outcome));
      outcome = std::unexpected(OpenError{std::move(changed), -ESTALE});
    }
  }
  if (!outcome) {
    log_->write<messages::kReopenFailed>(outcome.error().text);
    tell_outcome(lock::Outcome::kReopenFailed);
    return;
  }
  // Its reports go on until it is closed: they must not name an owner.
  auto status = published_;
  status.lock_owner = false;
  if (!std::exchange(fencing_, false)) ++status.locks_lost;
  publish(status);
  // Also if another client fenced it, which may be no tcmu-rbd and keep no list.
  if (opened_.fences) opened_.fences->add(image().address(), ceph::FenceReason::kUnknown);
  give_up_image();
  opened_.image = number(std::move(*outcome));
  publish(status);
  serve_as_instance();
  log_->write<messages::kReopened>(image().address());
  unsafe_ = false;  // It could not have been opened.
  warnings_.clear();
  tell(
      [limits = image().info().limits, primary = image().primary()](Device& device, TimePoint now) {
        device.on_rate_limits(limits, now);
        device.on_primary(primary, now);
      });
  tell_role();
  tell([fresh = opened_.image.get()](Device& device, TimePoint now) {
    device.on_reopened(*fresh, now);
  });
}

// The old instance is closed when its last op has ended, by a thread of its own: an OSD that hangs
// keeps it.
void LunImage::give_up_image() {
  ++given_up_;
  let_go(std::make_shared<reactor::Jobs>(control_), std::exchange(opened_.image, nullptr));
}

void LunImage::on_instance_closed(uint32_t instance) {
  if (closed_ && instance == instances_) return close_rest();
  --given_up_;
  log_->write<messages::kInstanceClosed>(given_up_);
  tell([instance](Device& device, TimePoint now) { device.on_instance_closed(instance, now); });
}

void LunImage::on_peer_asks(ceph::PeerRequest request) {
  if (!tell_) return;  // Not serving: we own nothing.
  const uint64_t number = ++last_request_;
  requests_[number] = request;
  tell([number](Device& device, TimePoint now) { device.on_peer_asks(number, now); });
}

void LunImage::answer_peer(const lock::PeerReply& reply) {
  if (const auto asks = operators_.extract(reply.request)) return asks.mapped()(reply.answer);
  const auto found = requests_.find(reply.request);
  if (closed_ || found == requests_.end()) return;
  opened_.channel->answer(found->second, reply.answer);
  requests_.erase(found);
  log_->write<messages::kLockRequested>(describe(reply.answer));
}

void LunImage::locate(const ByteRange& range, uint16_t cmd_id) {
  if (closed_ || locating_) return;
  locating_ = true;
  auto found = std::make_shared<std::expected<ceph::ObjectLocation, std::string>>();
  auto place = image().place_of(range);
  questions_->run(
      [held = opened_.monitors, place, found]() mutable {
        const auto control = std::move(held);
        *found = control->locate(place);
      },
      [this, self = shared_from_this(), place, found, offset = range.offset, cmd_id] {
        locating_ = false;
        LogFields fields{.object = place.object, .initiator_task = std::to_string(cmd_id)};
        if (*found) {
          if ((*found)->in_map) fields.object = place.map_object;
          tell([offset, osds = (*found)->acting](Device& device, TimePoint now) {
            device.on_hang_located(offset, osds, now);
          });
          fields.pg = (*found)->pg;
          fields.osds = (*found)->acting;
          log_->write_with<messages::kHungOp>(std::move(fields), describe(place, **found),
                                              describe(**found));
        } else {
          log_->write_with<messages::kHungOpNotLocated>(std::move(fields), found->error());
        }
      });
}

void LunImage::refresh_size(uint64_t device_bytes) {
  auto size = std::make_shared<std::expected<uint64_t, std::string>>();
  questions_->run(
      [image = opened_.image, size]() mutable {
        // Perhaps the last reference, if the image is given up meanwhile: closing it may block.
        const std::shared_ptr<ceph::ServedImage> mine = std::move(image);
        *size = mine->refresh_size();
      },
      [log = log_, size, device_bytes] {
        if (!*size) {
          log->write<messages::kSizeUnknown>(size->error());
        } else if (**size < device_bytes) {
          log->write<messages::kImageTooSmall>(device_bytes, **size);
        }
      });
}

void LunImage::abandon(std::function<void()> done) {
  // A close under way has the rest on its own thread.
  auto control = closed_ ? fencer_.lock() : opened_.monitors;
  const auto fences = closed_ ? fences_ : std::weak_ptr(opened_.fences);
  const std::string address = closed_ ? closing_address_ : address_of(opened_.image.get());
  if (!control || address.empty()) return done();
  publish_owner(false);  // The instance reports until its ops have ended.
  auto fenced = std::make_shared<std::expected<void, LockFailure>>();
  // On a thread of its own: the kernel's writer of rmdir waits for it.
  std::make_shared<reactor::Jobs>(control_)->run(
      [held = std::move(control), fences, address, fenced]() mutable {
        const auto mine = std::move(held);
        *fenced = mine->blocklist(address);
        if (!*fenced) return;
        if (const auto book = fences.lock()) book->add(address, ceph::FenceReason::kHungOps);
      },
      [this, self = shared_from_this(), address, fenced, done = std::move(done)] {
        if (*fenced) {
          log_->write<messages::kAbandonFenced>();
          record_.remove(address);
        } else {
          log_->write<messages::kAbandonNotFenced>(fenced->error().text);
        }
        done();
      });
}

void LunImage::close(std::function<void()> done) {
  tell_ = nullptr;
  // Closing may hang, and the client reports until it has ended.
  publish_owner(false);
  closed_ = true;
  retry_timer_.cancel();
  fencer_ = opened_.monitors;
  fences_ = opened_.fences;
  closing_address_ = address_of(opened_.image.get());
  done_ = std::move(done);
  if (!opened_.image) return close_rest();
  // After the gate's last job. It gives the lock up. Its pending reads use the mapping.
  let_go(jobs_, std::exchange(opened_.image, nullptr));
}

void LunImage::close_rest() {
  jobs_->run(
      [opened = std::exchange(opened_, {}), mapping = std::exchange(mapping_, nullptr),
       record = record_, address = closing_address_]() mutable {
        opened.channel.reset();
        opened.fences.reset();
        opened.monitors.reset();
        mapping.reset();
        if (!address.empty()) record.remove(address);
      },
      [self = shared_from_this(), done = std::move(done_)] { done(); });
}

}  // namespace tcmurbd
