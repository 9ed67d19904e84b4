// SPDX-License-Identifier: Apache-2.0
// Records the client instance that may have writes in flight for a device, for the case that this
// process dies: one small file per device. A successor fences that instance first; otherwise its
// writes could be applied over newer ones. The folder may be a tmpfs, or a folder that survives a
// reboot (cephadm: /run is the container's own and is removed with it). Each record names the boot
// it was written in. BLOCKS as files do: worker threads. Errors are one line for the operator.
#pragma once

#include <expected>
#include <string>

namespace tcmurbd {

// Differs for each boot of the machine (/proc/sys/kernel/random/boot_id); empty if unknown.
std::string boot_id();

class InstanceRecord {
 public:
  struct Recorded {
    std::string address;  // Empty: no record.
    // Written before the last boot of this machine: the process cannot run any more. Its writes may
    // still be in the queue of an OSD.
    bool earlier_boot = false;
    bool operator==(const Recorded&) const = default;
  };

  // `hba` and `device` as in configfs, so without a slash. `boot`: of this machine, see boot_id().
  InstanceRecord(const std::string& directory, const std::string& hba, const std::string& device,
                 std::string boot = boot_id());

  std::expected<Recorded, std::string> read() const;
  // Called before the instance's first write. Replaces the record atomically; it is on the disk
  // when this returns.
  std::expected<void, std::string> write(const std::string& address) const;
  // This instance has no ops in flight any more, or is fenced. Removes the record, unless it has
  // another address now: a device may be removed and created again before its old image is closed.
  void remove(const std::string& address) const;

 private:
  const std::string path_;
  const std::string boot_;
};

}  // namespace tcmurbd
