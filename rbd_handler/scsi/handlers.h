// SPDX-License-Identifier: Apache-2.0
// Private to scsi/: the handler of each command, by its type. A handler appends its whole Data-In;
// plan() truncates it, and drops it if the command fails.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "rbd_handler/scsi/plan.h"

namespace tcmurbd::scsi {

struct Context {
  const DiskFacts& disk;
  const TargetFacts& target;
  const Request& request;
  std::vector<uint8_t>& data_in;
};

inline Plan good() { return Answer{Result::good()}; }
inline Plan check(const Sense& sense) { return Answer{Result::check(sense)}; }

// Appends `bytes` zeroes and returns a pointer to them, so that fields can be stored at the
// standard's byte numbers. Valid until the next append.
inline uint8_t* append(std::vector<uint8_t>& out, size_t bytes) {
  out.resize(out.size() + bytes);
  return out.data() + out.size() - bytes;
}

// lba_status.cc: the descriptors of `range`, which is whole blocks.
void append_lba_status(uint32_t block_size, const ByteRange& range,
                       std::span<const ByteRange> mapped, std::vector<uint8_t>& out);
Plan plan_command(const GetLbaStatus& command, const Context& context);

// unit_status.cc
Plan plan_command(const TestUnitReady& command, const Context& context);
Plan plan_command(const RequestSense& command, const Context& context);
Plan plan_command(const StartStopUnit& command, const Context& context);
Plan plan_command(const PreventAllowMediumRemoval& command, const Context& context);
// inquiry.cc
Plan plan_command(const Inquiry& command, const Context& context);
// capacity.cc
Plan plan_command(const ReadCapacity10& command, const Context& context);
Plan plan_command(const ReadCapacity16& command, const Context& context);
// mode_sense.cc
Plan plan_command(const ModeSense& command, const Context& context);
// mode_select.cc
Plan plan_command(const ModeSelect& command, const Context& context);
// block_commands.cc
Plan plan_command(const Read& command, const Context& context);
Plan plan_command(const Write& command, const Context& context);
Plan plan_command(const WriteAtomic& command, const Context& context);
Plan plan_command(const SynchronizeCache& command, const Context& context);
Plan plan_command(const PreFetch& command, const Context& context);
Plan plan_command(const WriteSame& command, const Context& context);
Plan plan_command(const CompareAndWrite& command, const Context& context);
// defect_data.cc
Plan plan_command(const ReadDefectData& command, const Context& context);
// log_sense.cc
Plan plan_command(const LogSense& command, const Context& context);
// verify.cc
Plan plan_command(const Verify& command, const Context& context);
Plan plan_command(const WriteAndVerify& command, const Context& context);
Plan plan_command(const OrWrite& command, const Context& context);
// unmap.cc
Plan plan_command(const Unmap& command, const Context& context);
// alua.cc
Plan plan_command(const ReportTargetPortGroups& command, const Context& context);
// extended_copy.cc
Plan plan_command(const ExtendedCopy& command, const Context& context);
Plan plan_command(const ReceiveCopyResults& command, const Context& context);
// opcodes_report.cc
Plan plan_command(const ReportSupportedOperationCodes& command, const Context& context);
Plan plan_command(const ReportSupportedTaskManagementFunctions& command, const Context& context);

}  // namespace tcmurbd::scsi
