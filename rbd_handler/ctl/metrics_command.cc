// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/ctl/metrics_command.h"

#include <expected>
#include <iostream>

#include "common/replace_file.h"
#include "rbd_handler/ctl/ask.h"

namespace tcmurbd {
namespace {

std::expected<std::string, std::string> read_metrics(const std::string& socket) {
  auto text = ask(socket, "metrics");
  if (!text || text->ends_with("\n# EOF\n")) return text;
  if (text->starts_with("{"))
    return std::unexpected("the daemon is of another version and has no metrics");
  return std::unexpected("the daemon's reply is not complete (did it exit meanwhile?)");
}

}  // namespace

int write_metrics(const std::string& socket, const std::string& output) {
  const auto text = read_metrics(socket);
  std::expected<void, std::string> done;
  if (!text) {
    done = std::unexpected(text.error());
  } else if (!output.empty()) {
    done = replace_file(output, *text);
  } else if (!(std::cout << *text << std::flush)) {
    done = std::unexpected("cannot write to the standard output");
  }
  if (done) return 0;
  std::cerr << "tcmu-rbdctl: " << done.error() << "\n";
  return 1;
}

}  // namespace tcmurbd
