// SPDX-License-Identifier: Apache-2.0
// tcmu-rbdctl metrics: the daemon's metrics as text, for people and for node_exporter's textfile
// collector. Blocks on the socket and on a file.
#include <expected>
#include <iostream>
#include <memory>
#include <string>

#include "common/replace_file.h"
#include "rbd_handler/ctl/ask.h"
#include "rbd_handler/ctl/command.h"

namespace tcmurbd {
namespace {

std::expected<std::string, std::string> read_metrics(const std::string& socket) {
  auto text = ask(socket, "metrics");
  if (!text || text->ends_with("\n# EOF\n")) return text;
  if (text->starts_with("{"))
    return std::unexpected("the daemon is of another version and has no metrics");
  return std::unexpected("the daemon's reply is not complete (did it exit meanwhile?)");
}

// Prints them, or replaces the file `output` with them if it is not empty; a reader of the file
// never sees a part. Without a whole answer of the daemon nothing is printed or changed.
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
  return done ? 0 : complain(done.error());
}

}  // namespace

void add_metrics(CommandLine& line) {
  const auto output = std::make_shared<std::string>();
  CLI::App* const command =
      line.add("metrics", "print the daemon's metrics in the text format of Prometheus",
               [&line, output] { return write_metrics(line.socket, *output); });
  command->add_option("--output", *output, "replace this file with them, for a textfile collector");
}

}  // namespace tcmurbd
