// SPDX-License-Identifier: Apache-2.0
// The fenced instances of one image, as a LUN uses them: the port to the ledger (fence_ledger.h),
// which is kept on the blocklist while this exists (fence_guard.h). Tests implement it with a fake.
// No call waits for the cluster. Any thread.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "rbd_handler/ceph/fence_book.h"

namespace tcmurbd::ceph {

// Called with the instance, on a thread of the list; must only post.
using OnOwnFenced = std::function<void(const std::string& address)>;

class FenceList {
 public:
  // BLOCKS until requests in flight have ended, about 10 s when an OSD hangs: worker thread.
  virtual ~FenceList() = default;

  // The instance is blocklisted now and may have writes in RADOS. Notifies the other gateways.
  virtual void add(const std::string& address, FenceReason cause) = 0;
  // No write of the instance can be applied any more. No effect if it is not in the list.
  virtual void remove(const std::string& address) = 0;
  // Reads the list of the cluster again and retries failed writes.
  virtual void refresh() = 0;
  // The instance that this gateway serves with now. If another client blocklists it, OnOwnFenced is
  // called, within seconds and once: an idle instance would notice it only with its next op.
  virtual void serve_as(const std::string& address) = 0;
  // As currently known.
  virtual bool contains(const std::string& address) const = 0;
  virtual std::vector<FencedInstance> list() const = 0;
};

}  // namespace tcmurbd::ceph
