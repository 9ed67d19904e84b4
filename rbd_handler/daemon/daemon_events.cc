// SPDX-License-Identifier: Apache-2.0
// The daemon and its devices: those that are there at the start, and the kernel's events.
#include <fmt/format.h>
#include <systemd/sd-daemon.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

#include "rbd_handler/ceph/headroom.h"
#include "rbd_handler/daemon/daemon.h"
#include "rbd_handler/messages/daemon.h"
#include "rbd_handler/messages/lun.h"

namespace tcmurbd {

namespace asio = boost::asio;
using boost::system::error_code;
using kernel::DeviceEvent;

namespace {
// As tcmu-rbdctl names it.
std::string lun_name(const kernel::DeviceName& name) {
  return fmt::format("{}/{}", name.hba, name.device);
}

bool is_listed(const Lun& lun, const std::vector<kernel::UioEntry>& present) {
  return std::ranges::any_of(present, [&lun](const kernel::UioEntry& entry) {
    return entry.minor == lun.entry().minor && entry.name.device == lun.entry().name.device;
  });
}
}  // namespace

bool Daemon::take_over() {
  starting_ = 1;  // This function itself.
  auto entries = kernel::scan_uio(root_);
  if (!entries) {
    log_.write<messages::kCannotStart>(entries.error());
    return false;
  }
  std::erase_if(*entries, [](const kernel::UioEntry& entry) { return !entry.name.is_rbd(); });
  if (auto room = ceph::Headroom::of_process().check(entries->size() + ceph::kInstancesForNewLun);
      !room) {
    log_.write<messages::kLimitsTooLow>(entries->size(), room.error());
  }
  for (const kernel::UioEntry& entry : *entries) take_over_one(entry);
  if (--starting_ == 0) ready();
  return true;
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
  const auto started = [this, waits = std::make_shared<bool>(true)](int status) {
    // The kernel may be about to unregister it, without an event: its enable has failed.
    if (status != 0 && status != -ESHUTDOWN) drop_vanished_later();
    if (std::exchange(*waits, false) && --starting_ == 0) ready();
  };
  std::shared_ptr<Lun> lun;
  try {
    lun = make_lun(entry, std::move(*spec));
    lun->open(Origin::kTakenOver, started);
  } catch (const std::system_error& error) {
    // As for one that is added: only this device fails.
    log_.write_with<messages::kNotTakenOver>({.lun = lun_name(entry.name)}, lun_name(entry.name),
                                             error.what());
    if (lun) forget(*lun);
    block(entry);
    started(0);
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
  ready_ = true;
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
  const bool released = release_waiters();
  if (stopping_) return;  // A successor takes the devices over.
  // With an error to its writer, the kernel unregisters a new device.
  for (const auto& lun : all_luns())
    if (released && lun->is_enabled_now()) drop(lun);
  look_at_devices();
}

bool Daemon::release_waiters() {
  log_.write<messages::kNetlinkOverrun>();
  const auto released = kernel::release_netlink_waiters(root_);
  if (!released) log_.write<messages::kNetlinkWaiters>(released.error());
  return released.has_value();
}

void Daemon::drop(const std::shared_ptr<Lun>& lun) {
  forget(*lun);
  lun->remove([](int) {});
}

// A list that cannot be read says nothing: without descriptors, for example, all devices would seem
// to be gone.
void Daemon::look_at_devices() {
  const auto present = kernel::scan_uio(root_);
  if (!present) {
    log_.write<messages::kDevicesNotListed>(present.error());
    look_timer_.expires_after(kLookAgain);
    look_timer_.async_wait([this](const error_code& error) {
      if (!error) look_at_devices();
    });
    return;
  }
  for (const auto& lun : all_luns())
    if (!is_listed(*lun, *present)) drop(lun);
  for (const kernel::UioEntry& entry : *present) {
    if (entry.name.is_rbd() && !luns_.contains(entry.minor)) take_over_one(entry);
  }
}

// Takes nothing over: a device that is being removed is still listed.
void Daemon::drop_vanished_later() {
  vanished_timer_.expires_after(kLookAgain);
  vanished_timer_.async_wait([this](const error_code& error) {
    if (error || stopping_) return;
    const auto present = kernel::scan_uio(root_);
    if (!present) return drop_vanished_later();
    for (const auto& lun : all_luns())
      if (!lun->known().disk && !is_listed(*lun, *present)) drop(lun);
  });
}

void Daemon::reply(const DeviceEvent& event, int status) {
  if (auto sent = netlink_->reply(event.kind, event.device_id, status); !sent) {
    log_.write<messages::kNetlinkNoReply>(event.device, sent.error());
  }
  exit_if_done();
}

// No writer may wait for a process that ends: neither those whose events were read, nor those whose
// events were not.
void Daemon::end_replies() {
  if (!netlink_) return;
  const auto read =
      netlink_->read_events([this](const DeviceEvent& event) { reply(event, -ESHUTDOWN); });
  if (!read) log_.write<messages::kNetlinkLost>(read.error());
  if (read == kernel::EventChannel::Read::kOverrun) release_waiters();
  replies_.answer_all(-ESHUTDOWN);
}

void Daemon::on_event(const DeviceEvent& event) {
  const Replies::Reply answer = replies_.expect(event);
  switch (event.kind) {
    case DeviceEvent::Kind::kAdded:
      return on_added(event, answer);
    case DeviceEvent::Kind::kRemoved:
      return on_removed(event, answer);
    case DeviceEvent::Kind::kReconfigured:
      return on_reconfigured(event, answer);
  }
}

void Daemon::on_added(const DeviceEvent& event, const Replies::Reply& answer) {
  const auto name = kernel::parse_device_name(event.device);
  if (!name || !name->is_rbd()) {
    // Always reply: without a reply, its enable would hang forever.
    log_.write<messages::kRefused>(
        event.device, name ? "only devices of subtype rbd are served here" : name.error());
    return answer(-ENOENT);
  }
  auto spec = parse_dev_config(name->dev_config);
  if (!spec) {
    log_.write_with<messages::kRefused>({.lun = lun_name(*name)}, lun_name(*name), spec.error());
    return answer(-EINVAL);
  }
  const auto found = luns_.find(event.minor);
  if (found == luns_.end()) return add({event.minor, *name}, *spec, answer);
  // This device, found in /sys before its event was read, or one that is gone. The UIO device has
  // one opener, so the older LUN ends first; at once if it does not serve.
  const std::shared_ptr<Lun> older = found->second;
  luns_.erase(found);
  older->remove([this, entry = kernel::UioEntry{event.minor, *name}, spec = std::move(*spec),
                 answer](int) { add(entry, spec, answer); });
}

void Daemon::add(const kernel::UioEntry& entry, const ImageSpec& spec,
                 const Replies::Reply& answer) {
  if (stopping_) return answer(-ESHUTDOWN);
  // The older LUN took so long that the kernel has replaced the device.
  if (luns_.contains(entry.minor)) return answer(-ENODEV);
  std::shared_ptr<Lun> lun;
  try {
    lun = make_lun(entry, spec);
    lun->open(Origin::kAdded, [this, answer, self = lun.get()](int status) {
      // The kernel unregisters a failed device without a REMOVED event.
      if (status != 0) forget(*self);
      answer(status);
    });
  } catch (const std::system_error& error) {
    // Out of threads, descriptors or memory: only this device fails.
    log_.write_with<messages::kRefused>({.lun = lun_name(entry.name)}, lun_name(entry.name),
                                        error.what());
    if (lun) forget(*lun);
    answer(-ENOMEM);
  }
}

void Daemon::on_removed(const DeviceEvent& event, const Replies::Reply& answer) {
  const auto found = luns_.find(event.minor);
  if (found == luns_.end()) return answer(0);
  const std::shared_ptr<Lun> lun = found->second;
  luns_.erase(found);
  lun->remove([answer, lun](int status) { answer(status); });
}

void Daemon::on_reconfigured(const DeviceEvent& event, const Replies::Reply& answer) {
  const auto found = luns_.find(event.minor);
  if (found == luns_.end()) return answer(-ENODEV);
  if (const auto* size = std::get_if<kernel::NewDevSize>(&event.change))
    return found->second->resize(size->bytes, answer);
  if (const auto* cache = std::get_if<kernel::NewWriteCache>(&event.change)) {
    if (!cache->enabled) return answer(0);
    log_.write<messages::kWriteCacheRefused>(event.device);
    return answer(-EOPNOTSUPP);
  }
  log_.write<messages::kReconfigRefused>(event.device);
  answer(-EOPNOTSUPP);
}

}  // namespace tcmurbd
