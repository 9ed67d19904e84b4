// SPDX-License-Identifier: Apache-2.0
// Which initiators have access to which device, according to configfs
// (target/FABRIC/WWN/TPGT/{lun,acls}). A command on the ring does not name its initiator, so a copy
// to or from another LUN is allowed only if every possible sender has access to that LUN too.
// Knowing a LUN's designator grants no access. The kernel checks PERSISTENT RESERVATIONS only for
// the LUN that received the command, not for the other one.
//
// Thread: any that may read configfs.
#pragma once

#include <cstdint>
#include <string>

#include "rbd_handler/kernel/device_name.h"

namespace tcmurbd::kernel {

enum class Reach : uint8_t { kRead, kWrite };

// Whether each initiator with access to `from` has access to `to` as well, for `reach`. Initiators
// are identified by their ACLs; a portal group in demo mode, or of a fabric without ACLs
// (loopback), is accessible to all initiators of that fabric. False if no initiator has access to
// `from`, or configfs cannot be read.
bool all_reach(const DeviceName& from, const DeviceName& to, Reach reach,
               const std::string& root = "/");

}  // namespace tcmurbd::kernel
