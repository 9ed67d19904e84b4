// SPDX-License-Identifier: Apache-2.0
// A TCMU device's ring as the kernel exports it: /dev/uioN and its mapping
// (linux/drivers/uio/uio.c, target_core_user.c). Does not interpret the ring. Errors are one line
// for the operator.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "common/unique_fd.h"
#include "rbd_handler/kernel/device_name.h"

namespace tcmurbd::kernel {

// A TCMU device that is present now.
struct UioEntry {
  uint32_t minor = 0;  // The N of uioN.
  DeviceName name;
};

// All TCMU devices in /sys/class/uio, of every subtype, by minor. Other UIO devices, invalid names
// and devices that vanish meanwhile are skipped. An error: the list is not complete, for lack of
// descriptors for example. `root` is the prefix of /sys: "/" or a test tree. Control thread. Takes
// no kernel lock.
std::expected<std::vector<UioEntry>, std::string> scan_uio(const std::string& root = "/");

// The name of one device, now (a reconfiguration changes it).
std::expected<DeviceName, std::string> read_uio_name(uint32_t minor, const std::string& root = "/");

// The result of clear_events.
enum class UioState : uint8_t {
  kAlive,
  kGone,  // The kernel has unregistered the device; the mapping stays valid until the UioDevice is
          // destroyed.
};

// Opened by the control thread, then used by the reactor that owns the LUN. Destroy it only when
// the mapping is no longer used, also not by pending reads of librbd.
class UioDevice {
 public:
  // Opens and maps the whole device. Only one process can open a device at a time; an error reports
  // another handler. Commands queued before raise no event: read the ring once before the first
  // wait.
  static std::expected<UioDevice, std::string> open(uint32_t minor, const std::string& root = "/");

  // One that is open and mapped already: takes both over.
  UioDevice(UniqueFd fd, std::span<std::byte> map) : fd_(std::move(fd)), map_(map) {}
  UioDevice(UioDevice&& other) noexcept;
  UioDevice& operator=(UioDevice&& other) noexcept;
  // Unmaps, then closes: the kernel frees kept buffers, and another process can open it, after
  // both.
  ~UioDevice();

  // Mailbox, ring and data area. Not inherited by a fork, not in core dumps.
  std::span<std::byte> map() const { return map_; }
  // Readable when the kernel queued something; nonblocking. In error state once the device is gone.
  int fd() const { return fd_.get(); }

  // Takes the event, so that fd() is readable only after the next one. Call it BEFORE reading the
  // ring.
  UioState clear_events();

  // Makes the kernel process completions. Synchronous: READ data is copied and waiting commands are
  // queued before it returns, so call it once per batch. kGone as above.
  UioState kick();

 private:
  UniqueFd fd_;
  std::span<std::byte> map_;
};

}  // namespace tcmurbd::kernel
