// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/ceph/headroom.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <filesystem>
#include <optional>
#include <sstream>
#include <string_view>
#include <system_error>

#include "common/unique_fd.h"

namespace tcmurbd::ceph {
namespace {

namespace fs = std::filesystem;

// Bits of CapEff (linux/capability.h): a process with one of these, or of root, is exempt from
// RLIMIT_NPROC (copy_process in kernel/fork.c).
constexpr uint64_t kExempt = (uint64_t{1} << 21) | (uint64_t{1} << 24);  // SYS_ADMIN, SYS_RESOURCE

// A failure to open a file for lack of descriptors must not look like a missing limit.
void check_descriptors(int error) {
  if (error == EMFILE || error == ENFILE || error == ENOMEM)
    throw std::system_error(error, std::generic_category());
}

// Empty: the file does not exist, so there is no limit.
std::string content(const std::string& path) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) {
    check_descriptors(errno);
    return "";
  }
  std::string text;
  std::array<char, 4096> buffer;
  while (true) {
    const ssize_t got = ::read(fd.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return text;
    text.append(buffer.data(), static_cast<size_t>(got));
  }
}

// The names in a directory.
std::vector<std::string> names_in(const std::string& path) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator entry(path, error); !error && entry != fs::directory_iterator();
       entry.increment(error))
    names.push_back(entry->path().filename());
  check_descriptors(error.value());
  return names;
}

// The first number of a text. No value for "max", "unlimited" and invalid text: no limit.
std::optional<uint64_t> number(std::string_view text, int base = 10) {
  const size_t begin = text.find_first_not_of(" \t");
  if (begin == text.npos) return std::nullopt;
  uint64_t value = 0;
  const auto [end, error] =
      std::from_chars(text.data() + begin, text.data() + text.size(), value, base);
  if (error != std::errc{}) return std::nullopt;
  return value;
}

// The text after `key` at the begin of a line.
std::string_view field(std::string_view text, std::string_view key) {
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    const std::string_view line = text.substr(at, end - at);
    if (line.starts_with(key)) return line.substr(key.size());
    at = end + 1;
  }
  return {};
}

uint64_t missing(uint64_t wanted, uint64_t there) { return wanted > there ? wanted - there : 0; }

}  // namespace

Headroom::Headroom(std::string root, const std::string& process)
    : root_(root.ends_with('/') ? root.substr(0, root.size() - 1) : std::move(root)),
      proc_(fmt::format("{}/proc/{}", root_, process)),
      base_(used_by_us()) {}

Headroom& Headroom::of_process() {
  static auto* headroom = new Headroom();  // Instances outlive the destruction of statics.
  return *headroom;
}

Headroom::Place::~Place() {
  if (headroom_ != nullptr) --headroom_->instances_;
}

// Each call counts itself first, then checks with the instances counted before: of two concurrent
// calls, the first one gets the last slot.
std::expected<Headroom::Place, std::string> Headroom::take() {
  const size_t before = instances_++;
  Place place(*this);
  if (auto room = check_beside(before, 1); !room) return std::unexpected(room.error());
  return place;
}

std::expected<void, std::string> Headroom::check(size_t instances) const {
  return check_beside(instances_, instances);
}

std::expected<void, std::string> Headroom::check_beside(size_t there, size_t instances) const {
  try {
    return compare(there, instances);
  } catch (const std::system_error& error) {
    return std::unexpected(fmt::format(
        "no room for another client instance: cannot read the limits: {}; raise RLIMIT_NOFILE "
        "(LimitNOFILE)",
        error.code().message()));
  }
}

std::expected<void, std::string> Headroom::compare(size_t there, size_t instances) const {
  if (there + instances > kInstancesInAllMax)
    return std::unexpected(
        fmt::format("{} client instances exist, including those with hung ops; the maximum is {}",
                    there, kInstancesInAllMax));
  const Amounts ours = used_by_us();
  const auto needed = [&](uint64_t Amounts::* of) {
    const uint64_t promised = missing(base_.*of + there * (kPerInstance.*of), ours.*of);
    return promised + instances * (kPerInstance.*of) + kSpare.*of;
  };
  for (const auto& [limits, of] : {std::pair{thread_limits(), &Amounts::threads},
                                   std::pair{descriptor_limits(ours), &Amounts::descriptors},
                                   std::pair{memory_limits(), &Amounts::bytes}}) {
    for (const Limit& limit : limits) {
      const uint64_t left = missing(limit.most, limit.used);
      if (left >= needed(of)) continue;
      return std::unexpected(fmt::format(
          "no room for {} more client instance{}: {} {} are left of {}, {} are needed; raise {}",
          instances, instances == 1 ? "" : "s", left, limit.what, limit.most, needed(of),
          limit.raise));
    }
  }
  return {};
}

