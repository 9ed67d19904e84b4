// SPDX-License-Identifier: Apache-2.0
// A TCMU device's directory in configfs, core/user_N/DEVICE: attributes, actions and identity
// (linux/drivers/target/target_core_configfs.c, target_core_user.c). Every file is read anew; its
// content is untrusted input: at most a page is read, and invalid content is an error.
//
// Thread: any, one at a time. A call may wait in the kernel for the device's ring lock
// (milliseconds); a write to dev_config, dev_size or emulate_write_cache would wait for this
// daemon's own netlink reply and is not offered.
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
  // `root` is the prefix of /sys/kernel/config: "/" or a test tree. Opens nothing; if the directory
  // is removed (rmdir), later calls fail.
  explicit ConfigfsDevice(const DeviceName& name, const std::string& root = "/");

  // attrib/NAME as a number: hw_block_size (bytes), hw_max_sectors (blocks), dev_size (bytes),
  // cmd_time_out (seconds, 0 = off), qfull_time_out, max_data_area_mb, emulate_write_cache, ...
  std::expected<int64_t, std::string> attribute(std::string_view name) const;
  // attrib/cmd_time_out: the age at which the kernel itself completes a command; zero: never. It
  // can change only while no LUN is mapped. If it cannot be read, the kernel's default of 30 s is
  // assumed.
  Duration kernel_limit() const;
  // Allowed from within an ADDED event too. The kernel refuses cmd_time_out (EINVAL) while a LUN is
  // mapped. REQUIRES: none of dev_config, dev_size, emulate_write_cache: the kernel would wait for
  // this daemon's own reply.
  std::expected<void, std::string> set_attribute(std::string_view name, int64_t value) const;

  // action/*. They fail unless the device is enabled, which is not the case during ADDED. Blocked:
  // new commands, and those that wait for ring space, get BUSY.
  std::expected<void, std::string> block(bool blocked) const;
  // Ends every command with BUSY, frees all data blocks including kept ones, and empties the ring.
  // REQUIRES: no op uses the data area any more. Attach a new Ring afterwards.
  std::expected<void, std::string> reset_ring() const;

  // Reads only the identity: the groups are empty.
  std::expected<scsi::TargetFacts, std::string> read_identity() const;
  // Reads identity and ALUA groups. An absent or empty file gives the default of TargetFacts; an
  // invalid group is skipped with a log line. About ten files per group.
  std::expected<scsi::TargetFacts, std::string> read_target_facts() const;

  const std::string& path() const { return path_; }

 private:
  std::string root_;
  std::string path_;
};

// Frees data buffers that completions kept (KEEP_BUF): action/free_kept_buf, held open. Reactor
// thread.
// Only kernels whose ring says so have that file (Ring::supports_keep_buffer).
class KeptBuffers {
 public:
  static std::expected<KeptBuffers, std::string> open(const ConfigfsDevice& device);

  // REQUIRES: the doorbell for the completion that kept it has returned, and the buffer is not in
  // use. Frees the blocks and lets the kernel queue waiting commands. Fails for an id that is not
  // kept, and after the device was removed (then the kernel frees everything with the mapping, and
  // the error is harmless).
  std::expected<void, std::string> free(uint16_t cmd_id);

 private:
  explicit KeptBuffers(UniqueFd fd) : fd_(std::move(fd)) {}
  UniqueFd fd_;
};

// Releases the writers that wait in configfs for a netlink reply of a dead predecessor: they get
// EINTR. Called at start, before events are requested. Parameters of the module target_core_user.
std::expected<void, std::string> release_netlink_waiters(const std::string& root = "/");

// block_netlink alone: while set, the kernel answers new events with EAGAIN instead of waiting for
// a daemon.
std::expected<void, std::string> block_netlink(bool blocked, const std::string& root = "/");

}  // namespace tcmurbd::kernel
