// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/ceph/op_slots.h"

#include "common/check.h"

namespace tcmurbd::ceph {

OpSlots::OpSlots(RbdImage* image) {
  for (OpSlot& slot : slots_) {
    slot.image = image;
    put_back(slot);
  }
}

OpSlot* OpSlots::take() {
  OpSlot* slot = nullptr;
  return free_.pop(slot) ? slot : nullptr;
}

void OpSlots::put_back(OpSlot& slot) {
  slot.bounce.reset();
  CHECK(free_.push(&slot));
}

void OpSlots::give_up(OpToken token) {
  for (OpSlot& slot : slots_)
    if (slot.token == token) slot.given_up.store(true, std::memory_order_release);
}

}  // namespace tcmurbd::ceph
