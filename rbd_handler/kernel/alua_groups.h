// SPDX-License-Identifier: Apache-2.0
// A device's ALUA target port groups, as configfs shows them: core/user_N/DEVICE/alua/*
// (linux/drivers/target/target_core_configfs.c). Any thread.
#pragma once

#include <string>
#include <vector>

#include "rbd_handler/scsi/facts.h"

namespace tcmurbd::kernel {

// `target` is configfs' directory "target", `device` the device's below it. By id. Skipped: groups
// without an id yet (just created), invalid groups (logged), and default_tg_pt_gp if another group
// has ports. Relative port identifiers come from statistics/scsi_port/indx of each member LUN; a
// LUN that just goes away has none. FABRIC/WWN/TPGT/enable says which of them are enabled.
std::vector<scsi::PortGroup> read_port_groups(const std::string& target, const std::string& device);

}  // namespace tcmurbd::kernel
