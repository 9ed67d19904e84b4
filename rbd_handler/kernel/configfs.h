// SPDX-License-Identifier: Apache-2.0
// A TCMU device's directory in configfs, core/user_N/DEVICE: attributes, actions and identity
// (linux/drivers/target/target_core_configfs.c, target_core_user.c). Every file is read afresh, its
// content is input: at most a page is read, and garbage is an error text.
//
// Thread: any, one at a time. A call may wait in the kernel for the device's ring lock
// (milliseconds); a write to dev_config, dev_size or emulate_write_cache would wait for a netlink
// reply of our own and is not offered.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>

#include "common/unique_fd.h"
#include "common/units.h"
#include "rbd_handler/kernel/device_name.h"
#include "rbd_handler/scsi/facts.h"

namespace tcmurbd::kernel {

class ConfigfsDevice {
 public:
  // `root` stands before /sys/kernel/config: "/" or a test's tree. Opens nothing; the directory may
  // vanish at any time (rmdir), later calls say so.
  explicit ConfigfsDevice(const DeviceName& name, const std::string& root = "/");

  // attrib/NAME as a number: hw_block_size (bytes), hw_max_sectors (blocks), dev_size (bytes),
  // cmd_time_out (seconds, 0 = off), qfull_time_out, max_data_area_mb, emulate_write_cache, ...
  std::expected<int64_t, std::string> attribute(std::string_view name) const;
  // attrib/cmd_time_out: the age at which the kernel itself answers a command; zero: never. It can
  // change only while no LUN is mapped. What can't be read is taken for the kernel's default of 30
  // s.
  Duration kernel_limit() const;
  // Allowed from within an ADDED event too. The kernel refuses cmd_time_out (EINVAL) while a LUN is
  // mapped.
  // REQUIRES: none of dev_config, dev_size, emulate_write_cache: the kernel would wait for our own
  // reply to them.
  std::expected<void, std::string> set_attribute(std::string_view name, int64_t value) const;

  // action/*. REQUIRES of the kernel: the device is enabled (else they fail; not yet true during
  // ADDED). Blocked: new commands are answered BUSY and those that wait for ring space fail with
  // it.
  std::expected<void, std::string> block(bool blocked) const;
  // Fails every command BUSY, frees all data blocks, kept ones included, and empties the ring:
  // nothing of ours may use the data area any more. Attach a new Ring after it.
  std::expected<void, std::string> reset_ring() const;

  // Identity alone, now: the groups are left empty.
  std::expected<scsi::TargetFacts, std::string> read_identity() const;
  // Identity and ALUA groups, now. A file that is absent or empty gives the default of TargetFacts;
  // garbage in one group leaves that group out, with a log line. Some ten files per group.
  std::expected<scsi::TargetFacts, std::string> read_target_facts() const;

  const std::string& path() const { return path_; }

 private:
  std::string root_;
  std::string path_;
};

// Frees data buffers that completions kept (KEEP_BUF): action/free_kept_buf, held open. Reactor
// thread.
class KeptBuffers {
 public:
  static std::expected<KeptBuffers, std::string> open(const ConfigfsDevice& device);

  // REQUIRES: the doorbell for the completion that kept it has returned, and nobody uses the
  // buffer. Frees blocks and runs the kernel's waiting commands. Fails for an id that isn't kept,
  // and once the device is removed (then the kernel frees all with the mapping, and the error is
  // harmless).
  std::expected<void, std::string> free(uint16_t cmd_id);

 private:
  explicit KeptBuffers(UniqueFd fd) : fd_(std::move(fd)) {}
  UniqueFd fd_;
};

// Releases everybody who waits in a configfs write for a netlink reply that a dead predecessor owed
// them: they get EINTR. For the daemon's start, before it asks for events. Parameters of the module
// target_core_user.
std::expected<void, std::string> release_netlink_waiters(const std::string& root = "/");

// block_netlink alone: while set, the kernel answers new events with EAGAIN instead of waiting for
// a daemon.
std::expected<void, std::string> block_netlink(bool blocked, const std::string& root = "/");

}  // namespace tcmurbd::kernel
