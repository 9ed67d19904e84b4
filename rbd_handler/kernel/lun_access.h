// SPDX-License-Identifier: Apache-2.0
// Who reaches which device, by what configfs exports (target/FABRIC/WWN/TPGT/{lun,acls}). A command
// on the ring does not say who sent it, so a copy to or from another LUN is allowed only if
// everybody who could have sent it reaches that one too: else its name would be enough to read or
// overwrite a disk that was never given to its host.
//
// Thread: any that may read configfs.
#pragma once

#include <cstdint>
#include <string>

#include "rbd_handler/kernel/device_name.h"

namespace tcmurbd::kernel {

enum class Reach : uint8_t { kRead, kWrite };

// Whether each initiator that reaches `from` reaches `to` as well, for `reach`. Initiators are
// known by their ACLs; a portal group in demo mode, and one of a fabric without ACLs (loopback), is
// everybody's of that fabric. False when nobody reaches `from`, or configfs can't be read.
bool all_reach(const DeviceName& from, const DeviceName& to, Reach reach,
               const std::string& root = "/");

}  // namespace tcmurbd::kernel
