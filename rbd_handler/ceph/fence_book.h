// SPDX-License-Identifier: Apache-2.0
// The instances of one image that were fenced and may still have writes in RADOS, as known to this
// gateway: those it fenced itself, and those of the ledger object when it was last read. Pure: no
// RADOS, no clock; any thread, one at a time. Times are wall clock seconds since 1970, since
// gateways compare them.
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

// Slightly less than the lifetime of a blocklist entry, so that an expired entry does not count as
// removed.
inline constexpr int64_t kFenceSeconds = int64_t{kBlocklistSeconds} - 600;
// An entry stays in the ledger for so long after it has expired, so that a gateway whose clock is
// wrong by less does not remove what the others need.
inline constexpr int64_t kKeepSeconds = int64_t{7} * 24 * 60 * 60;
// Only while the ledger has no more entries than this.
inline constexpr size_t kKeptMax = 512;
// Maximum per image. Each entry is a hung client; with more, the ledger is corrupt or there are
// endless fences, and maintaining some entries is better than none.
inline constexpr size_t kFencedMax = 256;

// A pair of the ledger object: the address, and "1 UNTIL".
using LedgerPair = std::pair<std::string, std::string>;
std::string ledger_value(int64_t until);
// No value: unknown format.
std::optional<int64_t> parse_ledger_value(std::string_view value);

// Why this gateway fenced an instance, for people.
enum class FenceReason : uint8_t {
  kUnknown,      // Another gateway did, or an earlier daemon.
  kHungOps,      // An instance of this gateway, whose ops hung.
  kPredecessor,  // Left behind by a daemon of this gateway that died.
  kLockBroken,   // Another gateway's: it did not release the exclusive lock.
  kSilent,       // Another gateway's: it did not respond, and delayed hand-overs of the lock.
};
// "hung-ops", ...
std::string_view name(FenceReason cause);

struct FencedInstance {
  std::string address;
  int64_t until = 0;  // Seconds since 1970.
  FenceReason cause = FenceReason::kUnknown;
  bool operator==(const FencedInstance&) const = default;
};

class FenceBook {
 public:
  // Adds an instance that is blocklisted now. False: it is present already, or the book is full.
  bool add(const std::string& address, int64_t now, FenceReason cause = FenceReason::kUnknown);
  // Its connections are closed; none of its writes can be applied any more.
  void remove(const std::string& address);
  // The object contains it now.
  void saved(const std::string& address);
  // The added instances that the object may not contain yet.
  std::vector<LedgerPair> unsaved() const;

  // A read of the object starts; returns its number, for stored().
  uint64_t reading() { return ++step_; }
  // The pairs that it returned, untrusted. Returns the keys that have expired, kKeepSeconds ago
  // (any time ago, if there are many), or are invalid, and should be removed from the object.
  std::vector<std::string> stored(uint64_t reading, const std::vector<LedgerPair>& pairs,
                                  int64_t now);

  bool empty(int64_t now) const;
  bool contains(const std::string& address, int64_t now) const;
  // All instances, by address.
  std::vector<FencedInstance> list(int64_t now) const;
  // Instances whose blocklist entries are missing.
  std::vector<std::string> missing(const Blocklist& blocklist, int64_t now) const;

 private:
  struct Own {
    int64_t until = 0;
    uint64_t saved = 0;  // The step at which it was; 0: not yet.
  };
  uint64_t step_ = 0;
  // Kept until a read that started after they were saved. From then on the object decides, so that
  // entries removed there are forgotten here.
  std::map<std::string, Own> own_;
  std::map<std::string, int64_t> stored_;
  std::map<std::string, FenceReason> causes_;  // Of both, as far as this gateway knows.
  std::map<std::string, uint64_t> removed_;    // The step; for reads that began before.
};

}  // namespace tcmurbd::ceph
