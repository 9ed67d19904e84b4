// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/lun/lun_metrics.h"

#include <boost/asio/post.hpp>
#include <utility>

#include "rbd_handler/lun/lun.h"

namespace tcmurbd {

LunMetrics Lun::describe_metrics() const {
  LunMetrics metrics{.name = entry_.name.hba + "/" + entry_.name.device,
                     .pool = spec_.pool,
                     .name_space = spec_.name_space,
                     .image = spec_.image,
                     .state = tcmurbd::name(state_)};
  if (!spec_.snapshot.empty()) metrics.image.append("@").append(spec_.snapshot);
  return metrics;
}

bool Lun::measure(std::function<void(LunMetrics)> fn) {
  if (!lun_reactor_) return false;
  on_reactor([self = shared_from_this(), fn = std::move(fn)](reactor::LunReactor& serving) mutable {
    std::shared_ptr<const DeviceGauges> gauges;
    serving.show([&gauges](const Device& device) {
      gauges = std::make_shared<const DeviceGauges>(device.gauges(reactor::Heartbeat::now()));
    });
    boost::asio::post(self->loops_.control, [self, gauges = std::move(gauges), fn = std::move(fn)] {
      LunMetrics metrics = self->describe_metrics();
      metrics.device = gauges;
      metrics.hung = self->hung_by_osd(*gauges);
      fn(std::move(metrics));
    });
  });
  return true;
}

HungByOsd Lun::hung_by_osd(const DeviceGauges& gauges) {
  HungByOsd by_osd;
  size_t looked_for = 0;
  if (lun_image_ && lun_image_->is_open()) {  // Not while another instance is being opened.
    looked_for = gauges.hung_ranges.size();
    by_osd = hung_->count(gauges.hung_ranges, lun_image_->image(), lun_image_->monitors(),
                          HungPlaces::Clock::now());
  }
  if (gauges.hung > looked_for)
    by_osd[HungOsd{}] += gauges.hung - static_cast<uint32_t>(looked_for);
  return by_osd;
}

}  // namespace tcmurbd
