// SPDX-License-Identifier: Apache-2.0
// SPC-4: REPORT TARGET PORT GROUPS. Implicit ALUA only: ceph-iscsi sets the states in configfs, and
// SET TARGET PORT GROUPS is not supported.
#include <algorithm>
#include <boost/endian/conversion.hpp>

#include "rbd_handler/scsi/handlers.h"

namespace tcmurbd::scsi {
namespace {

using boost::endian::store_big_u16;
using boost::endian::store_big_u32;

void append_group(const PortGroup& group, std::vector<uint8_t>& out) {
  // TARGET PORT COUNT is one byte.
  const size_t ports = std::min<size_t>(group.relative_ports.size(), 0xff);
  uint8_t* descriptor = append(out, 8 + 4 * ports);
  descriptor[0] = (group.preferred ? 0x80 : 0x00) | (group.access_state & 0x0f);
  descriptor[1] = group.supported_states;
  store_big_u16(&descriptor[2], group.id);
  descriptor[5] = group.status_code;
  descriptor[7] = static_cast<uint8_t>(ports);
  for (size_t i = 0; i < ports; ++i) {
    store_big_u16(&descriptor[8 + 4 * i + 2], group.relative_ports[i]);
  }
}

// The time that a host should wait for a group in transition: the longest of all groups.
uint8_t implicit_transition_seconds(const TargetFacts& target) {
  uint8_t seconds = 0;
  for (const PortGroup& group : target.groups) {
    seconds = std::max(seconds, group.implicit_transition_seconds);
  }
  return seconds;
}

}  // namespace

Plan plan_command(const ReportTargetPortGroups& command, const Context& context) {
  std::vector<uint8_t>& out = context.data_in;
  append(out, 4);
  if (command.extended_header) {
    uint8_t* extension = append(out, 4);
    extension[0] = 0x10;  // FORMAT TYPE 001b
    extension[1] = implicit_transition_seconds(context.target);
  }
  for (const PortGroup& group : context.target.groups) append_group(group, out);
  store_big_u32(out.data(), static_cast<uint32_t>(out.size() - 4));  // RETURN DATA LENGTH
  return good();
}

}  // namespace tcmurbd::scsi
