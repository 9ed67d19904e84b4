// SPDX-License-Identifier: Apache-2.0
// What decides whether and how an image can be served, and may change while it is: size, features,
// settings, limits, and whether it is primary (mirroring). Read at open, and again when the header
// changes. Pure but for read_facts().
#pragma once

#include <cstdint>
#include <expected>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "rbd_handler/task/rate_limits.h"

namespace tcmurbd::ceph {

// A setting of image_settings() to which the image's or its pool's metadata gives another value.
struct WrongSetting {
  std::string name;
  std::string value;
  bool of_pool = false;
  bool operator==(const WrongSetting&) const = default;
};

struct ImageFacts {
  uint64_t bytes = 0;
  uint64_t features = 0;  // RBD_FEATURE_*
  std::vector<WrongSetting> wrong_settings{};
  task::RateLimits limits{};

  bool exclusive_lock() const;
  bool journaling() const;
  bool primary() const;
  bool operator==(const ImageFacts&) const = default;
};

bool primary_by(uint64_t features);

// `image`: a rbd_image_t. Errors are negative errnos. Some round trips. BLOCKS: worker thread.
std::expected<ImageFacts, int> read_facts(void* image);

// Why an image can't be opened, its `head` for writing or a snapshot, in the words of the log;
// nothing if it can.
std::optional<std::string> refusal(const ImageFacts& facts, bool head);

// What is to be told of an image that is open.
struct ImageNews {
  // Sentences for the operator: what changed, what follows, the way out.
  std::vector<std::string> warnings{};
  task::RateLimits limits{};
  bool primary = true;
  uint64_t bytes = 0;
  // Changes must not be begun any more, see unsafe().
  bool unsafe = false;
};

// Called on a thread of the image; must only post and return.
using NewsSink = std::function<void(const ImageNews&)>;

// Whether an image that was opened as `opened` and has become `now` must not be changed through
// that handle any more:
//  - journaling: librbd writes to the journal from the next lock on, and its replay brings aborted
//    writes back;
//  - the feature exclusive-lock is gone: librbd lets everybody write, and no gateway waits for
//    another's writes;
//  - a wrong setting that an open handle obeys.
// Safe: a setting that counts only when an image is opened (the next open refuses it), and the
// feature exclusive-lock where there was none: the next change gets -EROFS and leads to a fresh
// handle, which takes the lock.
bool unsafe(const ImageFacts& opened, const ImageFacts& now);

// Of the image `name`, told `before` the last time.
ImageNews news_of(const std::string& name, const ImageFacts& opened, const ImageFacts& before,
                  const ImageFacts& now);

}  // namespace tcmurbd::ceph
