// SPDX-License-Identifier: Apache-2.0
// Which instances of one image were fenced and may still have writes in RADOS, as far as this
// gateway knows: what it has fenced itself, and what the ledger object told when it was last read.
// Pure: no RADOS, no clock; any thread, one at a time. Times are seconds of the wall clock since
// 1970, since gateways compare them with each other.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "rbd_handler/ceph/blocklist.h"

namespace tcmurbd::ceph {

// Somewhat less than a blocklist entry lives: one that has expired was not removed by somebody.
inline constexpr int64_t kFenceSeconds = int64_t{kBlocklistSeconds} - 600;
// Of one image. Each stands for a client that hangs; beyond it the ledger has been spoiled, or
// something fences without end, and looking after some is better than after none.
inline constexpr size_t kFencedMax = 256;

// A pair of the ledger object: the address, and "1 UNTIL".
using LedgerPair = std::pair<std::string, std::string>;
std::string ledger_value(int64_t until);
// Nothing: it is not understood.
std::optional<int64_t> parse_ledger_value(std::string_view value);

class FenceBook {
 public:
  // An instance that is blocklisted now. False: it is there already, or there is no room.
  bool add(const std::string& address, int64_t now);
  // Its connections are closed, nothing of it can land any more.
  void remove(const std::string& address);
  // The object has it, as of now.
  void saved(const std::string& address);
  // Those of `add` that the object may not have.
  std::vector<LedgerPair> unsaved() const;

  // A read of the object begins; returns its number, for stored().
  uint64_t reading() { return ++step_; }
  // What it has told, each pair input. Returns the keys that are over, or are no entries: to be
  // removed from the object.
  std::vector<std::string> stored(uint64_t reading, const std::vector<LedgerPair>& pairs,
                                  int64_t now);

  bool empty(int64_t now) const;
  bool contains(const std::string& address, int64_t now) const;
  // Those that should be on the blocklist and are not.
  std::vector<std::string> missing(const Blocklist& blocklist, int64_t now) const;

 private:
  struct Own {
    int64_t until = 0;
    uint64_t saved = 0;  // The step at which it was; 0: not yet.
  };
  uint64_t step_ = 0;
  // Ours only until a read that began after they were saved: from then on the object decides, so
  // that what its owner removes there is forgotten here.
  std::map<std::string, Own> own_;
  std::map<std::string, int64_t> stored_;
  std::map<std::string, uint64_t> removed_;  // The step; for reads that began before.
};

}  // namespace tcmurbd::ceph
