// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/ctl/sample.h"

#include <utility>

#include "rbd_handler/ctl/ask.h"

namespace tcmurbd {

std::expected<void, std::string> Sampler::take() {
  auto status = ask_json(socket_, "status");
  if (!status) return std::unexpected(status.error());
  before_ = std::exchange(after_, std::move(*status));
  before_at_ = std::exchange(after_at_, Clock::now());
  return {};
}

std::map<std::string, Load> Sampler::load() const {
  const std::chrono::duration<double> between = after_at_ - before_at_;
  return loads(before_.is_null() ? nullptr : &before_, after_, between.count());
}

}  // namespace tcmurbd
