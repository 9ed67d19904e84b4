// SPDX-License-Identifier: Apache-2.0
// CDBs of SBC-3: reading, writing and zeroing blocks, and the capacity.
#include <array>
#include <boost/endian/conversion.hpp>
#include <optional>

#include "rbd_handler/scsi/cdb_parsers.h"
#include "rbd_handler/scsi/limits.h"

namespace tcmurbd::scsi {
namespace {

using boost::endian::load_big_u16;
using boost::endian::load_big_u24;
using boost::endian::load_big_u32;
using boost::endian::load_big_u64;

struct Extent {
  uint64_t lba;
  uint64_t blocks;
};

// READ(6) and WRITE(6): 21 bits of LBA; a TRANSFER LENGTH of 0 means 256.
Extent extent6(CdbBytes cdb) {
  return {load_big_u24(&cdb[1]) & 0x1fffffu, cdb[4] == 0 ? 256u : cdb[4]};
}
Extent extent10(CdbBytes cdb) { return {load_big_u32(&cdb[2]), load_big_u16(&cdb[7])}; }
Extent extent12(CdbBytes cdb) { return {load_big_u32(&cdb[2]), load_big_u32(&cdb[6])}; }
Extent extent16(CdbBytes cdb) { return {load_big_u64(&cdb[2]), load_big_u32(&cdb[10])}; }

// RDPROTECT, WRPROTECT and the like ask for protection information, which this disk doesn't have
// (PROTECT=0 in INQUIRY).
bool asks_protection(CdbBytes cdb) { return (cdb[1] & 0xe0) != 0; }

template <typename Transfer>
ParsedCommand transfer(CdbBytes cdb, Extent (*extent)(CdbBytes)) {
  if (asks_protection(cdb)) return std::unexpected(kInvalidFieldInCdb);
  const auto [lba, blocks] = extent(cdb);
  return Transfer{lba, blocks};
}

template <typename Transfer>
ParsedCommand transfer6(CdbBytes cdb) {
  const auto [lba, blocks] = extent6(cdb);
  return Transfer{lba, blocks};
}

ParsedCommand synchronize_cache(CdbBytes cdb, Extent extent) {
  return SynchronizeCache{
      .lba = extent.lba, .blocks = extent.blocks, .immediate = (cdb[1] & 0x02) != 0};
}

ParsedCommand pre_fetch(Extent extent) { return PreFetch{extent.lba, extent.blocks}; }

// `request`: the byte with REQ_PLIST, REQ_GLIST and DEFECT LIST FORMAT. Format 6 is vendor
// specific, 7 is reserved.
ParsedCommand read_defect_data(uint8_t request, bool twelve, uint32_t allocation_length) {
  const uint8_t list_format = request & 0x07;
  if (list_format > 5) return std::unexpected(kInvalidFieldInCdb);
  return ReadDefectData{.twelve = twelve,
                        .primary = (request & 0x10) != 0,
                        .grown = (request & 0x08) != 0,
                        .list_format = list_format,
                        .allocation_length = allocation_length};
}

// ANCHOR: B2 says ANC_SUP=0. PBDATA and LBDATA (obsolete since SBC-3) ask for an address in each
// block: an initiator that sets them would get different data than it expects.
constexpr uint8_t kWriteSameRefused = 0x10 | 0x04 | 0x02;

ParsedCommand write_same(CdbBytes cdb, Extent extent, bool no_data_out) {
  if (asks_protection(cdb) || (cdb[1] & kWriteSameRefused))
    return std::unexpected(kInvalidFieldInCdb);
  return WriteSame{.lba = extent.lba, .blocks = extent.blocks, .no_data_out = no_data_out};
}

ParsedCommand verify(CdbBytes cdb, Extent extent) {
  using enum Verify::Comparison;
  constexpr std::array<std::optional<Verify::Comparison>, 4> kOfBytchk = {kNone, kAll, std::nullopt,
                                                                          kOneBlock};
  const auto comparison = kOfBytchk[(cdb[1] >> 1) & 0x03];
  if (asks_protection(cdb) || !comparison) return std::unexpected(kInvalidFieldInCdb);
  return Verify{.lba = extent.lba, .blocks = extent.blocks, .comparison = *comparison};
}

ParsedCommand write_and_verify(CdbBytes cdb, Extent extent) {
  const unsigned bytchk = (cdb[1] >> 1) & 0x03u;
  if (asks_protection(cdb) || bytchk > 1) return std::unexpected(kInvalidFieldInCdb);
  return WriteAndVerify{.lba = extent.lba, .blocks = extent.blocks, .compare = bytchk == 1};
}

}  // namespace

ParsedCommand parse_read6(CdbBytes cdb) { return transfer6<Read>(cdb); }
ParsedCommand parse_read10(CdbBytes cdb) { return transfer<Read>(cdb, extent10); }
ParsedCommand parse_read12(CdbBytes cdb) { return transfer<Read>(cdb, extent12); }
ParsedCommand parse_read16(CdbBytes cdb) { return transfer<Read>(cdb, extent16); }
ParsedCommand parse_write6(CdbBytes cdb) { return transfer6<Write>(cdb); }
ParsedCommand parse_write10(CdbBytes cdb) { return transfer<Write>(cdb, extent10); }
ParsedCommand parse_write12(CdbBytes cdb) { return transfer<Write>(cdb, extent12); }
ParsedCommand parse_write16(CdbBytes cdb) { return transfer<Write>(cdb, extent16); }

ParsedCommand parse_write_atomic16(CdbBytes cdb) {
  const bool boundary = load_big_u16(&cdb[10]) != 0;
  if (asks_protection(cdb) || boundary) return std::unexpected(kInvalidFieldInCdb);
  return WriteAtomic{.lba = load_big_u64(&cdb[2]), .blocks = load_big_u16(&cdb[12])};
}

ParsedCommand parse_synchronize_cache10(CdbBytes cdb) {
  return synchronize_cache(cdb, extent10(cdb));
}
ParsedCommand parse_synchronize_cache16(CdbBytes cdb) {
  return synchronize_cache(cdb, extent16(cdb));
}

ParsedCommand parse_pre_fetch10(CdbBytes cdb) { return pre_fetch(extent10(cdb)); }
ParsedCommand parse_pre_fetch16(CdbBytes cdb) { return pre_fetch(extent16(cdb)); }

ParsedCommand parse_unmap(CdbBytes cdb) {
  if (cdb[1] & 0x01) return std::unexpected(kInvalidFieldInCdb);  // ANCHOR
  return Unmap{.parameter_list_length = load_big_u16(&cdb[7])};
}

ParsedCommand parse_write_same10(CdbBytes cdb) { return write_same(cdb, extent10(cdb), false); }
ParsedCommand parse_write_same16(CdbBytes cdb) {
  return write_same(cdb, extent16(cdb), (cdb[1] & 0x01) != 0);
}

ParsedCommand parse_compare_and_write(CdbBytes cdb) {
  const uint8_t blocks = cdb[13];
  if (asks_protection(cdb) || blocks > kCompareAndWriteBlocksMax)
    return std::unexpected(kInvalidFieldInCdb);
  return CompareAndWrite{.lba = load_big_u64(&cdb[2]), .blocks = blocks};
}

ParsedCommand parse_verify10(CdbBytes cdb) { return verify(cdb, extent10(cdb)); }
ParsedCommand parse_verify12(CdbBytes cdb) { return verify(cdb, extent12(cdb)); }
ParsedCommand parse_verify16(CdbBytes cdb) { return verify(cdb, extent16(cdb)); }
ParsedCommand parse_write_and_verify10(CdbBytes cdb) {
  return write_and_verify(cdb, extent10(cdb));
}
ParsedCommand parse_write_and_verify12(CdbBytes cdb) {
  return write_and_verify(cdb, extent12(cdb));
}
ParsedCommand parse_write_and_verify16(CdbBytes cdb) {
  return write_and_verify(cdb, extent16(cdb));
}
ParsedCommand parse_orwrite16(CdbBytes cdb) { return transfer<OrWrite>(cdb, extent16); }

ParsedCommand parse_read_capacity10(CdbBytes cdb) {
  return ReadCapacity10{.lba = load_big_u32(&cdb[2]), .partial = (cdb[8] & 0x01) != 0};
}
ParsedCommand parse_read_capacity16(CdbBytes cdb) {
  return ReadCapacity16{.lba = load_big_u64(&cdb[2]),
                        .partial = (cdb[14] & 0x01) != 0,
                        .allocation_length = load_big_u32(&cdb[10])};
}
ParsedCommand parse_get_lba_status(CdbBytes cdb) {
  if (cdb[14] != 0) return std::unexpected(kInvalidFieldInCdb);  // REPORT TYPE
  return GetLbaStatus{.lba = load_big_u64(&cdb[2]), .allocation_length = load_big_u32(&cdb[10])};
}

ParsedCommand parse_read_defect_data10(CdbBytes cdb) {
  return read_defect_data(cdb[2], false, load_big_u16(&cdb[7]));
}
ParsedCommand parse_read_defect_data12(CdbBytes cdb) {
  return read_defect_data(cdb[1], true, load_big_u32(&cdb[6]));
}

}  // namespace tcmurbd::scsi
