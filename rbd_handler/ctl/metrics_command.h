// SPDX-License-Identifier: Apache-2.0
// tcmu-rbdctl metrics: the daemon's metrics as text, for people and for node_exporter's textfile
// collector. Blocks on the socket and on a file.
#pragma once

#include <string>

namespace tcmurbd {

// Prints them, or replaces the file `output` with them if it is not empty; a reader of the file
// never sees a part. Without a whole answer of the daemon nothing is printed or changed. Returns
// the exit status: 0, or 1 after an error, which is one line on stderr.
int write_metrics(const std::string& socket, const std::string& output);

}  // namespace tcmurbd
