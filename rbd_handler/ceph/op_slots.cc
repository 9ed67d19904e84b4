// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/ceph/op_slots.h"

namespace tcmurbd::ceph {

OpSlots::OpSlots(RbdImage* image) {
  for (OpSlot& slot : slots_) {
    slot.image = image;
    put_back(slot);
  }
}

OpSlot* OpSlots::take() {
  OpSlot* head = free_.load(std::memory_order_acquire);
  while (head != nullptr &&
         !free_.compare_exchange_weak(head, head->next_free, std::memory_order_acquire)) {
  }
  return head;
}

void OpSlots::put_back(OpSlot& slot) {
  slot.bounce.reset();
  OpSlot* head = free_.load(std::memory_order_relaxed);
  do {
    slot.next_free = head;
  } while (!free_.compare_exchange_weak(head, &slot, std::memory_order_release,
                                        std::memory_order_relaxed));
}

void OpSlots::give_up(OpToken token) {
  for (OpSlot& slot : slots_)
    if (slot.token == token) slot.given_up.store(true, std::memory_order_release);
}

}  // namespace tcmurbd::ceph
