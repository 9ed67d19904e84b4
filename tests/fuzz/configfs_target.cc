// SPDX-License-Identifier: Apache-2.0
// A device's directory with arbitrary file contents. Files that are not in the input have normal
// contents.
#include <algorithm>
#include <array>
#include <filesystem>
#include <string_view>

#include "common/check.h"
#include "rbd_handler/kernel/configfs.h"
#include "tests/fuzz/input.h"
#include "tests/fuzz/targets.h"
#include "tests/unit/kernel_tree.h"

namespace tcmurbd::fuzz {
namespace {

struct File {
  std::string_view path;
  std::string_view content;
};
constexpr std::string_view kDevice = "/sys/kernel/config/target/core/user_0/disk";
constexpr std::array kOfDevice{
    File{"/wwn/vpd_unit_serial", "T10 VPD Unit Serial Number: 6a7e-11\n"},
    File{"/wwn/vendor_id", "LIO-ORG\n"},
    File{"/wwn/product_id", "TCMU device\n"},
    File{"/wwn/revision", "0002\n"},
    File{"/attrib/hw_block_size", "512\n"},
    File{"/attrib/dev_size", "1073741824\n"},
};
constexpr std::array kOfGroup{
    File{"/tg_pt_gp_id", "1\n"},
    File{"/alua_access_state", "0\n"},
    File{"/alua_access_status", "None\n"},
    File{"/preferred", "0\n"},
    File{"/alua_support_transitioning", "1\n"},
    File{"/alua_support_offline", "1\n"},
    File{"/alua_support_lba_dependent", "1\n"},
    File{"/alua_support_unavailable", "1\n"},
    File{"/alua_support_standby", "1\n"},
    File{"/alua_support_active_nonoptimized", "1\n"},
    File{"/alua_support_active_optimized", "1\n"},
    File{"/members", "iSCSI/iqn.x/tpgt_1/lun_0\n\0"},
};
constexpr std::array<std::string_view, 2> kGroups{"/alua/default_tg_pt_gp", "/alua/ao"};
constexpr std::string_view kPort =
    "/sys/kernel/config/target/iscsi/iqn.x/tpgt_1/lun/lun_0/statistics/scsi_port/indx";
constexpr std::string_view kEnable = "/sys/kernel/config/target/iscsi/iqn.x/tpgt_1/enable";
// Where a member with ".." in it would lead.
constexpr std::string_view kOutside = "/sys/kernel/config/lun/lun_0/statistics/scsi_port/indx";
constexpr uint16_t kOutsidePort = 54321;

bool printable(std::string_view text) {
  for (const char c : text)
    if (c < 0x20 || c > 0x7e) return false;
  return true;
}

std::vector<std::string> all_files() {
  std::vector<std::string> files{std::string(kPort)};
  for (const File& file : kOfDevice) files.push_back(std::string(kDevice) + std::string(file.path));
  for (const std::string_view group : kGroups)
    for (const File& file : kOfGroup)
      files.push_back(std::string(kDevice) + std::string(group) + std::string(file.path));
  files.emplace_back(kEnable);
  return files;
}

void write_good(kernel::FakeRoot& root) {
  root.write(kPort, "7\n");
  root.write(kEnable, "1\n");
  root.write(kOutside, std::to_string(kOutsidePort));
  for (const File& file : kOfDevice)
    root.write(std::string(kDevice) + std::string(file.path), file.content);
  for (const std::string_view group : kGroups)
    for (const File& file : kOfGroup)
      root.write(std::string(kDevice) + std::string(group) + std::string(file.path), file.content);
}

}  // namespace

void configfs(Bytes bytes) {
  static kernel::FakeRoot root;
  static const std::vector<std::string> files = all_files();
  static const bool written = (write_good(root), true);
  CHECK(written);

  // Each record: file, length (from 240 on in larger steps), content; 255: the file is missing.
  Input input(bytes);
  std::vector<std::pair<std::string, std::string>> before;
  while (!input.empty() && before.size() < files.size()) {
    const std::string& file = files[input.below(static_cast<uint32_t>(files.size()))];
    const uint8_t length = input.byte();
    before.emplace_back(file, root.read(file));
    if (length == 255)
      root.remove(file);
    else
      root.write(file, input.text(length < 240 ? length : (length - 239) * 290));
  }

  const kernel::ConfigfsDevice disk({.hba = "user_0", .device = "disk", .dev_config = ""},
                                    root.path());
  for (const std::string_view name : {"hw_block_size", "dev_size"}) {
    const auto value = disk.attribute(name);
    CHECK(value || is_message(value.error()));
  }
  if (const auto facts = disk.read_target_facts()) {
    CHECK(printable(facts->unit_serial) && printable(facts->vendor));
    CHECK(printable(facts->product) && printable(facts->revision));
    CHECK(facts->groups.size() <= kGroups.size());
    for (const scsi::PortGroup& group : facts->groups) {
      CHECK(group.access_state <= 0xf && group.status_code <= 2);
      for (const uint16_t port : group.relative_ports) CHECK(port != 0 && port != kOutsidePort);
      CHECK(std::ranges::includes(group.relative_ports, group.enabled_ports));
    }
  } else {
    CHECK(is_message(facts.error()));
  }

  for (auto record = before.rbegin(); record != before.rend(); ++record)
    root.write(record->first, record->second);
}

}  // namespace tcmurbd::fuzz
