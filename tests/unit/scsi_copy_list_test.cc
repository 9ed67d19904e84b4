// SPDX-License-Identifier: Apache-2.0
// The parameter list of EXTENDED COPY (LID1): parsing, refusals with their sense data, and the
// extents on disks.
#include <cstdlib>
#include <random>

#include "rbd_handler/scsi/copy.h"
#include "tests/unit/scsi_copy_fixture.h"

namespace tcmurbd::scsi {
namespace {

Check check_of(const Sense& s) { return {s.key, s.asc, s.ascq}; }

std::expected<CopyRequest, Sense> read(const Bytes& list, size_t length) {
  const DataOut data(list);
  return read_copy_list(data.iov(), static_cast<uint32_t>(length));
}
std::expected<CopyRequest, Sense> read(const Bytes& list) { return read(list, list.size()); }

void expect_refused(const Bytes& list, Check sense) {
  const auto request = read(list);
  ASSERT_FALSE(request) << "taken";
  EXPECT_EQ(check_of(request.error()), sense);
}

std::vector<Bytes> many(size_t count, const Bytes& bytes) { return {count, bytes}; }

TEST(ScsiCopyList, ReadsTheListAsTheStandardLaysItOut) {
  const Bytes list = {
      0x2a, 0x10, 0x00, 0x40, 0x00, 0x00, 0x00, 0x00,  // list id, usage 10b, two CSCDs
      0x00, 0x00, 0x00, 0x1c, 0x00, 0x00, 0x00, 0x00,  // one segment, no inline data
      0xe4, 0x00, 0x00, 0x00, 0x01, 0x03, 0x00, 0x10,  // identification, binary, NAA, 16 bytes
      0x60, 0x01, 0x40, 0x51, 0x11, 0x11, 0x11, 0x11,  //
      0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11,  //
      0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x00,  // DISK BLOCK LENGTH 512
      0xe4, 0x00, 0x00, 0x01, 0x01, 0x02, 0x00, 0x08,  // EUI-64, 8 bytes
      0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07,  //
      0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,  //
      0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x10, 0x00,  // 4096
      0x02, 0x02, 0x00, 0x18, 0x00, 0x01, 0x00, 0x00,  // block to block, DC, from 1 to 0
      0x00, 0x00, 0x20, 0x01, 0x01, 0x02, 0x03, 0x04,  // 8193 blocks
      0x05, 0x06, 0x07, 0x08, 0x11, 0x12, 0x13, 0x14,  // source and destination LBA
      0x15, 0x16, 0x17, 0x18,
  };
  const auto request = read(list);
  ASSERT_TRUE(request);
  EXPECT_EQ(request->list_id, 0x2a);
  EXPECT_EQ(request->usage, CopyListId::kDiscard);
  ASSERT_EQ(request->cscds.size(), 2u);
  EXPECT_EQ(request->cscds[0].code_set, 1);
  EXPECT_EQ(request->cscds[0].designator_type, 3);
  EXPECT_EQ(request->cscds[0].designator.size(), 16u);
  EXPECT_EQ(request->cscds[0].designator[3], 0x51);
  EXPECT_EQ(request->cscds[0].block_bytes, 512u);
  EXPECT_EQ(request->cscds[1].designator_type, 2);
  EXPECT_EQ(request->cscds[1].designator.size(), 8u);
  EXPECT_EQ(request->cscds[1].block_bytes, 4096u);
  ASSERT_EQ(request->segments.size(), 1u);
  const CopySegment& s = request->segments[0];
  EXPECT_EQ(s.source, 1);
  EXPECT_EQ(s.destination, 0);
  EXPECT_EQ(s.blocks, 8193);
  EXPECT_EQ(s.source_lba, 0x0102030405060708u);
  EXPECT_EQ(s.destination_lba, 0x1112131415161718u);
  EXPECT_TRUE(s.counts_destination_blocks);
}

TEST(ScsiCopyList, AnyListThatIsCutAnywhereIsALengthError) {
  const Bytes list = copy_list({cscd(), cscd()}, {segment({.blocks = 1}), segment({.blocks = 2})});
  ASSERT_TRUE(read(list));
  for (size_t length = 1; length < list.size(); ++length) {
    SCOPED_TRACE(length);
    // By the CDB's length, and by less data than it promises.
    const auto by_cdb = read(list, length);
    ASSERT_FALSE(by_cdb);
    EXPECT_EQ(check_of(by_cdb.error()), (Check{0x5, 0x1a, 0x00}));
    const auto by_data = read(cut(list, 0, length), list.size());
    ASSERT_FALSE(by_data);
    EXPECT_EQ(check_of(by_data.error()), (Check{0x5, 0x1a, 0x00}));
  }
}

TEST(ScsiCopyList, LengthsThatOverflowAreLengthErrors) {
  const Bytes list = copy_list({cscd()}, {segment({.blocks = 1})});
  for (const uint32_t segments : {0xffffffffu, 0xfffffff0u, 0x80000000u, 0xffffffe0u}) {
    Bytes hostile = list;
    std::ranges::copy(big(segments, 4), hostile.begin() + 8);
    expect_refused(hostile, {0x5, 0x1a, 0x00});
  }
  expect_refused(with(with(list, 2, 0xff), 3, 0xff), {0x5, 0x1a, 0x00});
  // Not whole descriptors.
  expect_refused(with(list, 3, 0x1f), {0x5, 0x1a, 0x00});
  // The segments' list ends within one.
  expect_refused(with(list, 11, 0x1b), {0x5, 0x1a, 0x00});
}

TEST(ScsiCopyList, TooManyDescriptors) {
  EXPECT_TRUE(read(copy_list(many(8, cscd()), {segment({})})));
  expect_refused(copy_list(many(9, cscd()), {segment({})}), {0x5, 0x26, 0x06});
  EXPECT_TRUE(read(copy_list({cscd()}, many(16, segment({})))));
  expect_refused(copy_list({cscd()}, many(17, segment({}))), {0x5, 0x26, 0x08});
  // More bytes than MAXIMUM DESCRIPTOR LIST LENGTH, 704.
  EXPECT_TRUE(read(copy_list(many(8, cscd()), many(16, segment({})))));
  expect_refused(copy_list(many(9, cscd()), many(17, segment({}))), {0x5, 0x1a, 0x00});
}

TEST(ScsiCopyList, DescriptorsOfOtherTypes) {
  for (const uint8_t type : {0xe0, 0xe1, 0xe2, 0xe3, 0xe5, 0xff, 0x00})
    expect_refused(copy_list({with(cscd(), 0, type)}, {segment({})}), {0x5, 0x26, 0x07});
  for (const uint8_t type : {0x00, 0x01, 0x03, 0x0b, 0x0d, 0x14, 0xbe, 0xe4})
    expect_refused(copy_list({cscd()}, {with(segment({}), 0, type)}), {0x5, 0x26, 0x09});
  // A type that is not served may be shorter than the one that is.
  expect_refused(copy_list({cscd()}, {{0x03, 0, 0, 0x10, 0, 0, 0, 0}}), {0x5, 0x26, 0x09});
}

TEST(ScsiCopyList, CscdFields) {
  const auto refused = [](size_t at, uint8_t value, Check sense) {
    SCOPED_TRACE(at);
    expect_refused(copy_list({with(cscd(), at, value)}, {segment({})}), sense);
  };
  refused(1, 0x20, {0xa, 0x0d, 0x02});  // NUL
  refused(1, 0x01, {0xa, 0x0d, 0x03});  // A tape.
  refused(5, 0x13, {0x5, 0x26, 0x00});  // ASSOCIATION: a port.
  refused(7, 21, {0x5, 0x26, 0x00});    // More than the field holds.
  refused(7, 0xff, {0x5, 0x26, 0x00});
  EXPECT_TRUE(read(copy_list({with(cscd(), 7, 20)}, {segment({})})));
  EXPECT_TRUE(read(copy_list({with(cscd(), 1, 0xc0)}, {segment({})}))) << "LU ID TYPE";
}

TEST(ScsiCopyList, HeaderFields) {
  const Bytes list = copy_list({cscd()}, {segment({})});
  expect_refused(with(list, 15, 1), {0x5, 0x26, 0x0b});  // Inline data.
  expect_refused(with(list, 12, 0x80), {0x5, 0x26, 0x0b});
  expect_refused(with(list, 1, 0x08), {0x5, 0x26, 0x00});  // LIST ID USAGE 01b is reserved,
  expect_refused(with(list, 1, 0x18), {0x5, 0x26, 0x00});  // 11b has list id 0.
  const auto none = read(with(with(list, 1, 0x18), 0, 0));
  ASSERT_TRUE(none);
  EXPECT_EQ(none->usage, CopyListId::kNone);
  EXPECT_TRUE(read(with(list, 1, 0x27)));  // STR, PRIORITY 7.
}

TEST(ScsiCopyList, SegmentFields) {
  const auto bad = [](size_t at, uint8_t value) {
    return copy_list({cscd()}, {segment({}), with(segment({}), at, value)});
  };
  expect_refused(bad(3, 0x17), {0x5, 0x26, 0x00});
  expect_refused(bad(2, 0x01), {0x5, 0x26, 0x00});
  for (const uint16_t field : {4, 6}) {  // CSCD ids.
    for (const size_t byte : {0, 1}) {
      const auto request = read(bad(field + byte, 1));
      ASSERT_FALSE(request);
      EXPECT_EQ(check_of(request.error()), (Check{0xa, 0x08, 0x04}));
      ASSERT_TRUE(request.error().copy);
      EXPECT_EQ(request.error().copy->segment, 1);
      EXPECT_EQ(request.error().copy->field, field);
    }
  }
  // Not even a CSCD.
  expect_refused(copy_list({}, {segment({})}), {0xa, 0x08, 0x04});
}

TEST(ScsiCopyList, NothingToDoIsNoError) {
  EXPECT_TRUE(read(Bytes(16)));
  EXPECT_TRUE(read(copy_list({cscd()}, {})));
  // Bytes behind the lists belong to nothing.
  EXPECT_TRUE(read(copy_list({cscd()}, {segment({})}) + Bytes(7)));
}

TEST(ScsiCopyList, NamesALogicalUnitAsVpd83Does) {
  TargetFacts target;
  target.unit_serial = "8d6d3a3e-5c71-4f22-b9e0-0123456789ab";
  const auto named = [&](const Bytes& descriptor) {
    return names(read(copy_list({descriptor}, {}))->cscds[0], target);
  };
  EXPECT_TRUE(named(cscd()));
  for (size_t at = 0; at < 16; ++at) EXPECT_FALSE(named(cscd(with(kNaaName, at, 0x77)))) << at;
  EXPECT_FALSE(named(with(cscd(), 4, 0x02)));  // Another code set,
  EXPECT_FALSE(named(with(cscd(), 5, 0x02)));  // another type,
  EXPECT_FALSE(named(with(cscd(), 7, 15)));    // other lengths.
  EXPECT_FALSE(named(with(cscd(), 7, 0)));
  // A port's designator is as much that of all other disks behind it.
  target.groups = {{.id = 1, .relative_ports = {1}, .enabled_ports = {1}}};
  EXPECT_FALSE(
      named(with(with(cscd({0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}), 5, 0x04), 7, 4)));
  target.unit_serial = "";
  EXPECT_FALSE(named(cscd()));
  EXPECT_FALSE(named(with(cscd(), 7, 0)));
}

// The extents of a request on two disks.
class ScsiCopyPlan : public ::testing::Test {
 protected:
  std::expected<CopyExtents, Sense> plan(const std::vector<Bytes>& segments) {
    const auto request = read(copy_list({cscd(kNaaName, 0), cscd(kNaaName, answer)}, segments));
    EXPECT_TRUE(request);
    return plan_copy(*request, disks);
  }
  void expect_failed(const std::vector<Bytes>& segments, Check sense,
                     std::optional<uint16_t> field = {}) {
    const auto extents = plan(segments);
    ASSERT_FALSE(extents);
    EXPECT_EQ(check_of(extents.error()), sense);
    if (field) {
      ASSERT_TRUE(extents.error().copy);
      EXPECT_EQ(extents.error().copy->field, field);
    }
  }
  ServedDisk disks[2] = {{.number = 0, .facts = {.block_size = 512, .blocks = 0x20000}},
                         {.number = 1, .facts = {.block_size = 4096, .blocks = 0x10000}}};
  uint32_t answer = 0;
};

TEST_F(ScsiCopyPlan, CountsInTheSourcesOrTheDestinationsBlocks) {
  const auto extents = plan(
      {segment({.source = 0, .destination = 1, .blocks = 16, .from = 8, .to = 3}),
       segment({.source = 0, .destination = 1, .blocks = 2, .from = 8, .to = 3, .flags = 0x02}),
       segment({.source = 1, .destination = 1, .blocks = 0, .from = 0x10000, .to = 0})});
  ASSERT_TRUE(extents);
  ASSERT_EQ(extents->size(), 3u);
  EXPECT_EQ((*extents)[0], (CopyExtent{0, 1, 4096, 12288, 8192}));
  EXPECT_EQ((*extents)[1], (CopyExtent{0, 1, 4096, 12288, 8192}));
  EXPECT_EQ((*extents)[2], (CopyExtent{1, 1, 0x10000000, 0, 0}));
}

TEST_F(ScsiCopyPlan, HalfABlockIsInexact) {
  expect_failed({segment({.source = 0, .destination = 1, .blocks = 7})}, {0xa, 0x26, 0x0a}, 10);
  expect_failed({segment({.source = 0, .destination = 1, .blocks = 7, .flags = 0x01})},
                {0xa, 0x26, 0x0a}, 10);
  EXPECT_TRUE(plan({segment({.source = 1, .destination = 0, .blocks = 7})}));
}

TEST_F(ScsiCopyPlan, StaysWithinBothDisks) {
  const auto first = segment({.source = 0, .destination = 0, .blocks = 1});
  EXPECT_TRUE(
      plan({segment({.source = 0, .destination = 1, .blocks = 8, .from = 0x1fff8, .to = 0xffff})}));
  for (const uint64_t lba :
       {0x1fff9ull, 0x20000ull, 0xffffffffffffffffull, 0x8000000000000000ull}) {
    expect_failed({first, segment({.source = 0, .blocks = 8, .from = lba})}, {0xa, 0x00, 0x00}, 12);
    expect_failed({first, segment({.source = 0, .blocks = 8, .to = lba})}, {0xa, 0x00, 0x00}, 20);
  }
  EXPECT_EQ(plan({first, segment({.source = 0, .blocks = 8, .to = 0x20000})}).error().copy->segment,
            1);
}

TEST_F(ScsiCopyPlan, NoSegmentIsLongerThanTold) {
  // 32 MiB: 8192 blocks of 4096 bytes, and all that fit in the field of 512.
  EXPECT_TRUE(plan({segment({.source = 1, .destination = 1, .blocks = 8192, .to = 8192})}));
  expect_failed({segment({.source = 1, .destination = 1, .blocks = 8193, .to = 8193})},
                {0x5, 0x26, 0x00});
  EXPECT_TRUE(plan({segment({.source = 0, .destination = 0, .blocks = 65535})}));
}

TEST_F(ScsiCopyPlan, BlockLengthsThatAreToldMustBeTrue) {
  answer = 4096;
  EXPECT_TRUE(plan({}));
  answer = 512;
  expect_failed({}, {0x5, 0x26, 0x00});
}

TEST_F(ScsiCopyPlan, AReadOnlyDestinationIsTheDestinationsError) {
  disks[1].facts.read_only = true;
  EXPECT_TRUE(plan({segment({.source = 1, .destination = 0, .blocks = 1})}));
  const auto extents = plan({segment({}), segment({.source = 0, .destination = 1, .blocks = 8})});
  ASSERT_FALSE(extents);
  const WholeSense sense = encode_whole(extents.error());
  const Bytes expected = {
      0x70, 0x00, 0x0a, 0x00, 0x00, 0x00, 0x00, 0x1d,  // COPY ABORTED, 29 more bytes
      0x00, 0x12, 0x00, 0x01, 0x0d, 0x01, 0x00, 0x00,  // the destination's at 18, segment 1, 0D/01
      0x00, 0x00, 0x02,                                // CHECK CONDITION
      0x70, 0x00, 0x07, 0x00, 0x00, 0x00, 0x00, 0x0a,  // DATA PROTECT
      0x00, 0x00, 0x00, 0x00, 0x27, 0x00, 0x00, 0x00,  // WRITE PROTECTED
      0x00, 0x00,
  };
  EXPECT_EQ(Bytes(sense.span().begin(), sense.span().end()), expected);
}

TEST(ScsiCopySense, PointsIntoTheSegmentDescriptor) {
  Sense sense{0x0a, 0x08, 0x04};
  sense.copy = CopyFailure{.segment = 0x0102, .field = 20};
  const WholeSense whole = encode_whole(sense);
  EXPECT_EQ(
      Bytes(whole.span().begin(), whole.span().end()),
      (Bytes{0x70, 0, 0x0a, 0, 0, 0, 0, 0x0a, 0, 0, 0x01, 0x02, 0x08, 0x04, 0, 0xa0, 0, 0x14}));
  const WholeSense busy =
      encode_whole(third_party_failure(3, CopyFailure::Who::kSource, Result::busy()));
  EXPECT_EQ(Bytes(busy.span().begin(), busy.span().end()),
            (Bytes{0x70, 0, 0x0a, 0, 0, 0, 0, 0x0b, 0x12, 0, 0, 3, 0x0d, 0x01, 0, 0, 0, 0, 0x08}));
}

// Any bytes: no read beyond them (ASan), and accepted lists are within the limits.
TEST(ScsiCopyList, RandomBytesKeepTheLimits) {
  const char* fixed = std::getenv("TCMU_RBD_TEST_SEED");
  const uint64_t seed = fixed ? std::strtoull(fixed, nullptr, 0) : std::random_device()();
  SCOPED_TRACE(::testing::Message() << "TCMU_RBD_TEST_SEED=" << seed);
  std::mt19937_64 random(seed);
  const ServedDisk disks[2] = {{0, {.block_size = 512, .blocks = 1000}},
                               {1, {.block_size = 4096, .blocks = 1000}}};
  int planned = 0;
  for (int round = 0; round < 20'000; ++round) {
    Bytes list = copy_list(many(random() % 10, cscd(kNaaName, 0)),
                           many(random() % 18, segment({.blocks = 8, .from = 1, .to = 100})));
    for (auto flips = random() % 4; flips != 0; --flips)
      list[random() % list.size()] = static_cast<uint8_t>(random());
    const auto request = read(list, random() % 8 == 0 ? random() % 2000 : list.size());
    if (!request) continue;
    ASSERT_LE(request->cscds.size(), 8u);
    ASSERT_LE(request->segments.size(), 16u);
    std::vector<ServedDisk> named;
    for (size_t i = 0; i < request->cscds.size(); ++i) named.push_back(disks[random() % 2]);
    const auto extents = plan_copy(*request, named);
    if (!extents) continue;
    ++planned;
    ASSERT_EQ(extents->size(), request->segments.size());
    for (const CopyExtent& extent : *extents) {
      const auto bytes = [&](uint16_t n) {
        return disks[n].facts.blocks * disks[n].facts.block_size;
      };
      ASSERT_LE(extent.length, 32u << 20);
      ASSERT_LE(extent.from + extent.length, bytes(extent.source));
      ASSERT_LE(extent.to + extent.length, bytes(extent.destination));
    }
  }
  EXPECT_GT(planned, 100);
}

}  // namespace
}  // namespace tcmurbd::scsi
