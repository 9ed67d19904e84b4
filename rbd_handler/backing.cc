// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/backing.h"

#include <boost/asio/post.hpp>
#include <cerrno>
#include <chrono>
#include <utility>

#include "rbd_handler/reactor/inbox.h"

namespace tcmurbd {

namespace asio = boost::asio;
using ceph::LockChannel;
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

LockChannel::Answer to_wire(lock::PeerAnswer answer) {
  switch (answer) {
    case lock::PeerAnswer::kReleased:
      return LockChannel::Answer::kReleased;
    case lock::PeerAnswer::kHoldsDetached:
      return LockChannel::Answer::kHoldsDetached;
    case lock::PeerAnswer::kWait:
      return LockChannel::Answer::kMustWait;
    case lock::PeerAnswer::kNotOwner:
      break;
  }
  return LockChannel::Answer::kNotOwner;
}

const char* describe(lock::PeerAnswer answer) {
  switch (answer) {
    case lock::PeerAnswer::kReleased:
      return "released";
    case lock::PeerAnswer::kHoldsDetached:
      return "break it, writes of ours hang";
    case lock::PeerAnswer::kWait:
      return "wait, writes of ours hang and we were fenced a short time ago";
    case lock::PeerAnswer::kNotOwner:
      break;
  }
  return "not ours";
}

// Empty: there is none.
std::string address_of(const ceph::RbdImage* image) {
  return image != nullptr ? image->address() : std::string{};
}

}  // namespace

Backing::Backing(asio::io_context& control, const ImageSpec& spec, InstanceRecord record,
                 std::shared_ptr<Log> log, ceph::CompletionSink sink)
    : control_(control),
      spec_(spec),
      record_(std::move(record)),
      log_(std::move(log)),
      sink_(std::move(sink)),
      jobs_(std::make_shared<reactor::Jobs>(control)),
      questions_(std::make_shared<reactor::Jobs>(control)) {}

LockChannel::Handlers Backing::channel_handlers() {
  const auto post = [weak = weak_from_this(), &control = control_](auto fn) {
    asio::post(control, [weak, fn = std::move(fn)] {
      if (auto self = weak.lock()) fn(*self);
    });
  };
  LockChannel::Handlers handlers;
  handlers.on_request = [post](LockChannel::Request request) {
    post([request](Backing& backing) { backing.on_peer_asks(request); });
  };
  handlers.on_watch_lost = [post] { post([](Backing& backing) { backing.on_watch_lost(); }); };
  handlers.on_fenced = [post] { post([](Backing& backing) { backing.on_ledger_changed(); }); };
  return handlers;
}

void Backing::adopt(OpenedImage opened, std::shared_ptr<void> mapping) {
  opened_ = std::move(opened);
  mapping_ = std::move(mapping);
  if (!opened_.predecessor.empty()) fenced_.push_back(opened_.predecessor);
}

void Backing::tell(Event event) {
  if (tell_) tell_(std::move(event));
}

void Backing::start(lock::Job job) {
  if (closed_) return;
  switch (job) {
    case lock::Job::kAcquire:
      return acquire();
    case lock::Job::kRelease:
      return release();
    case lock::Job::kFence:
      return fence();
    case lock::Job::kReopen:
      return reopen();
    case lock::Job::kNone:
      return;
  }
}

void Backing::acquire() {
  struct Outcome {
    std::expected<ceph::LockTaken, LockFailure> taken;
    double milliseconds = 0;
  };
  auto outcome = std::make_shared<Outcome>();
  jobs_->run(
      [this, self = shared_from_this(), outcome, fenced = fenced_] {
        const Stopwatch watch;
        // Before the first write, so that a successor knows whom to fence.
        if (auto noted = record_.write(opened_.image->address()); !noted) {
          outcome->taken = std::unexpected(LockFailure{noted.error(), -EIO});
          return;
        }
        outcome->taken = ceph::acquire_lock(*opened_.image, *opened_.channel, *opened_.control,
                                            *opened_.ledger, fenced);
        outcome->milliseconds = watch.milliseconds();
      },
      [this, self = shared_from_this(), outcome] {
        const auto& taken = outcome->taken;
        if (taken) {
          log_->info("lock: acquired in {:.1f} ms{}{}", outcome->milliseconds,
                     taken->story.empty() ? "" : ", ", taken->story);
          if (opened_.ledger) opened_.ledger->refresh();
          tell([](Device& device, TimePoint now) { device.on_acquired(now); });
          return;
        }
        log_->warning("lock: not acquired, initiators get BUSY: {}", taken.error().text);
        const auto why = taken.error().error == -ESHUTDOWN    ? lock::AcquireFailure::kLost
                         : taken.error().error == kNotPrimary ? lock::AcquireFailure::kDemoted
                                                              : lock::AcquireFailure::kOther;
        tell([why](Device& device, TimePoint now) { device.on_acquire_failed(why, now); });
      });
}

