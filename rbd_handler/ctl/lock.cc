// SPDX-License-Identifier: Apache-2.0
// tcmu-rbdctl lock release: has the exclusive lock of an image given up.
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>

#include "rbd_handler/ctl/ask.h"
#include "rbd_handler/ctl/command.h"
#include "rbd_handler/ctl/views.h"

namespace tcmurbd {
namespace {

// 0 if this gateway does not hold the lock afterwards.
int release(const std::string& socket, const std::string& lun, bool as_json) {
  const auto answer = ask_json(socket, "release-lock " + lun);
  if (!answer) return complain(answer.error());
  std::cout << (as_json ? answer->dump(2) + "\n" : release_text(*answer)) << std::flush;
  const std::string outcome = answer->at("outcome");
  return outcome == "released" || outcome == "not-owner" ? 0 : 1;
}

}  // namespace

void add_lock(CommandLine& line) {
  struct Options {
    std::string lun{};
    bool as_json = false;
  };
  const auto options = std::make_shared<Options>();
  CLI::App* const lock = line.app.add_subcommand("lock", "the exclusive lock of an image");
  lock->require_subcommand(1);
  CLI::App* const command =
      lock->add_subcommand("release", "release it when the ops in flight have ended; never fences");
  command->callback([&line, options] {
    line.chosen = [&line, options] { return release(line.socket, options->lun, options->as_json); };
  });
  add_lun_name(*command, options->lun, LunName::kRequired);
  add_json_flag(*command, options->as_json);
}

}  // namespace tcmurbd
