// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/lun/hung_places.h"

#include <algorithm>
#include <utility>

namespace tcmurbd {

namespace {

// The acting set changes while an op hangs, when the cluster gives up an OSD.
constexpr std::chrono::seconds kAskAgain{15};
// Objects in one job: each is a command for the monitors.
constexpr size_t kAskedMax = 16;

}  // namespace

HungPlaces::HungPlaces(boost::asio::io_context& control)
    : jobs_(std::make_shared<reactor::Jobs>(control)) {}

HungByOsd HungPlaces::count(std::span<const ByteRange> hung, const ceph::ServedImage& image,
                            std::shared_ptr<ceph::Monitors> monitors, Clock::time_point now) {
  HungByOsd by_osd;
  std::map<std::string, Known> still;
  std::vector<ceph::ObjectPlace> wanted;
  for (const ByteRange& range : hung) {
    ceph::ObjectPlace place = image.place_of(range);
    const auto found = known_.find(place.object);
    const bool known = found != known_.end();
    if (known) still.insert(*found);
    const std::vector<int> acting = known ? found->second.acting : std::vector<int>{};
    if (acting.empty()) ++by_osd[HungOsd{}];
    for (size_t i = 0; i < acting.size(); ++i) ++by_osd[HungOsd{acting[i], i == 0}];
    const bool stale = !known || now - found->second.when >= kAskAgain;
    if (stale && wanted.size() < kAskedMax && std::ranges::find(wanted, place) == wanted.end())
      wanted.push_back(std::move(place));
  }
  known_ = std::move(still);
  if (!wanted.empty() && !asking_) ask(std::move(monitors), std::move(wanted));
  return by_osd;
}

void HungPlaces::ask(std::shared_ptr<ceph::Monitors> monitors,
                     std::vector<ceph::ObjectPlace> places) {
  asking_ = true;
  auto found = std::make_shared<std::map<std::string, Known>>();
  jobs_->run(
      [held = std::move(monitors), places = std::move(places), found]() mutable {
        const auto mine = std::move(held);  // Perhaps the last to use it, and closing blocks.
        for (const ceph::ObjectPlace& place : places) {
          const auto location = mine->locate(place);
          if (!location) return;  // The others would not be found either.
          (*found)[place.object] = {location->acting, Clock::now()};
        }
      },
      [self = shared_from_this(), found] {
        self->asking_ = false;
        for (auto& [object, where] : *found) self->known_.insert_or_assign(object, where);
      });
}

}  // namespace tcmurbd