void Backing::release() {
  auto released = std::make_shared<std::expected<void, LockFailure>>();
  auto watch = std::make_shared<Stopwatch>();
  jobs_->run(
      [this, self = shared_from_this(), released] { *released = opened_.image->release_lock(); },
      [this, self = shared_from_this(), released, watch] {
        const bool good = released->has_value();
        if (good) {
          log_->info("lock: released in {:.1f} ms", watch->milliseconds());
        } else {
          log_->warning("lock: not released, fencing ourselves: {}", released->error().text);
        }
        tell([good](Device& device, TimePoint now) { device.on_released(good, now); });
      });
}

void Backing::fence() {
  if (!room_for_another()) {
    log_->error("fence: {} earlier instances still have ops that hang; ranges stay held",
                given_up_);
    tell([](Device& device, TimePoint now) { device.on_fenced(false, now); });
    return;
  }
  log_->warning(
      "fence: blocklisting our instance {}, so that what hangs can't land after what comes next",
      image().address());
  auto fenced = std::make_shared<std::expected<void, LockFailure>>();
  auto watch = std::make_shared<Stopwatch>();
  jobs_->run([this, self = shared_from_this(),
              fenced] { *fenced = opened_.control->blocklist(opened_.image->address()); },
             [this, self = shared_from_this(), fenced, watch] {
               const bool good = fenced->has_value();
               if (good) {
                 log_->warning("fence: done in {:.0f} ms", watch->milliseconds());
                 fenced_.push_back(image().address());
                 if (opened_.ledger) opened_.ledger->add(image().address());
               } else {
                 log_->error(
                     "fence: refused after {:.0f} ms: {}; what hangs keeps its blocks and we keep "
                     "the lock, the rest is served",
                     watch->milliseconds(), fenced->error().text);
               }
               tell([good](Device& device, TimePoint now) { device.on_fenced(good, now); });
             });
}

// The one that serves is about to join those that were given up.
bool Backing::room_for_another() const { return given_up_ + 2 <= reactor::kInstancesMax; }

void Backing::reopen() {
  if (!room_for_another()) {
    log_->error(
        "reopen: {} earlier instances still have ops that hang; tried again, initiators get "
        "BUSY",
        given_up_);
    tell([](Device& device, TimePoint now) { device.on_reopen_failed(now); });
    return;
  }
  auto outcome = std::make_shared<std::expected<std::unique_ptr<ceph::RbdImage>, OpenError>>();
  jobs_->run([this, self = shared_from_this(), outcome] { *outcome = open_instance(spec_, sink_); },
             [this, self = shared_from_this(), outcome] { reopened(*outcome); });
}

void Backing::reopened(std::expected<std::unique_ptr<ceph::RbdImage>, OpenError>& outcome) {
  if (!outcome) {
    log_->error("reopen: {}; tried again, initiators get BUSY", outcome.error().text);
    tell([](Device& device, TimePoint now) { device.on_reopen_failed(now); });
    return;
  }
  give_up_image();
  opened_.image = std::move(*outcome);
  log_->info("reopen: serving with instance {}", image().address());
  tell([fresh = opened_.image.get()](Device& device, TimePoint now) {
    device.on_reopened(*fresh, now);
  });
}

// The old instance is closed when its last op has ended, by a thread of its own: an OSD that hangs
// keeps it.
void Backing::give_up_image() {
  struct Old {
    std::shared_ptr<void> mapping;
    std::shared_ptr<ceph::RbdImage> image;  // First to go.
  };
  auto old = std::make_shared<Old>(mapping_, std::move(opened_.image));
  ++given_up_;
  std::make_shared<reactor::Jobs>(control_)->run(
      [old] { old->image.reset(); },
      [this, self = shared_from_this(), old] {
        --given_up_;
        log_->info("an instance that was given up is closed, {} are left", given_up_);
      });
}

