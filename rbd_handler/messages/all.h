// SPDX-License-Identifier: Apache-2.0
// All messages of the daemon, each with its meaning and what to do. The text at each call, the
// journal's MESSAGE_ID, its catalog (packaging/systemd/tcmu-rbd.catalog) and the table in
// packaging/OPERATING.md are made of them; tests/unit/messages_test.cc writes the last two. The id
// of a message stays with it for good, however its text changes.
#pragma once

#include <array>
#include <span>
#include <string_view>

#include "rbd_handler/messages/commands.h"
#include "rbd_handler/messages/daemon.h"
#include "rbd_handler/messages/lock.h"
#include "rbd_handler/messages/lun.h"

namespace tcmurbd::messages {

struct Group {
  std::string_view title;
  std::span<const LogMessage* const> messages;
};

inline constexpr std::array kAll{
    Group{"Commands", kOfCommands},
    Group{"The exclusive lock and fences", kOfLock},
    Group{"Devices", kOfLun},
    Group{"The daemon", kOfDaemon},
};

}  // namespace tcmurbd::messages
