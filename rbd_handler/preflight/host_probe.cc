// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <sys/resource.h>

#include <charconv>
#include <filesystem>
#include <fstream>
#include <system_error>

#include "rbd_handler/ceph/headroom.h"
#include "rbd_handler/ceph/service_entry.h"
#include "rbd_handler/kernel/small_file.h"
#include "rbd_handler/preflight/probes.h"

namespace tcmurbd::preflight {
namespace {

namespace fs = std::filesystem;
using kernel::below;

constexpr std::string_view kOther = "tcmu-runner";

bool has_line_with(const std::string& path, std::string_view what) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);)
    if (line.find(what) != line.npos) return true;
  return false;
}

ModuleState module_state(const std::string& root, const std::string& release) {
  std::error_code error;
  if (fs::exists(below(root, "/sys/module/target_core_user"), error)) return ModuleState::kLoaded;
  for (const char* list : {"modules.dep", "modules.builtin"})
    if (has_line_with(below(root, fmt::format("/lib/modules/{}/{}", release, list)),
                      "/target_core_user.ko"))
      return ModuleState::kLoadable;
  return ModuleState::kAbsent;
}

}  // namespace

std::string probe_host_name() { return ceph::host_name(); }

KernelFacts probe_kernel(const std::string& root) {
  KernelFacts facts;
  if (auto release = kernel::read_small_file(below(root, "/proc/sys/kernel/osrelease")); release)
    facts.release = *release;
  facts.module = module_state(root, facts.release);
  facts.configfs = has_line_with(below(root, "/proc/mounts"), " /sys/kernel/config configfs ");
  return facts;
}

std::vector<OtherDaemon> probe_other_daemons(const std::string& root) {
  std::vector<OtherDaemon> found;
  std::error_code error;
  for (fs::directory_iterator entry(below(root, "/proc"), error);
       !error && entry != fs::directory_iterator(); entry.increment(error)) {
    const std::string name = entry->path().filename();
    int pid = 0;
    const auto [end, bad] = std::from_chars(name.data(), name.data() + name.size(), pid);
    if (bad != std::errc{} || end != name.data() + name.size()) continue;
    const auto command = kernel::read_small_file(entry->path() / "comm");
    if (!command || *command != kOther) continue;
    // The link /usr/bin/tcmu-runner of our package leads to tcmu-rbd, perhaps "(deleted)" by an
    // upgrade.
    std::error_code unreadable;
    const fs::path program = fs::read_symlink(entry->path() / "exe", unreadable);
    if (program.filename().string().starts_with("tcmu-rbd")) continue;
    found.push_back({.pid = pid, .name = *command});
  }
  return found;
}

LimitFacts probe_limits(int64_t daemon_pid, uint64_t instances) {
  LimitFacts facts{.of_daemon = daemon_pid != 0, .instances = instances};
  if (!facts.of_daemon) {
    // As the daemon does at its start.
    rlimit files{};
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
      files.rlim_cur = files.rlim_max;
      setrlimit(RLIMIT_NOFILE, &files);
    }
  }
  const std::string process = facts.of_daemon ? fmt::format("{}", daemon_pid) : "self";
  const auto room = ceph::Headroom("/", process).check(instances);
  if (!room) facts.shortage = room.error();
  return facts;
}

}  // namespace tcmurbd::preflight
