// SPDX-License-Identifier: Apache-2.0
#include "common/check.h"
#include "rbd_handler/kernel/device_name.h"
#include "rbd_handler/kernel/netlink_event.h"
#include "tests/fuzz/input.h"
#include "tests/fuzz/targets.h"

namespace tcmurbd::fuzz {

void netlink(Bytes input) {
  const auto event = kernel::decode_event(input);
  if (!event) {
    CHECK(is_message(event.error()));
    return;
  }
  CHECK((event->kind == kernel::DeviceEvent::Kind::kReconfigured) == (event->change.index() != 0));
  CHECK(event->device.size() < input.size());
  const auto name = kernel::parse_device_name(event->device);
  if (!name) return;
  CHECK(name->hba.starts_with("user_") && name->hba.find('/') == std::string::npos);
  CHECK(name->device.find('/') == std::string::npos && name->device != ".." && name->device != ".");
}

}  // namespace tcmurbd::fuzz
