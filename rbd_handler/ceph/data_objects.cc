// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/ceph/data_objects.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <ctime>
#include <utility>

#include "common/check.h"
#include "rbd_handler/image.h"

namespace tcmurbd::ceph {
namespace {

// Long enough for any common pool name; a longer one is only missing in messages.
constexpr size_t kPoolNameBytesMax = 4096;

}  // namespace

std::vector<ByteRange> mapped_runs(const DataLayout& layout, const ByteRange& range,
                                   std::span<const std::optional<uint64_t>> objects) {
  std::vector<ByteRange> runs;
  const uint64_t first = range.offset / layout.object_bytes;
  for (uint64_t i = 0; i < objects.size(); ++i) {
    const uint64_t begin = (first + i) * layout.object_bytes;
    // A missing object shows the parent's data.
    const uint64_t parents = layout.parent_bytes - std::min(layout.parent_bytes, begin);
    const uint64_t held = std::min(objects[i].value_or(parents), layout.object_bytes);
    const uint64_t from = std::max(begin, range.offset);
    const uint64_t to = std::min(begin + held, range.end());
    if (from >= to) continue;
    if (!runs.empty() && runs.back().end() == from)
      runs.back().length += to - from;
    else
      runs.push_back({from, to - from});
  }
  return runs;
}

std::string object_of(const DataLayout& layout, uint64_t offset) {
  const uint64_t unit = offset / layout.stripe_unit;
  const uint64_t units_per_set = layout.object_bytes / layout.stripe_unit * layout.stripe_objects;
  const uint64_t object =
      unit / units_per_set * layout.stripe_objects + unit % layout.stripe_objects;
  return fmt::format("{}.{:016x}", layout.object_prefix, object);
}

struct DataObjects::Stat {
  Search* search = nullptr;
  uint64_t bytes = 0;  // librados writes both.
  time_t changed = 0;
  bool exists = false;
};

struct DataObjects::Search {
  const DataLayout& layout;
  ByteRange range;
  std::vector<ByteRange>& mapped;
  std::function<void(int32_t)> done;
  std::vector<Stat> stats{};
  std::atomic<size_t> pending{0};  // Stats in flight, plus one for the thread that starts them.
  std::atomic<int32_t> error{0};   // One of the errors, if there are any.
};

std::expected<std::unique_ptr<DataObjects>, int> DataObjects::open(rados_t cluster,
                                                                   DataLayout layout) {
  rados_ioctx_t pool = nullptr;
  if (const int r = rados_ioctx_create2(cluster, layout.pool, &pool); r < 0)
    return std::unexpected(r);
  rados_ioctx_set_namespace(pool, layout.name_space.c_str());
  if (layout.snapshot) rados_ioctx_snap_set_read(pool, *layout.snapshot);
  std::array<char, kPoolNameBytesMax> name{};
  if (rados_ioctx_get_pool_name(pool, name.data(), name.size()) < 0) name[0] = '\0';
  return std::unique_ptr<DataObjects>(new DataObjects(std::move(layout), pool, name.data()));
}

DataObjects::~DataObjects() { rados_ioctx_destroy(pool_); }

void DataObjects::find_mapped(const ByteRange& range, std::vector<ByteRange>& mapped,
                              std::function<void(int32_t)> done) const {
  if (!layout_.plain) {
    mapped = {range};
    return done(0);
  }
  const uint64_t first = range.offset / layout_.object_bytes;
  const uint64_t count = (range.end() - 1) / layout_.object_bytes - first + 1;
  CHECK(count <= kBlockStatusObjectsMax);
  auto* const search = new Search{layout_, range, mapped, std::move(done)};
  search->stats.resize(count, Stat{.search = search});
  search->pending = count + 1;
  for (uint64_t i = 0; i < count; ++i)
    if (const int r = start(search->stats[i], first + i); r < 0) stat_ended(search->stats[i], r);
  leave(*search);
}

int DataObjects::start(Stat& stat, uint64_t object) const {
  rados_completion_t completion = nullptr;
  if (const int r = rados_aio_create_completion2(&stat, &DataObjects::on_stat, &completion); r < 0)
    return r;
  const std::string name = fmt::format("{}.{:016x}", layout_.object_prefix, object);
  const int r = rados_aio_stat(pool_, name.c_str(), completion, &stat.bytes, &stat.changed);
  if (r < 0) rados_aio_release(completion);
  return r;
}

void DataObjects::on_stat(rados_completion_t completion, void* stat) {
  const int result = rados_aio_get_return_value(completion);
  rados_aio_release(completion);
  stat_ended(*static_cast<Stat*>(stat), result);
}

void DataObjects::stat_ended(Stat& stat, int result) {
  stat.exists = result >= 0;
  if (result < 0 && result != -ENOENT) stat.search->error = result;
  leave(*stat.search);
}

// The last one completes the search.
void DataObjects::leave(Search& search) {
  if (--search.pending != 0) return;
  const std::unique_ptr<Search> owned(&search);
  std::vector<std::optional<uint64_t>> objects;
  objects.reserve(search.stats.size());
  for (const Stat& stat : search.stats)
    objects.push_back(stat.exists ? std::optional(stat.bytes) : std::nullopt);
  search.mapped = mapped_runs(search.layout, search.range, objects);
  search.done(search.error);
}

}  // namespace tcmurbd::ceph
