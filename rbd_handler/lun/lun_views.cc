// SPDX-License-Identifier: Apache-2.0
// The answers of a LUN to tcmu-rbdctl.
#include <algorithm>
#include <memory>
#include <utility>

#include "rbd_handler/lun/lun.h"

namespace tcmurbd {

namespace asio = boost::asio;

namespace {

// More commands than an operator reads; a host's queue is not as deep.
constexpr size_t kOpsMax = 1024;
// Each is a question for the monitors, which takes a millisecond or two.
constexpr size_t kObjectsMax = 32;

// Whether the answer of the cluster can tell why it takes so long.
bool asks_where(const OpSnapshot& op) { return op.queued >= kHangToldAfter; }

}  // namespace

std::string_view name(Lun::State state) {
  switch (state) {
    case Lun::State::kOpening:
      return "opening";
    case Lun::State::kServing:
      return "serving";
    case Lun::State::kDraining:
      return "draining";
    case Lun::State::kClosing:
      return "closing";
    case Lun::State::kClosed:
      return "closed";
  }
  return "";
}

LunLabel Lun::label() const {
  return {.name = entry_.name.hba + "/" + entry_.name.device, .image = spec_.to_string()};
}

void Lun::reconfigure(const Config& config) {
  settings_ = config.device;
  if (!lun_reactor_) return;
  on_reactor(
      [slow_after = settings_.slow_after, deadline = deadline()](reactor::LunReactor& serving) {
        serving.apply([&](Device& device, TimePoint) {
          device.set_slow_after(slow_after);
          device.set_deadline(deadline);
        });
      });
}

void Lun::status(std::function<void(Status)> fn) {
  const auto [name, image] = label();
  Status status{name, image, state_, std::nullopt};
  if (lun_image_) status.warnings = lun_image_->warnings();
  if (!lun_reactor_) {
    fn(status);
    return;
  }
  on_reactor([self = shared_from_this(), status,
              fn = std::move(fn)](reactor::LunReactor& serving) mutable {
    serving.show([&status](const Device& device) {
      status.counters = device.counters();
      status.latency = std::make_shared<const DeviceLatency>(device.latency());
      status.bytes = device.disk().blocks * device.disk().block_size;
      status.commands_open = device.tasks();
      status.detached = device.detached();
      status.lock = device.lock_state();
      status.load = device.load(reactor::Heartbeat::now());
    });
    asio::post(self->loops_.control, [status, fn] { fn(status); });
  });
}

void Lun::snapshot(std::function<void(LunSnapshot)> fn) {
  LunSnapshot snapshot{.label = label(), .state = tcmurbd::name(state_), .refusal = refusal_};
  if (lun_image_) {
    snapshot.warnings = lun_image_->warnings();
    snapshot.unfenced = lun_image_->unfenced();
    if (lun_image_->is_open()) snapshot.instance = lun_image_->image().address();
  }
  if (!lun_reactor_) return fn(std::move(snapshot));
  on_reactor([self = shared_from_this(), snapshot = std::move(snapshot),
              fn = std::move(fn)](reactor::LunReactor& serving) mutable {
    serving.show([&snapshot](const Device& device) {
      snapshot.device = device.snapshot(reactor::Heartbeat::now(), kOpsMax);
    });
    asio::post(self->loops_.control,
               [self, snapshot = std::move(snapshot), fn = std::move(fn)]() mutable {
                 self->add_places(std::move(snapshot), std::move(fn));
               });
  });
}

void Lun::add_places(LunSnapshot snapshot, std::function<void(LunSnapshot)> fn) {
  if (!snapshot.device) return fn(std::move(snapshot));
  const auto& ops = snapshot.device->ops;
  snapshot.places.resize(ops.size());
  if (!lun_image_ || !lun_image_->is_open()) return fn(std::move(snapshot));
  std::vector<ceph::ObjectPlace> wanted;
  for (size_t i = 0; i < ops.size(); ++i) {
    if (ops[i].range.length == 0) continue;
    auto place = lun_image_->image().place_of(ops[i].range);
    snapshot.places[i].object = place.object;
    if (asks_where(ops[i]) && wanted.size() < kObjectsMax &&
        std::ranges::find(wanted, place) == wanted.end())
      wanted.push_back(std::move(place));
  }
  auto shown = std::make_shared<LunSnapshot>(std::move(snapshot));
  places_->find(lun_image_->monitors(), wanted, kPlacesPatience,
                [shown, wanted, fn = std::move(fn)](const PlaceFinder::Places& found) {
                  for (OpPlace& place : shown->places) {
                    const auto asked =
                        std::ranges::find(wanted, place.object, &ceph::ObjectPlace::object);
                    if (asked == wanted.end()) continue;
                    place.location = found[static_cast<size_t>(asked - wanted.begin())];
                    if (place.location && place.location->in_map) place.object = asked->map_object;
                  }
                  fn(std::move(*shown));
                });
}

void Lun::slow(std::function<void(LunSlow)> fn) {
  LunSlow slow{.label = label()};
  if (!lun_reactor_) return fn(std::move(slow));
  on_reactor([self = shared_from_this(), slow = std::move(slow),
              fn = std::move(fn)](reactor::LunReactor& serving) mutable {
    serving.show(
        [&slow](const Device& device) { slow.slow = device.slow(reactor::Heartbeat::now()); });
    slow.wall = std::chrono::system_clock::now();
    asio::post(self->loops_.control,
               [slow = std::move(slow), fn = std::move(fn)]() mutable { fn(std::move(slow)); });
  });
}

void Lun::trace(std::function<void(LunTrace)> fn) {
  LunTrace trace{.label = label()};
  if (!lun_reactor_) return fn(std::move(trace));
  on_reactor([self = shared_from_this(), trace = std::move(trace),
              fn = std::move(fn)](reactor::LunReactor& serving) mutable {
    FlightRecord& record = trace.record;
    serving.show(
        [&record](const Device& device) { record = device.flight(reactor::Heartbeat::now()); });
    trace.kept = record.events.size();
    trace.events = record.total;
    trace.now = record.now;
    trace.wall = std::chrono::system_clock::now();
    asio::post(self->loops_.control,
               [trace = std::move(trace), fn = std::move(fn)]() mutable { fn(std::move(trace)); });
  });
}

void Lun::start_lock_action(lock::Action action) {
  if (action == lock::Action::kFence) trace(ports_.keep_trace);
  lun_image_->start(action);
}

LunFences Lun::fences() const {
  LunFences fences{.label = label()};
  if (!lun_image_ || !lun_image_->is_open()) return fences;
  fences.instance = lun_image_->image().address();
  fences.unfenced = lun_image_->unfenced();
  fences.fences = lun_image_->fences();
  return fences;
}

void Lun::release_lock(std::function<void(std::optional<lock::PeerAnswer>)> fn) {
  if (state_ != State::kServing) return fn(std::nullopt);
  struct Wait {
    explicit Wait(asio::io_context& control) : timer(control) {}
    void end(std::optional<lock::PeerAnswer> answer) {
      timer.cancel();
      if (const auto call = std::exchange(fn, nullptr)) call(answer);
    }
    asio::steady_timer timer;
    std::function<void(std::optional<lock::PeerAnswer>)> fn;
  };
  const auto wait = std::make_shared<Wait>(loops_.control);
  wait->fn = std::move(fn);
  wait->timer.expires_after(kReleasePatience);
  wait->timer.async_wait([wait](const boost::system::error_code& canceled) {
    if (!canceled) wait->end(std::nullopt);
  });
  lun_image_->release_for_operator([wait](lock::PeerAnswer answer) { wait->end(answer); });
}

}  // namespace tcmurbd
