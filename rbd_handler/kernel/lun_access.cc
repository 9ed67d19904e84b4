// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/kernel/lun_access.h"

#include <filesystem>
#include <map>
#include <vector>

#include "rbd_handler/kernel/small_file.h"

namespace tcmurbd::kernel {
namespace {

namespace fs = std::filesystem;

// All initiators of a fabric.
constexpr const char* kEverybody = "*";

struct Reached {
  bool from = false;
  bool to = false;  // At least as required.
};
// By fabric and initiator.
using ReachedBy = std::map<std::pair<std::string, std::string>, Reached>;

std::vector<fs::path> subdirectories(const fs::path& path) {
  std::vector<fs::path> found;
  std::error_code error;
  for (fs::directory_iterator entry(path, error); !error && entry != fs::directory_iterator();
       entry.increment(error)) {
    if (entry->is_directory(error) && !entry->is_symlink(error)) found.push_back(entry->path());
  }
  return found;
}

// The target of the only symbolic link in `path`, as "PARENT/NAME"; empty: none.
std::pair<std::string, std::string> linked(const fs::path& path) {
  std::error_code error;
  for (fs::directory_iterator entry(path, error); !error && entry != fs::directory_iterator();
       entry.increment(error)) {
    if (!entry->is_symlink(error)) continue;
    const fs::path target = fs::read_symlink(entry->path(), error);
    if (!error) return {target.parent_path().filename(), target.filename()};
  }
  return {};
}

// An attribute that is missing or not a number has the safe value `otherwise`.
bool attribute(const fs::path& path, bool otherwise) {
  const auto text = read_small_file(path.string());
  if (!text) return otherwise;
  const auto value = parse_number(*text, path.string());
  return value ? *value != 0 : otherwise;
}

class Walk {
 public:
  Walk(const DeviceName& from, const DeviceName& to, Reach reach)
      : from_(from), to_(to), reach_(reach) {}

  void portal_group(const std::string& fabric, const fs::path& path) {
    std::map<std::string, Reached> luns;
    for (const fs::path& lun : subdirectories(path / "lun")) {
      const auto [hba, device] = linked(lun);
      luns[lun.filename()] = {.from = hba == from_.hba && device == from_.device,
                              .to = hba == to_.hba && device == to_.device};
    }
    const auto nodes = subdirectories(path / "acls");
    // Fabrics without a demo mode are open to all (loopback, vhost) or use only ACLs (SRP).
    const fs::path demo = path / "attrib/generate_node_acls";
    std::error_code error;
    const bool has_demo = fs::exists(demo, error) || error;
    if (has_demo ? attribute(demo, true) : nodes.empty()) {
      const bool protects = has_demo && attribute(path / "attrib/demo_mode_write_protect", true);
      for (const auto& [name, lun] : luns) note(fabric, kEverybody, lun, protects);
    }
    for (const fs::path& node : nodes) {
      for (const fs::path& mapped : subdirectories(node)) {
        const auto lun = luns.find(linked(mapped).second);
        if (lun == luns.end()) continue;
        note(fabric, node.filename(), lun->second, attribute(mapped / "write_protect", true));
      }
    }
  }

  bool all() const {
    bool anybody = false;
    for (const auto& [who, reached] : by_) {
      if (!reached.from) continue;
      anybody = true;
      const auto everybody = by_.find({who.first, kEverybody});
      if (!reached.to && (everybody == by_.end() || !everybody->second.to)) return false;
    }
    return anybody;
  }

 private:
  void note(const std::string& fabric, const std::string& node, const Reached& lun,
            bool write_protected) {
    Reached& reached = by_[{fabric, node}];
    reached.from |= lun.from;
    reached.to |= lun.to && (reach_ == Reach::kRead || !write_protected);
  }

  const DeviceName& from_;
  const DeviceName& to_;
  const Reach reach_;
  ReachedBy by_;
};

}  // namespace

bool all_reach(const DeviceName& from, const DeviceName& to, Reach reach, const std::string& root) {
  Walk walk(from, to, reach);
  for (const fs::path& fabric : subdirectories(below(root, "/sys/kernel/config/target"))) {
    if (fabric.filename() == "core") continue;
    for (const fs::path& target : subdirectories(fabric)) {
      for (const fs::path& group : subdirectories(target))
        walk.portal_group(fabric.filename(), group);
    }
  }
  return walk.all();
}

}  // namespace tcmurbd::kernel
