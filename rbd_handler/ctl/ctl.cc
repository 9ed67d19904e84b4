// SPDX-License-Identifier: Apache-2.0
// tcmu-rbdctl: asks the daemon over its control socket, and prepares a gateway for it. Each
// subcommand has a file of its own.
#include <exception>
#include <nlohmann/json.hpp>

#include "config/config.h"
#include "rbd_handler/ctl/command.h"

namespace tcmurbd {
namespace {

int run(int argc, char** argv) {
  CLI::App app("Queries a running tcmu-rbd daemon, and prepares a gateway for it.", "tcmu-rbdctl");
  app.set_version_flag("--version", TCMU_RBD_VERSION);
  CommandLine line{.app = app, .socket = Config{}.paths.control_socket};
  const CLI::Option* const socket =
      app.add_option("--socket", line.socket, "the daemon's control socket")->capture_default_str();
  add_status(line);
  add_top(line);
  add_iostat(line);
  add_ops(line);
  add_slow(line);
  add_hist(line);
  add_trace(line);
  add_explain(line);
  add_fences(line);
  add_lock(line);
  add_check(line);
  add_import_config(line);
  add_metrics(line);
  app.require_subcommand(1);
  CLI11_PARSE(app, argc, argv);
  line.socket_named = socket->count() != 0;
  return line.chosen();
}

}  // namespace
}  // namespace tcmurbd

int main(int argc, char** argv) {
  try {
    return tcmurbd::run(argc, argv);
  } catch (const nlohmann::json::exception& error) {
    return tcmurbd::complain(
        std::string("the daemon's reply is not as expected, is it of another version? ") +
        error.what());
  } catch (const std::exception& error) {
    return tcmurbd::complain(error.what());
  }
}
