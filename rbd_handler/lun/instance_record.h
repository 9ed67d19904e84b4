// SPDX-License-Identifier: Apache-2.0
// Remembers, beyond the death of this process, which client instance may have writes under way for
// a device: one small file per device. Whoever serves the device next fences that instance first;
// else a write of the dead could land over a newer one of the living. On a tmpfs: a host that
// reboots has lost its sessions, and the next owner of the lock, whoever it is, breaks it.
// BLOCKS as files do: worker threads. Errors are one line for the operator.
#pragma once

#include <expected>
#include <string>

namespace tcmurbd {

class InstanceRecord {
 public:
  // `hba` and `device` as in configfs, so without a slash.
  InstanceRecord(const std::string& directory, const std::string& hba, const std::string& device);

  // The address that is remembered; empty: none.
  std::expected<std::string, std::string> read() const;
  // Before the instance's first write. Replaces what was there, at once or not at all.
  std::expected<void, std::string> write(const std::string& address) const;
  // Nothing of this instance is under way any more, or it is fenced. Forgets it, unless another has
  // been written over it meanwhile: a device may be gone and back before its old image is closed.
  void remove(const std::string& address) const;

 private:
  const std::string directory_;
  const std::string path_;
};

}  // namespace tcmurbd
