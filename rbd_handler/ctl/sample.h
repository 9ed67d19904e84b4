// SPDX-License-Identifier: Apache-2.0
// Two answers to the request "status", and what was done between them.
#pragma once

#include <chrono>
#include <expected>
#include <nlohmann/json.hpp>
#include <string>

#include "rbd_handler/ctl/load.h"

namespace tcmurbd {

class Sampler {
 public:
  explicit Sampler(std::string socket) : socket_(std::move(socket)) {}
  // Asks for the status. The error is one line.
  std::expected<void, std::string> take();
  // The last one that was taken.
  const nlohmann::json& status() const { return after_; }
  // Between the last two; since the LUNs were opened if there is one only.
  std::map<std::string, Load> load() const;

 private:
  using Clock = std::chrono::steady_clock;
  const std::string socket_;
  nlohmann::json before_;  // Null: there is none.
  nlohmann::json after_;
  Clock::time_point before_at_{};
  Clock::time_point after_at_{};
};

}  // namespace tcmurbd
