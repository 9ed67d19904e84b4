// SPDX-License-Identifier: Apache-2.0
// tcmu-rbd: flags, config, the instance lock; then the Daemon. Exit codes: 0, 1 (could not start or
// serve), 78 (EX_CONFIG: the config is wrong), and CLI11's for wrong flags.
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sysexits.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <iostream>

#include "common/crash_dump.h"
#include "rbd_handler/daemon/crash_file.h"
#include "rbd_handler/daemon/daemon.h"
#include "rbd_handler/daemon/runner_flags.h"
#include "rbd_handler/kernel/lock_file.h"
#include "rbd_handler/messages/daemon.h"

namespace tcmurbd {
namespace {

// Time to write the last lines; a log without a reader must not block the exit.
constexpr std::chrono::seconds kLogPatience{1};

// The default file is optional: without it, the defaults apply. A file given by --config must
// exist.
std::expected<Config, std::string> read_config(const std::string& path, bool named,
                                               const RunnerFlags& flags) {
  std::expected<Config, std::string> config;
  if (named || access(path.c_str(), F_OK) == 0 || errno != ENOENT) config = load_config(path);
  if (config) flags.apply_to(*config);
  return config;
}

std::string version(bool as_runner) {
  const std::string own = "tcmu-rbd " TCMU_RBD_VERSION;
  return as_runner ? fmt::format("{} (in place of tcmu-runner {})", own, kRunnerVersion) : own;
}

void prepare_process(const RunnerFlags& flags) {
  signal(SIGPIPE, SIG_IGN);
  // A disk served by this daemon may be mounted on this host: memory allocations while serving it
  // must not cause writeback to it. Without CAP_SYS_RESOURCE this fails, and such a mount can
  // deadlock.
  prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0);
  // Each LUN's client instance has about twenty descriptors; the soft limit of 1024 allows about 40
  // LUNs.
  rlimit files{};
  if (getrlimit(RLIMIT_NOFILE, &files) != 0) return;
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  flags.apply_to(files);
  if (setrlimit(RLIMIT_NOFILE, &files) != 0) {
    Log().write<messages::kNoFiles>(files.rlim_max, std::strerror(errno));
  }
}

// Reports a crash of the last daemon. Returns the file to remove at the end; empty: there is none.
std::string arm_crash_file(const std::string& state_dir) {
  auto file = prepare_crash_file(state_dir);
  if (!file) {
    Log().write<messages::kNoCrashFile>(file.error());
    return {};
  }
  if (!file->kept.empty()) Log().write<messages::kCrashed>(file->reason, file->kept);
  arm_crash_dump(file->fd.release(), "tcmu-rbd " TCMU_RBD_VERSION);
  return file->path;
}

int run(int argc, char** argv) {
  const bool as_runner = argc > 0 && called_as_runner(argv[0]);
  CLI::App app("Serves LIO's TCMU devices of subtype rbd from Ceph RBD images.",
               as_runner ? "tcmu-runner" : "tcmu-rbd");
  app.set_version_flag(as_runner ? "-V,--version" : "--version", version(as_runner));
  std::string path = kConfigPathDefault;
  bool check_only = false;
  const CLI::Option* named =
      app.add_option("--config", path, "the YAML config file")->capture_default_str();
  app.add_flag("--check-config", check_only, "read the config, say what is wrong with it, and end");
  RunnerFlags flags;
  if (as_runner) flags.add_to(app);
  CLI11_PARSE(app, argc, argv);

  const auto config = read_config(path, named->count() != 0, flags);
  if (!config) {
    std::cerr << config.error() << "\n";
    return EX_CONFIG;
  }
  if (check_only) {
    const bool exists = named->count() != 0 || access(path.c_str(), F_OK) == 0;
    std::cout << path << (exists ? ": good\n" : " does not exist: the defaults apply\n");
    return 0;
  }
  Log::start(messages::kLinesLost);
  apply_log_settings(config->log);
  for (const std::string& line : flags.without_effect()) Log().write<messages::kNoEffect>(line);
  const auto lock = kernel::LockFile::acquire(config->paths.lock_file);
  const auto runner_lock = kernel::RunnerLock::acquire();
  if (!lock || !runner_lock) {
    Log().write<messages::kCannotStart>(lock ? runner_lock.error() : lock.error());
    Log::drain(kLogPatience);
    return 1;
  }
  prepare_process(flags);
  const SignalStack stack;
  const std::string crash_file = arm_crash_file(config->paths.state_dir);
  Daemon daemon(
      *config,
      [path, named = named->count() != 0, flags] { return read_config(path, named, flags); },
      DaemonPorts());
  const int code = daemon.run();
  // No destructors or exit handlers: threads may hang in librbd as long as an OSD does.
  unlink(config->paths.control_socket.c_str());
  if (!crash_file.empty()) unlink(crash_file.c_str());
  Log::drain(kLogPatience);
  _exit(code);
}

}  // namespace
}  // namespace tcmurbd

int main(int argc, char** argv) {
  try {
    return tcmurbd::run(argc, argv);
  } catch (const std::exception& error) {
    std::cerr << "tcmu-rbd: " << error.what() << "\n";
    return 1;
  }
}
