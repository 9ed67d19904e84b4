// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/ceph/fence_book.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace tcmurbd::ceph {
namespace {

constexpr std::string_view kVersion = "1 ";

}  // namespace

std::string ledger_value(int64_t until) { return fmt::format("{}{}", kVersion, until); }

std::optional<int64_t> parse_ledger_value(std::string_view value) {
  if (!value.starts_with(kVersion)) return std::nullopt;
  value.remove_prefix(kVersion.size());
  int64_t until = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), until);
  if (error != std::errc{} || end != value.data() + value.size()) return std::nullopt;
  return until;
}

std::string_view name(FenceReason cause) {
  switch (cause) {
    case FenceReason::kUnknown:
      return "unknown";
    case FenceReason::kHungOps:
      return "hung-ops";
    case FenceReason::kPredecessor:
      return "predecessor";
    case FenceReason::kLockBroken:
      return "lock-broken";
    case FenceReason::kSilent:
      return "silent";
  }
  return "";
}

bool FenceBook::add(const std::string& address, int64_t now, FenceReason cause) {
  if (!is_instance_address(address) || contains(address, now)) return false;
  if (own_.size() + stored_.size() >= kFencedMax) return false;
  own_[address] = {.until = now + kFenceSeconds};
  causes_[address] = cause;
  return true;
}

void FenceBook::remove(const std::string& address) {
  own_.erase(address);
  stored_.erase(address);
  causes_.erase(address);
  removed_[address] = ++step_;
}

void FenceBook::saved(const std::string& address) {
  const auto found = own_.find(address);
  if (found != own_.end()) found->second.saved = ++step_;
}

std::vector<LedgerPair> FenceBook::unsaved() const {
  std::vector<LedgerPair> pairs;
  for (const auto& [address, own] : own_)
    if (own.saved == 0) pairs.emplace_back(address, ledger_value(own.until));
  return pairs;
}

std::vector<std::string> FenceBook::stored(uint64_t reading, const std::vector<LedgerPair>& pairs,
                                           int64_t now) {
  std::vector<std::string> over;
  stored_.clear();
  std::erase_if(removed_, [reading](const auto& entry) { return entry.second < reading; });
  // Before they leave no room in one reading for those in effect.
  const int64_t keep = pairs.size() > kKeptMax ? 0 : kKeepSeconds;
  for (const auto& [address, value] : pairs) {
    if (removed_.contains(address)) continue;
    const std::optional<int64_t> until = parse_ledger_value(value);
    if (!is_instance_address(address) || !until || *until <= now - keep) {
      over.push_back(address);
    } else if (*until > now && stored_.size() < kFencedMax) {
      // A later expiry than the lifetime of an entry comes from a different clock.
      stored_[address] = std::min(*until, now + kFenceSeconds);
    }
  }
  std::erase_if(own_, [&](const auto& entry) {
    const Own& own = entry.second;
    return own.until <= now || (own.saved != 0 && own.saved < reading);
  });
  std::erase_if(causes_, [this](const auto& entry) {
    return !own_.contains(entry.first) && !stored_.contains(entry.first);
  });
  return over;
}

bool FenceBook::empty(int64_t now) const {
  const auto over = [now](const auto& entry) { return entry.second <= now; };
  return own_.empty() && std::all_of(stored_.begin(), stored_.end(), over);
}

bool FenceBook::contains(const std::string& address, int64_t now) const {
  const auto own = own_.find(address);
  if (own != own_.end()) return own->second.until > now;
  const auto stored = stored_.find(address);
  return stored != stored_.end() && stored->second > now;
}

std::vector<FencedInstance> FenceBook::list(int64_t now) const {
  std::map<std::string, int64_t> all = stored_;
  for (const auto& [address, own] : own_) all[address] = own.until;
  std::vector<FencedInstance> instances;
  for (const auto& [address, until] : all) {
    if (until <= now) continue;
    const auto cause = causes_.find(address);
    instances.push_back(
        {address, until, cause == causes_.end() ? FenceReason::kUnknown : cause->second});
  }
  return instances;
}

std::vector<std::string> FenceBook::missing(const Blocklist& blocklist, int64_t now) const {
  std::vector<std::string> addresses;
  for (const auto& [address, own] : own_)
    if (own.until > now && !blocklist.contains(address)) addresses.push_back(address);
  for (const auto& [address, until] : stored_)
    if (until > now && !own_.contains(address) && !blocklist.contains(address))
      addresses.push_back(address);
  return addresses;
}

}  // namespace tcmurbd::ceph