void Backing::on_peer_asks(LockChannel::Request request) {
  if (!tell_) return;  // Not serving: we own nothing.
  const uint64_t number = ++last_request_;
  requests_[number] = request;
  tell([number](Device& device, TimePoint now) { device.on_peer_asks(number, now); });
}

// The device learns of it before the outcome of an acquire that noticed it too: both are posted
// here.
void Backing::on_watch_lost() {
  log_->warning(
      "lock: the cluster has given up our watch on the lock's channel: this gateway was away, or "
      "cut "
      "off");
}

void Backing::on_ledger_changed() {
  if (!closed_ && opened_.ledger) opened_.ledger->refresh();
}

void Backing::answer_peer(const lock::PeerReply& reply) {
  const auto found = requests_.find(reply.request);
  if (closed_ || found == requests_.end()) return;
  opened_.channel->answer(found->second, to_wire(reply.answer));
  requests_.erase(found);
  log_->info("lock: a peer asked for it, answered: {}", describe(reply.answer));
}

void Backing::locate(const ByteRange& range) {
  if (closed_ || locating_) return;
  locating_ = true;
  const ceph::ImageInfo& info = image().info();
  const std::string object =
      fmt::format("rbd_data.{}.{:016x}", info.id, range.offset / info.object_bytes);
  auto place = std::make_shared<std::expected<std::string, std::string>>();
  questions_->run([control = opened_.control, spec = spec_, object,
                   place] { *place = control->locate(spec.pool, spec.name_space, object); },
                  [this, self = shared_from_this(), place] {
                    locating_ = false;
                    if (*place) {
                      log_->warning("hangs: {}", **place);
                    } else {
                      log_->warning("hangs: and where can't be told: {}", place->error());
                    }
                  });
}

void Backing::refresh_size(uint64_t device_bytes) {
  auto size = std::make_shared<std::expected<uint64_t, std::string>>();
  questions_->run(
      [image = opened_.image, size]() mutable {
        // Perhaps the last reference, if the image is given up meanwhile: closing it may block.
        const std::shared_ptr<ceph::RbdImage> mine = std::move(image);
        *size = mine->refresh_size();
      },
      [log = log_, size, device_bytes] {
        if (!*size) {
          log->warning("the image's size after the resize: {}", size->error());
        } else if (**size < device_bytes) {
          log->warning(
              "the device has {} bytes, the image only {}: blocks beyond it will be refused",
              device_bytes, **size);
        }
      });
}

void Backing::abandon(std::function<void()> done) {
  // A close under way has the rest on its own thread.
  const auto control = closed_ ? fencer_.lock() : opened_.control;
  const std::string address = closed_ ? closing_address_ : address_of(opened_.image.get());
  if (!control || address.empty()) return done();
  auto fenced = std::make_shared<std::expected<void, LockFailure>>();
  // On a thread of its own: the kernel's writer of rmdir waits for it.
  std::make_shared<reactor::Jobs>(control_)->run(
      [control, address, fenced] { *fenced = control->blocklist(address); },
      [this, self = shared_from_this(), address, fenced, done = std::move(done)] {
        if (*fenced) {
          log_->warning("fence: done; lock and watch are free");
          record_.remove(address);
        } else {
          log_->error("fence: {}; whoever serves the image next has to break the lock",
                      fenced->error().text);
        }
        done();
      });
}

void Backing::close(std::function<void()> done) {
  tell_ = nullptr;
  closed_ = true;
  fencer_ = opened_.control;
  closing_address_ = address_of(opened_.image.get());
  jobs_->run(
      [this, self = shared_from_this()] {
        const std::string address = address_of(opened_.image.get());
        opened_.image.reset();  // It gives the lock up. Its pending reads use the mapping.
        opened_.channel.reset();
        opened_.control.reset();
        mapping_.reset();
        if (!address.empty()) record_.remove(address);
      },
      [self = shared_from_this(), done = std::move(done)] { done(); });
}

}  // namespace tcmurbd
