// SPDX-License-Identifier: Apache-2.0
// Finds the allocated bytes of an image by the sizes of its RADOS objects. librbd's
// rbd_diff_iterate2 BLOCKS, forever when an OSD hangs; asynchronous stats of the objects do not,
// and they are fenced and time out like the image's reads.
#pragma once

#include <rados/librados.h>

#include <cstdint>
#include <expected>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "common/units.h"

namespace tcmurbd::ceph {

// The layout of an image's data, as far as it can be derived from its objects.
struct DataLayout {
  int64_t pool = 0;
  std::string name_space{};
  std::optional<uint64_t> snapshot{};  // Its id; none: the head.
  std::string object_prefix{};
  uint64_t object_bytes = 0;
  // Missing objects below this offset are read from the parent. If the image is flattened or shrunk
  // later, more is reported as mapped than is.
  uint64_t parent_bytes = 0;
  // Striping: `stripe_objects` objects are filled in turn in units of `stripe_unit`.
  uint64_t stripe_unit = 0;
  uint64_t stripe_objects = 1;
  // Byte n is in object n / object_bytes. False with striping over several objects and while the
  // image is being migrated: then everything is reported as mapped.
  bool plain = false;
};

// The name of the object that has byte `offset`.
// REQUIRES: object_bytes is a multiple of stripe_unit, and neither that nor stripe_objects is 0, as
// librbd ensures.
std::string object_of(const DataLayout& layout, uint64_t offset);

// Converts the sizes of the image's objects, from that of the begin of `range` on (no value: the
// object does not exist), to the runs of `range` that may hold data: in order, merged. Bytes beyond
// an object's size read as zeroes.
std::vector<ByteRange> mapped_runs(const DataLayout& layout, const ByteRange& range,
                                   std::span<const std::optional<uint64_t>> objects);

class DataObjects {
 public:
  // Errors are negative errnos. Of `cluster`, which must outlive it. BLOCKS: worker thread.
  static std::expected<std::unique_ptr<DataObjects>, int> open(rados_t cluster, DataLayout layout);
  // REQUIRES: no find_mapped is under way.
  ~DataObjects();
  DataObjects(const DataObjects&) = delete;
  DataObjects& operator=(const DataObjects&) = delete;

  const DataLayout& layout() const { return layout_; }
  const std::string& pool_name() const { return pool_name_; }

  // Fills in `mapped` and then calls `done` once, with 0 or a negative errno, on a thread of
  // librados or before it returns. Never blocks. All objects are queried in parallel. REQUIRES:
  // `range` is not empty and touches at most kBlockStatusObjectsMax objects; `mapped` stays until
  // `done`.
  void find_mapped(const ByteRange& range, std::vector<ByteRange>& mapped,
                   std::function<void(int32_t)> done) const;

 private:
  struct Search;
  struct Stat;
  DataObjects(DataLayout layout, rados_ioctx_t pool, std::string pool_name)
      : layout_(std::move(layout)), pool_(pool), pool_name_(std::move(pool_name)) {}
  int start(Stat& stat, uint64_t object) const;
  static void on_stat(rados_completion_t completion, void* stat);
  static void stat_ended(Stat& stat, int result);
  static void leave(Search& search);

  const DataLayout layout_;
  const rados_ioctx_t pool_;
  const std::string pool_name_;
};

}  // namespace tcmurbd::ceph