Amounts Headroom::used_by_us() const {
  const std::string status = content(proc_ + "/status");
  Amounts used;
  used.threads = number(field(status, "Threads:")).value_or(0);
  used.bytes = number(field(status, "VmRSS:")).value_or(0) * kKiB;
  used.descriptors = names_in(proc_ + "/fd").size();
  return used;
}

std::vector<Headroom::Limit> Headroom::thread_limits() const {
  std::vector<Limit> limits;
  const std::string status = content(proc_ + "/status");
  const uint64_t user = number(field(status, "Uid:")).value_or(0);
  const uint64_t capabilities = number(field(status, "CapEff:"), 16).value_or(0);
  const auto most = number(field(content(proc_ + "/limits"), "Max processes"));
  if (most && user != 0 && (capabilities & kExempt) == 0)
    limits.push_back({"threads", threads_of_user(user), *most,
                      fmt::format("RLIMIT_NPROC of user {} (LimitNPROC)", user)});
  // "0.00 0.00 0.00 RUNNING/ALL LAST": all threads of the machine.
  const std::string load = content(root_ + "/proc/loadavg");
  const size_t slash = std::min(load.find('/'), load.size());
  const uint64_t all =
      number(std::string_view(load).substr(std::min(slash + 1, load.size()))).value_or(0);
  for (const char* name : {"threads-max", "pid_max"})
    if (const auto max = number(content(fmt::format("{}/proc/sys/kernel/{}", root_, name))))
      limits.push_back({"threads", all, *max, fmt::format("kernel.{}", name)});
  for (const auto& [name, path] : cgroups("pids"))
    if (const auto max = number(content(path + "/pids.max")))
      limits.push_back({"threads", number(content(path + "/pids.current")).value_or(0), *max,
                        fmt::format("pids.max of the cgroup {} (TasksMax)", name)});
  return limits;
}

uint64_t Headroom::threads_of_user(uint64_t user) const {
  uint64_t threads = 0;
  for (const std::string& name : names_in(root_ + "/proc")) {
    if (!number(name)) continue;
    const std::string status = content(fmt::format("{}/proc/{}/status", root_, name));
    if (number(field(status, "Uid:")) == user)
      threads += number(field(status, "Threads:")).value_or(0);
  }
  return threads;
}

std::vector<Headroom::Limit> Headroom::descriptor_limits(const Amounts& ours) const {
  const auto most = number(field(content(proc_ + "/limits"), "Max open files"));
  if (!most) return {};
  return {{"descriptors", ours.descriptors, *most, "RLIMIT_NOFILE (LimitNOFILE)"}};
}

std::vector<Headroom::Limit> Headroom::memory_limits() const {
  std::vector<Limit> limits;
  for (const auto& [name, path] : cgroups("memory")) {
    const bool v1 = fs::exists(path + "/memory.limit_in_bytes");
    const auto most = number(content(path + (v1 ? "/memory.limit_in_bytes" : "/memory.max")));
    if (!most) continue;
    const auto used = number(content(path + (v1 ? "/memory.usage_in_bytes" : "/memory.current")));
    // The page cache can be reclaimed.
    const std::string statistics = content(path + "/memory.stat");
    const auto cache = number(field(statistics, v1 ? "total_inactive_file " : "inactive_file "));
    limits.push_back({"bytes", missing(used.value_or(0), cache.value_or(0)), *most,
                      fmt::format("the memory limit of the cgroup {} (MemoryMax)", name)});
  }
  const std::string memory = content(root_ + "/proc/meminfo");
  const auto available = number(field(memory, "MemAvailable:"));
  const auto all = number(field(memory, "MemTotal:"));
  if (available && all)
    limits.push_back(
        {"bytes", missing(*all, *available) * kKiB, *all * kKiB, "the machine's memory"});
  return limits;
}

// The cgroup of this process that has `controller`, and its ancestors: names and directories.
std::vector<std::pair<std::string, std::string>> Headroom::cgroups(
    const std::string& controller) const {
  std::vector<std::pair<std::string, std::string>> found;
  std::istringstream lines(content(proc_ + "/cgroup"));
  for (std::string line; std::getline(lines, line);) {
    // "HIERARCHY:CONTROLLERS:PATH"; version 2 has no controllers here.
    const size_t first = line.find(':');
    const size_t second = line.find(':', first == line.npos ? first : first + 1);
    if (second == line.npos) continue;
    const std::string names = fmt::format(",{},", line.substr(first + 1, second - first - 1));
    std::string mount = root_ + "/sys/fs/cgroup";
    if (names == ",,") {
      if (fs::exists(mount + "/unified")) mount += "/unified";
    } else if (names.find(fmt::format(",{},", controller)) != names.npos) {
      mount += "/" + controller;
    } else {
      continue;
    }
    for (std::string path = line.substr(second + 1); path.size() > 1;
         path.erase(std::max<size_t>(path.rfind('/'), 0)))
      found.emplace_back(path, mount + path);
    found.emplace_back("/", mount);
  }
  return found;
}

}  // namespace tcmurbd::ceph
