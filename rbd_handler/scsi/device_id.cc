// SPDX-License-Identifier: Apache-2.0
// SPC-4: VPD 83, device identification. ESXi, multipath and udev identify a disk by these bytes: a
// gateway that changes from tcmu-runner to this program must report the same NAA designator.
#include <algorithm>
#include <array>
#include <boost/endian/conversion.hpp>
#include <optional>

#include "rbd_handler/scsi/inquiry_pages.h"

namespace tcmurbd::scsi {
namespace {

using boost::endian::store_big_u16;

// Bytes 0 and 1 of a designation descriptor.
constexpr uint8_t kBinary = 0x01;  // CODE SET
constexpr uint8_t kAscii = 0x02;
constexpr uint8_t kLogicalUnit = 0x00;  // ASSOCIATION
constexpr uint8_t kTargetPort = 0x10;
constexpr uint8_t kT10VendorId = 0x01;  // DESIGNATOR TYPE
constexpr uint8_t kNaa = 0x03;
constexpr uint8_t kRelativeTargetPort = 0x04;
constexpr uint8_t kTargetPortGroup = 0x05;

uint8_t* append_descriptor(std::vector<uint8_t>& out, uint8_t code_set, uint8_t type,
                           uint8_t length) {
  uint8_t* descriptor = append(out, 4 + length);
  descriptor[0] = code_set;
  descriptor[1] = type;
  descriptor[3] = length;
  return descriptor + 4;
}

void append_t10_vendor_id(const TargetFacts& target, std::vector<uint8_t>& out) {
  const size_t serial_bytes = std::min<size_t>(target.unit_serial.size(), 0xff - 8);
  append_descriptor(out, kAscii, kLogicalUnit | kT10VendorId, 0);
  out.back() = static_cast<uint8_t>(8 + serial_bytes);
  append_ascii(out, target.vendor, 8);
  append_ascii(out, target.unit_serial, serial_bytes);
}

std::optional<uint8_t> hex_digit(char c) {
  if (c >= '0' && c <= '9') return static_cast<uint8_t>(c - '0');
  if (c >= 'a' && c <= 'f') return static_cast<uint8_t>(c - 'a' + 10);
  if (c >= 'A' && c <= 'F') return static_cast<uint8_t>(c - 'A' + 10);
  return std::nullopt;
}

// NAA 6, IEEE company id 001405h (LIO's), then the serial's first 25 hex digits; zeroes if it has
// fewer. A serial without any gives no designator, because all such disks would have the same one.
void append_naa(const TargetFacts& target, std::vector<uint8_t>& out) {
  constexpr size_t kNameNibbles = 32;
  size_t nibble = 0;
  std::array<uint8_t, kNameNibbles / 2> name{};
  const auto put = [&](uint8_t value) {
    name[nibble / 2] |= nibble % 2 == 0 ? static_cast<uint8_t>(value << 4) : value;
    ++nibble;
  };
  for (const uint8_t value : {0x6, 0x0, 0x0, 0x1, 0x4, 0x0, 0x5}) put(value);
  const size_t prefix = nibble;
  for (const char c : target.unit_serial) {
    if (nibble == kNameNibbles) break;
    if (const auto value = hex_digit(c)) put(*value);
  }
  if (nibble == prefix) return;
  std::ranges::copy(name, append_descriptor(out, kBinary, kLogicalUnit | kNaa, name.size()));
}

void append_port_number(std::vector<uint8_t>& out, uint8_t type, uint16_t number) {
  uint8_t* designator = append_descriptor(out, kBinary, kTargetPort | type, 4);
  store_big_u16(&designator[2], number);
}

// These identify the port that received the INQUIRY, which a command on the ring does not contain.
// They are reported only if unambiguous: the only group through which commands can come, and the
// only such port. With a wrong guess, a host would assign a path to the wrong group.
void append_port_designators(const TargetFacts& target, std::vector<uint8_t>& out) {
  const PortGroup* only = nullptr;
  for (const PortGroup& group : target.groups) {
    if (group.enabled_ports.empty() && !group.unnumbered_port) continue;
    if (only) return;
    only = &group;
  }
  if (!only) return;
  if (only->enabled_ports.size() == 1 && !only->unnumbered_port) {
    append_port_number(out, kRelativeTargetPort, only->enabled_ports.front());
  }
  append_port_number(out, kTargetPortGroup, only->id);
}

}  // namespace

void append_designators(const TargetFacts& target, std::vector<uint8_t>& out) {
  if (!target.unit_serial.empty()) {
    append_t10_vendor_id(target, out);
    append_naa(target, out);
  }
  append_port_designators(target, out);
}

}  // namespace tcmurbd::scsi
