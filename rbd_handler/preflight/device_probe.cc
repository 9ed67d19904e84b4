// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <sstream>
#include <system_error>

#include "rbd_handler/kernel/configfs.h"
#include "rbd_handler/kernel/small_file.h"
#include "rbd_handler/kernel/uio.h"
#include "rbd_handler/preflight/probes.h"

namespace tcmurbd::preflight {
namespace {

namespace fs = std::filesystem;
using kernel::below;

std::vector<fs::path> entries(const fs::path& path) {
  std::vector<fs::path> found;
  std::error_code error;
  for (fs::directory_iterator entry(path, error); !error && entry != fs::directory_iterator();
       entry.increment(error))
    found.push_back(entry->path());
  return found;
}

bool exports(const fs::path& group, const kernel::DeviceName& device) {
  for (const fs::path& lun : entries(group / "lun")) {
    for (const fs::path& entry : entries(lun)) {
      std::error_code error;
      const fs::path target = fs::read_symlink(entry, error);
      if (!error && target.filename() == device.device &&
          target.parent_path().filename() == device.hba)
        return true;
    }
  }
  return false;
}

void note_depth(const fs::path& path, std::optional<int64_t>& depth) {
  const auto text = kernel::read_small_file(path);
  if (!text) return;
  const auto value = kernel::parse_number(*text, path.string());
  if (value) depth = std::max(depth.value_or(0), *value);
}

// Of the initiators that have an ACL, and of all others.
std::optional<int64_t> depth_of(const kernel::DeviceName& device, const std::string& root) {
  std::optional<int64_t> depth;
  for (const fs::path& target : entries(below(root, "/sys/kernel/config/target/iscsi"))) {
    for (const fs::path& group : entries(target)) {
      if (!exports(group, device)) continue;
      note_depth(group / "attrib/default_cmdsn_depth", depth);
      for (const fs::path& node : entries(group / "acls")) note_depth(node / "cmdsn_depth", depth);
    }
  }
  return depth;
}

// As target_core_configfs.c writes them: "SPC-3 Reservation: iSCSI Initiator: ...", or "No SPC-3
// Reservation holder"; a title and one line for each registration, or "None".
void read_reservations(const std::string& path, DeviceFacts& facts) {
  const auto holder = kernel::read_small_file(path + "/pr/res_holder");
  if (holder && holder->starts_with("SPC-")) facts.reservation = *holder;
  const auto registrations = kernel::read_small_file(path + "/pr/res_pr_registered_i_pts");
  if (!registrations) return;
  std::istringstream lines(*registrations);
  std::string line;
  std::getline(lines, line);
  while (std::getline(lines, line))
    if (!line.empty() && line != "None") ++facts.registrations;
}

DeviceFacts read_device(const kernel::DeviceName& name, const std::string& root) {
  const kernel::ConfigfsDevice configfs(name, root);
  DeviceFacts facts{.name = fmt::format("{}/{}", name.hba, name.device),
                    .dev_config = name.dev_config,
                    .subtype = std::string(name.subtype())};
  if (name.is_rbd()) {
    const auto spec = parse_dev_config(name.dev_config);
    if (!spec) facts.spec_error = spec.error();
  }
  for (const auto& [attribute, value] :
       {std::pair{"tmr_notification", &facts.tmr_notification},
        std::pair{"hw_block_size", &facts.block_bytes},
        std::pair{"hw_max_sectors", &facts.max_blocks},
        std::pair{"max_data_area_mb", &facts.data_area_mb}, std::pair{"dev_size", &facts.bytes}})
    if (const auto read = configfs.attribute(attribute)) *value = *read;
  std::error_code error;
  facts.keep_buffers = fs::exists(configfs.path() + "/action/free_kept_buf", error);
  facts.depth = depth_of(name, root);
  read_reservations(configfs.path(), facts);
  return facts;
}

}  // namespace

std::expected<std::vector<DeviceFacts>, std::string> probe_devices(const std::string& root) {
  const auto entries = kernel::scan_uio(root);
  if (!entries) return std::unexpected(entries.error());
  std::vector<DeviceFacts> found;
  for (const kernel::UioEntry& entry : *entries) found.push_back(read_device(entry.name, root));
  return found;
}

}  // namespace tcmurbd::preflight
