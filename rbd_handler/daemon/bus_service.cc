// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/daemon/bus_service.h"

#include <poll.h>
#include <systemd/sd-bus.h>

#include <cstring>
#include <utility>

#include "rbd_handler/messages/daemon.h"

namespace tcmurbd {

namespace asio = boost::asio;
using boost::system::error_code;

namespace {

constexpr const char* kName = "org.kernel.TCMUService1";
constexpr const char* kManagerPath = "/org/kernel/TCMUService1";
// targetcli takes the last element for the backstore's subtype.
constexpr const char* kObjectPath = "/org/kernel/TCMUService1/rbd";
constexpr const char* kConfigDesc =
    "rbd/POOL[/NAMESPACE]/IMAGE[@SNAPSHOT][;OPTION=VALUE]...\n"
    "  (targetcli's cfgstring is the same without rbd/)\n"
    "  osd_op_timeout=SECONDS  deadline of a SCSI command; 0: none\n"
    "  conf=PATH               ceph.conf of the cluster\n"
    "  id=USER                 CephX user without 'client.'";

}  // namespace

// A CheckConfig that has not been answered.
struct BusService::Call {
  Call(sd_bus_message* request, asio::io_context& control)
      : message(sd_bus_message_ref(request)), patience(control) {}
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;
  ~Call() { sd_bus_message_unref(message); }

  sd_bus_message* const message;
  asio::steady_timer patience;
  bool answered = false;
};

struct BusService::Callbacks {
  static int check_config(sd_bus_message* message, void* self, sd_bus_error*) {
    return static_cast<BusService*>(self)->check(message);
  }
  static int name_answer(sd_bus_message* reply, void* self, sd_bus_error*) {
    static_cast<BusService*>(self)->on_name(reply);
    return 0;
  }
  static int config_desc(sd_bus*, const char*, const char*, const char*, sd_bus_message* reply,
                         void*, sd_bus_error*) {
    return sd_bus_message_append(reply, "s", kConfigDesc);
  }
};

void BusService::Unref::operator()(sd_bus* bus) const { sd_bus_close_unref(bus); }

BusService::BusService(asio::io_context& control, Check check)
    : BusService(control, std::move(check), Times{}) {}

BusService::BusService(asio::io_context& control, Check check, Times times)
    : check_(std::move(check)), times_(times), socket_(control), timer_(control) {
  connect();
}

BusService::~BusService() { close(); }

// sd_bus_open_system() does not wait for the bus: the handshake is part of sd_bus_process().
void BusService::connect() {
  sd_bus* bus = nullptr;
  if (const int error = sd_bus_open_system(&bus); error < 0) return lost(error);
  bus_.reset(bus);
  if (const int error = set_up(); error < 0) return lost(error);
  socket_.assign(sd_bus_get_fd(bus));
  process();
}

int BusService::set_up() {
  static const sd_bus_vtable kVtable[] = {
      SD_BUS_VTABLE_START(0),
      SD_BUS_METHOD("CheckConfig", "s", "bs", &Callbacks::check_config, SD_BUS_VTABLE_UNPRIVILEGED),
      SD_BUS_PROPERTY("ConfigDesc", "s", &Callbacks::config_desc, 0, SD_BUS_VTABLE_PROPERTY_CONST),
      SD_BUS_VTABLE_END};
  if (const int error = sd_bus_add_object_manager(bus_.get(), nullptr, kManagerPath); error < 0)
    return error;
  if (const int error =
          sd_bus_add_object_vtable(bus_.get(), nullptr, kObjectPath, kName, kVtable, this);
      error < 0)
    return error;
  // In line behind a tcmu-runner that has not ended yet.
  return sd_bus_request_name_async(bus_.get(), nullptr, kName, SD_BUS_NAME_QUEUE,
                                   &Callbacks::name_answer, this);
}

void BusService::process() {
  int result = 0;
  do result = sd_bus_process(bus_.get(), nullptr);
  while (result > 0);
  if (result < 0) return lost(result);
  arm();
}

// Waits for what the bus needs next.
void BusService::arm() {
  const int events = sd_bus_get_events(bus_.get());
  const auto wait = [this](auto kind, bool& waiting) {
    waiting = true;
    socket_.async_wait(kind, [this, &waiting](const error_code& error) {
      if (error) return;
      waiting = false;
      process();
    });
  };
  if (!reading_) wait(asio::posix::stream_descriptor::wait_read, reading_);
  if (!writing_ && (events & POLLOUT) != 0)
    wait(asio::posix::stream_descriptor::wait_write, writing_);
  uint64_t until = UINT64_MAX;
  sd_bus_get_timeout(bus_.get(), &until);
  if (until == UINT64_MAX) {
    timer_.cancel();
    return;
  }
  // CLOCK_MONOTONIC, as asio's steady clock.
  timer_.expires_at(std::chrono::steady_clock::time_point(std::chrono::microseconds(until)));
  timer_.async_wait([this](const error_code& error) {
    if (!error) process();
  });
}

void BusService::lost(int error) {
  close();
  if (!told_) {
    told_ = true;
    log_.write<messages::kNoBus>(
        std::strerror(-error),
        std::chrono::duration_cast<std::chrono::seconds>(times_.reconnect).count());
  }
  timer_.expires_after(times_.reconnect);
  timer_.async_wait([this](const error_code& canceled) {
    if (!canceled) connect();
  });
}

void BusService::close() {
  if (socket_.is_open()) socket_.release();
  reading_ = writing_ = false;
  timer_.cancel();
  bus_.reset();
}

void BusService::on_name(sd_bus_message* reply) {
  if (const sd_bus_error* error = sd_bus_message_get_error(reply)) {
    log_.write<messages::kNameRefused>(kName,
                                       error->message != nullptr ? error->message : error->name);
    return;
  }
  // org.freedesktop.DBus.RequestName: 1 we own it, 2 in the queue.
  uint32_t outcome = 0;
  if (sd_bus_message_read(reply, "u", &outcome) < 0) return;
  if (outcome == 2) {
    log_.write<messages::kNameTaken>(kName);
  } else {
    log_.write<messages::kNameServed>(kName);
  }
  told_ = false;
}

int BusService::check(sd_bus_message* message) {
  const char* dev_config = nullptr;
  if (const int error = sd_bus_message_read(message, "s", &dev_config); error < 0) return error;
  if (checks_ >= kChecksMax)
    return sd_bus_reply_method_return(message, "bs", 0, "too many checks are under way");
  ++checks_;
  auto call = std::make_shared<Call>(
      message, static_cast<asio::io_context&>(timer_.get_executor().context()));
  call->patience.expires_after(times_.patience);
  call->patience.async_wait([this, call](const error_code& canceled) {
    if (canceled) return;
    finish(*call, std::unexpected(fmt::format(
                      "the cluster has not answered within {} s",
                      std::chrono::duration_cast<std::chrono::seconds>(times_.patience).count())));
  });
  check_(dev_config, [this, call](const Verdict& verdict) {
    --checks_;
    call->patience.cancel();
    finish(*call, verdict);
  });
  return 1;
}

// Once a call. Its connection may have been lost since; then the reply is dropped.
void BusService::finish(Call& call, const Verdict& verdict) {
  if (std::exchange(call.answered, true)) return;
  const std::string text = verdict ? "success" : verdict.error();
  sd_bus_reply_method_return(call.message, "bs", verdict ? 1 : 0, text.c_str());
  if (bus_) arm();
}

}  // namespace tcmurbd
