// SPDX-License-Identifier: Apache-2.0
// Records the client instance that may have writes in flight for a device, for the case that this
// process dies: one small file per device. A successor fences that instance first; otherwise its
// writes could be applied over newer ones. A tmpfs is sufficient: a host that reboots has lost its
// sessions, and the next owner breaks the lock. BLOCKS as files do: worker threads. Errors are one
// line for the operator.
#pragma once

#include <expected>
#include <string>

namespace tcmurbd {

class InstanceRecord {
 public:
  // `hba` and `device` as in configfs, so without a slash.
  InstanceRecord(const std::string& directory, const std::string& hba, const std::string& device);

  // The recorded address; empty: none.
  std::expected<std::string, std::string> read() const;
  // Called before the instance's first write. Replaces the record atomically.
  std::expected<void, std::string> write(const std::string& address) const;
  // This instance has no ops in flight any more, or is fenced. Removes the record, unless it has
  // another address now: a device may be removed and created again before its old image is closed.
  void remove(const std::string& address) const;

 private:
  const std::string directory_;
  const std::string path_;
};

}  // namespace tcmurbd
