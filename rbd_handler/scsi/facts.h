// SPDX-License-Identifier: Apache-2.0
// The facts about disk and target that the SCSI core gets from the edges. Plain values.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace tcmurbd::scsi {

// The geometry of the disk. Changes only by a resize. Owned by the Device; reactor thread.
// REQUIRES: block_size is a power of two from 512 on; blocks * block_size fits in 64 bits;
// object_bytes is a multiple of it.
struct DiskFacts {
  uint32_t block_size = 512;  // Bytes per logical block: hw_block_size of the TCMU device.
  uint64_t blocks = 0;        // Capacity in logical blocks: dev_size / block_size.
  bool read_only = false;     // A snapshot, or an image opened read-only.
  bool rotational = false;    // Only for VPD B1.
  uint32_t object_bytes = 4 * 1024 * 1024;  // RBD object size: bounds a zeroing command.
  // An aligned range of this size is in one object; smaller than the object size with striping.
  uint32_t stripe_bytes = 4 * 1024 * 1024;
  uint32_t max_transfer_bytes = 0;  // 0 = unknown; else from hw_max_sectors, for VPD B0 and the
                                    // commands that need a read buffer.
};

// Statistics since the daemon started, for LOG SENSE. Owned by the Device.
struct AccessCounters {
  uint64_t reads = 0;        // Commands.
  uint64_t writes = 0;       // Commands, except those that only zero or unmap.
  uint64_t read_bytes = 0;   // From the medium, by `reads`.
  uint64_t write_bytes = 0;  // To the medium, by `writes`.
  uint64_t read_errors = 0;  // Commands that ended with MEDIUM ERROR.
  uint64_t write_errors = 0;
};

// An ALUA target port group of configfs core/user_N/DEV/alua/GROUP/.
struct PortGroup {
  uint16_t id = 0;  // tg_pt_gp_id
  // alua_access_state, SPC-4 6.27 (0 = active/optimized, 1 = non-optimized ...)
  uint8_t access_state = 0;
  // The byte of REPORT TARGET PORT GROUPS: T_SUP O_SUP ... AO_SUP, from alua_support_*
  uint8_t supported_states = 0;
  uint8_t status_code = 0;  // alua_access_status
  bool preferred = false;
  std::vector<uint16_t> relative_ports{};  // Relative target port identifiers of its members.
  // The ports of relative_ports whose TPG is enabled on this node: commands come only through them.
  // ceph-iscsi creates the TPGs of all gateways on each node and enables those of the node.
  std::vector<uint16_t> enabled_ports{};
  // Commands come through a member without a relative target port identifier as well.
  bool unnumbered_port = false;
  uint8_t implicit_transition_seconds = 0;  // implicit_trans_secs; 0 = none.
};

// Identity and paths from configfs. They may change at any time without notice (ceph-iscsi writes
// the serial after enable), so commands that report them need a new read: see needs_target_facts().
struct TargetFacts {
  // wwn/vpd_unit_serial without the "T10 VPD Unit Serial Number: " prefix; may be empty.
  std::string unit_serial;
  // wwn/vendor_id, product_id, revision. Defaults are tcmu-runner's: SATP rules of ESXi hosts match
  // on them.
  std::string vendor = "LIO-ORG";
  std::string product = "TCMU device";
  std::string revision = "0002";
  std::vector<PortGroup> groups;  // Without default_tg_pt_gp when another group has members.
};

}  // namespace tcmurbd::scsi
