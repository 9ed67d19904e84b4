// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/scsi/plan.h"

#include <algorithm>

#include "common/check.h"
#include "rbd_handler/scsi/handlers.h"

namespace tcmurbd::scsi {
namespace {

uint64_t allocation_length(const Command& command) {
  return std::visit(
      [](const auto& c) -> uint64_t {
        if constexpr (requires { c.allocation_length; }) {
          return c.allocation_length;
        } else {
          return UINT64_MAX;
        }
      },
      command);
}

void cut(const Command& command, const Request& request, std::vector<uint8_t>& data_in) {
  const uint64_t limit =
      std::min({allocation_length(command), request.data_length, uint64_t{kDataInBytesMax}});
  if (data_in.size() > limit) data_in.resize(limit);
}

}  // namespace

bool needs_target_facts(const Command& command) {
  return std::holds_alternative<Inquiry>(command) ||
         std::holds_alternative<ReportTargetPortGroups>(command);
}

bool needs_access_counters(const Command& command) {
  return std::holds_alternative<LogSense>(command);
}

bool takes_unit_attention(const Command& command) {
  return !std::holds_alternative<Inquiry>(command);
}

bool is_request_sense(const Command& command) {
  return std::holds_alternative<RequestSense>(command);
}

Plan plan(const Command& command, const DiskFacts& disk, const TargetFacts& target,
          const Request& request, std::vector<uint8_t>& data_in) {
  CHECK(data_in.empty());
  const Context context{disk, target, request, data_in};
  Plan plan = std::visit([&](const auto& c) { return plan_command(c, context); }, command);

  const auto* answer = std::get_if<Answer>(&plan);
  if (!answer || answer->result.status != ScsiStatus::kGood) {
    data_in.clear();
    return plan;
  }
  cut(command, request, data_in);
  return plan;
}

void lba_status(const Command& command, const DiskFacts& disk, const Request& request,
                const ByteRange& range, std::span<const ByteRange> mapped,
                std::vector<uint8_t>& data_in) {
  CHECK(data_in.empty());
  append_lba_status(disk.block_size, range, mapped, data_in);
  cut(command, request, data_in);
}

}  // namespace tcmurbd::scsi
