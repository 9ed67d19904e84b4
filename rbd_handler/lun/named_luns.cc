// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/lun/named_luns.h"

#include <fmt/format.h>

#include <algorithm>

#include "rbd_handler/kernel/configfs.h"
#include "rbd_handler/kernel/lun_access.h"

namespace tcmurbd {
namespace {

class Search {
 public:
  Search(const scsi::CopyRequest& request, std::span<const KnownLun> luns, const std::string& root)
      : request_(request), luns_(luns), root_(root) {}

  std::expected<NamedLuns, scsi::Sense> run() {
    NamedLuns named;
    std::vector<scsi::ServedDisk> disks;
    for (const scsi::CopyCscd& cscd : request_.cscds) {
      const auto place = find(cscd);
      if (!place) return std::unexpected(scsi::kCopyTargetNotReachable);
      const std::optional<scsi::DiskFacts>& disk = luns_[*place].disk;
      if (!disk) return std::unexpected(scsi::kCopyTargetNotReachable);
      const auto known = std::ranges::find(named.luns, *place);
      const auto number = static_cast<uint16_t>(known - named.luns.begin());
      if (known == named.luns.end()) named.luns.push_back(*place);
      named.of_cscd.push_back(number);
      disks.push_back({.number = number, .facts = *disk});
    }
    const auto extents = scsi::plan_copy(request_, disks);
    if (!extents) return std::unexpected(extents.error());
    if (!all_may(named.luns, *extents)) return std::unexpected(scsi::kCopyTargetNotReachable);
    named.kernel_limit = kernel::ConfigfsDevice(luns_.front().name, root_).kernel_limit();
    return named;
  }

  std::string refusal;
  std::vector<std::pair<size_t, scsi::TargetFacts>> identities;

 private:
  bool is_named_now(size_t place, const scsi::CopyCscd& cscd) {
    auto identity = kernel::ConfigfsDevice(luns_[place].name, root_).read_identity();
    if (!identity) return scsi::names(cscd, luns_[place].identity);
    const bool named = scsi::names(cscd, *identity);
    identities.emplace_back(place, std::move(*identity));
    return named;
  }

  // The cached identity selects the candidate, a new read decides: serials can change.
  std::optional<size_t> find(const scsi::CopyCscd& cscd) {
    if (is_named_now(0, cscd)) return 0;
    for (const bool known : {true, false}) {
      for (size_t place = 1; place < luns_.size(); ++place) {
        if (scsi::names(cscd, luns_[place].identity) != known) continue;
        if (is_named_now(place, cscd)) return place;
      }
    }
    return std::nullopt;
  }

  bool all_may(const std::vector<size_t>& named, const scsi::CopyExtents& extents) {
    for (size_t number = 0; number < named.size(); ++number) {
      if (named[number] == 0) continue;
      const auto& other = luns_[named[number]].name;
      const bool written = std::ranges::any_of(
          extents, [&](const scsi::CopyExtent& extent) { return extent.destination == number; });
      const auto reach = written ? kernel::Reach::kWrite : kernel::Reach::kRead;
      if (kernel::all_reach(luns_.front().name, other, reach, root_)) continue;
      refusal = fmt::format("{} {} refused: not every initiator of this LUN has access to that one",
                            written ? "to" : "from", other.device);
      return false;
    }
    return true;
  }

  const scsi::CopyRequest& request_;
  const std::span<const KnownLun> luns_;
  const std::string& root_;
};

}  // namespace

NamedLunsResult find_named_luns(const scsi::CopyRequest& request, std::span<const KnownLun> luns,
                                const std::string& root) {
  Search search(request, luns, root);
  auto found = search.run();
  return {std::move(found), std::move(search.refusal), std::move(search.identities)};
}

}  // namespace tcmurbd
