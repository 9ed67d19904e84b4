// SPDX-License-Identifier: Apache-2.0
// SBC-3: READ CAPACITY(10) and (16).
#include <algorithm>
#include <boost/endian/conversion.hpp>
#include <optional>

#include "rbd_handler/scsi/handlers.h"

namespace tcmurbd::scsi {
namespace {

using boost::endian::store_big_u32;
using boost::endian::store_big_u64;

// Checks before the last block can be returned. PMI=1 (obsolete since SBC-3) asks for the last
// block before a delay: there are none, so it is the disk's last one too.
std::optional<Sense> refusal(const DiskFacts& disk, uint64_t lba, bool partial) {
  if (!partial && lba != 0) return kInvalidFieldInCdb;
  if (disk.blocks == 0) return kNotReady;  // There is no last block.
  if (lba >= disk.blocks) return kLbaOutOfRange;
  return std::nullopt;
}

}  // namespace

Plan plan_command(const ReadCapacity10& command, const Context& context) {
  const DiskFacts& disk = context.disk;
  if (const auto sense = refusal(disk, command.lba, command.partial)) return check(*sense);
  uint8_t* data = append(context.data_in, 8);
  // FFFFFFFF makes the host use READ CAPACITY(16).
  store_big_u32(&data[0], static_cast<uint32_t>(std::min<uint64_t>(disk.blocks - 1, UINT32_MAX)));
  store_big_u32(&data[4], disk.block_size);
  return good();
}

Plan plan_command(const ReadCapacity16& command, const Context& context) {
  const DiskFacts& disk = context.disk;
  if (const auto sense = refusal(disk, command.lba, command.partial)) return check(*sense);
  uint8_t* data = append(context.data_in, 32);
  store_big_u64(&data[0], disk.blocks - 1);
  store_big_u32(&data[8], disk.block_size);
  // Byte 12: no protection information. 13: one logical block per physical block, as with
  // tcmu-runner: 4096 bytes would suit BlueStore better, but the geometry must not differ between
  // gateways; VPD B0 has the optimal alignment. 14: LBPME=1 and LBPRZ=1, as in VPD B2; lowest
  // aligned LBA 0.
  data[14] = 0x80 | 0x40;
  return good();
}

}  // namespace tcmurbd::scsi
