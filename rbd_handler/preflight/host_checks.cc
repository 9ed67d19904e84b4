// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <string_view>
#include <utility>

#include "rbd_handler/preflight/check_parts.h"

namespace tcmurbd::preflight {
namespace {

// Linux releases. Notifications of task management: bc2d214af5db. Kept buffers: the series of 2021.
constexpr std::pair kTmrRelease{5, 9};
constexpr std::pair kKeepRelease{5, 14};

// "6.1.176-amd64" is 6.1; no value for text without two numbers.
std::optional<std::pair<int, int>> release_of(std::string_view text) {
  int major = 0;
  int minor = 0;
  const auto first = std::from_chars(text.data(), text.data() + text.size(), major);
  if (first.ec != std::errc{} || first.ptr == text.data() + text.size() || *first.ptr != '.')
    return std::nullopt;
  const auto second = std::from_chars(first.ptr + 1, text.data() + text.size(), minor);
  if (second.ec != std::errc{}) return std::nullopt;
  return std::pair{major, minor};
}

bool at_least(const Facts& facts, std::pair<int, int> release) {
  const auto ours = release_of(facts.kernel.release);
  return ours && *ours >= release;
}

std::string listed(const std::vector<OtherDaemon>& daemons) {
  std::string text;
  for (const OtherDaemon& daemon : daemons)
    text += fmt::format("{}{} (pid {})", text.empty() ? "" : ", ", daemon.name, daemon.pid);
  return text;
}

}  // namespace

Findings check_settings(const Facts& facts) {
  const SettingsFacts& settings = facts.settings;
  if (!settings.error.empty())
    return {fail(settings.error, "correct it: the daemon does not start with these settings")};
  if (!settings.exists) return {ok(fmt::format("no {}: the defaults apply", settings.path))};
  return {ok(fmt::format("{} is valid", settings.path))};
}

Findings check_kernel(const Facts& facts) {
  const std::string found = "Linux " + facts.kernel.release;
  if (at_least(facts, kTmrRelease)) return {ok(found)};
  return {warn(found, "use Linux 5.9 or later: older ones do not report aborts to the daemon")};
}

Findings check_module(const Facts& facts) {
  switch (facts.kernel.module) {
    case ModuleState::kLoaded:
      return {ok("target_core_user is loaded")};
    case ModuleState::kLoadable:
      return {ok("target_core_user is not loaded; the service loads it at its start")};
    case ModuleState::kAbsent:
      break;
  }
  return {fail(fmt::format("the kernel {} has no module target_core_user", facts.kernel.release),
               "install a kernel with it (Debian: not a cloud kernel)")};
}

Findings check_configfs(const Facts& facts) {
  if (facts.kernel.configfs) return {ok("mounted at /sys/kernel/config")};
  return {fail("configfs is not mounted at /sys/kernel/config",
               "start sys-kernel-config.mount, or mount -t configfs configfs /sys/kernel/config")};
}

Findings check_aborts(const Facts& facts) {
  Findings all;
  for (const DeviceFacts& device : facts.devices) {
    if (!device.tmr_notification) {
      all.push_back(
          warn(fmt::format("{}: the kernel does not report aborts and LUN resets", device.name),
               "use Linux 5.9 or later; until then an abort waits for the command's deadline"));
    } else if (*device.tmr_notification != 0 && !facts.other_daemons.empty()) {
      all.push_back(
          fail(fmt::format("{}: tmr_notification is {}, and {} does not understand the "
                           "notifications: it stops serving at the first abort",
                           device.name, *device.tmr_notification, listed(facts.other_daemons)),
               fmt::format("write 0 to /sys/kernel/config/target/core/{}/attrib/"
                           "tmr_notification",
                           device.name)));
    }
  }
  if (!all.empty()) return all;
  if (!facts.devices.empty()) return {ok("the kernel reports aborts and LUN resets")};
  if (at_least(facts, kTmrRelease))
    return {ok("by its release, the kernel reports aborts and LUN resets")};
  return {warn("by its release, the kernel does not report aborts and LUN resets",
               "use Linux 5.9 or later")};
}

Findings check_kept_buffers(const Facts& facts) {
  const bool known = !facts.devices.empty();
  const bool has = known ? std::ranges::all_of(facts.devices, &DeviceFacts::keep_buffers)
                         : at_least(facts, kKeepRelease);
  const std::string_view by = known ? "" : "by its release, ";
  if (has) return {ok(fmt::format("{}the kernel has KEEP_BUF", by))};
  return {warn(fmt::format("{}the kernel has no KEEP_BUF: reads are copied once more", by),
               "use Linux 5.15 or later")};
}

Findings check_limits(const Facts& facts) {
  const LimitFacts& limits = facts.limits;
  const std::string_view whose = limits.of_daemon ? "the daemon" : "this shell";
  if (limits.shortage.empty())
    return {ok(fmt::format("{} has room for {} client instances{}", whose, limits.instances,
                           limits.of_daemon ? " more" : ""))};
  if (limits.of_daemon) return {fail("the daemon: " + limits.shortage, "")};
  return {warn("this shell: " + limits.shortage,
               "the systemd unit raises its own limits: check again with the daemon running")};
}

Findings check_daemon(const Facts& facts) {
  if (!facts.daemon) return {ok("tcmu-rbd is not running: " + facts.daemon_error)};
  Findings all;
  for (const DaemonFacts::Lun& lun : facts.daemon->luns) {
    if (lun.state != "serving")
      all.push_back(warn(fmt::format("{} is {}", lun.name, lun.state),
                         "if it stays so, see the daemon's log"));
    if (!lun.writes.empty() && lun.writes != "served" && lun.writes != "read_only")
      all.push_back(
          warn(fmt::format("{} refuses writes ({})", lun.name, lun.writes),
               fmt::format("`tcmu-rbdctl explain {}` and the daemon's log say why", lun.name)));
    for (const std::string& warning : lun.warnings)
      all.push_back(warn(fmt::format("{}: {}", lun.name, warning), ""));
  }
  if (all.empty())
    all.push_back(
        ok(fmt::format("tcmu-rbd {} runs with pid {} and serves {} devices", facts.daemon->version,
                       facts.daemon->pid, facts.daemon->luns.size())));
  return all;
}

Findings check_handlers(const Facts& facts) {
  if (facts.other_daemons.empty()) return {ok("no tcmu-runner is running")};
  const std::string found = listed(facts.other_daemons) + " is running";
  if (facts.daemon)
    return {fail(found + " beside tcmu-rbd: each takes devices that the other should serve",
                 "stop it and disable its service")};
  return {warn(found, "before tcmu-rbd starts it must stop; the package sees to it")};
}

}  // namespace tcmurbd::preflight
