// SPDX-License-Identifier: Apache-2.0
// Which bytes of an image hold data, told by the sizes of its RADOS objects. librbd's own answer,
// rbd_diff_iterate2, BLOCKS, for ever when an OSD hangs; an asynchronous stat of each object does
// not, and goes down the same way as the image's reads: fenced with them, timed out as they are.
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

// Where an image's data is, as far as it can be told from its objects.
struct DataLayout {
  int64_t pool = 0;
  std::string name_space{};
  std::optional<uint64_t> snapshot{};  // Its id; none: the head.
  std::string object_prefix{};
  uint64_t object_bytes = 0;
  // What is missing below this comes from a parent. An image that is flattened or shrunk later has
  // less of it: more is then called mapped than is.
  uint64_t parent_bytes = 0;
  // Bytes go round `stripe_objects` objects in units of `stripe_unit`, until these are full.
  uint64_t stripe_unit = 0;
  uint64_t stripe_objects = 1;
  // Byte n is in object n / object_bytes, and nowhere else. Not so with striping over several
  // objects, nor while the image is being migrated: all of it is called mapped then.
  bool plain = false;
};

// The name of the object that has byte `offset`.
// REQUIRES: object_bytes is a multiple of stripe_unit, and neither that nor stripe_objects is 0, as
// librbd makes sure of.
std::string object_of(const DataLayout& layout, uint64_t offset);

// The sizes of an image's objects from number `first` on, nothing for one that does not exist, to
// the runs of `range` that may hold data: in order, merged. What is beyond an object's size reads
// as zeroes.
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

  // Fills in `mapped` and then calls `done`, just once, with 0 or a negative errno: on a thread of
  // librados or before it returns. Never blocks. All objects are asked at once.
  // REQUIRES: `range` is not empty and touches at most kBlockStatusObjectsMax objects; `mapped`
  // stays until `done`.
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
