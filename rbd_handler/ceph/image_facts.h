// SPDX-License-Identifier: Apache-2.0
// The properties that decide whether and how an image can be served, and that may change meanwhile:
// size, features, settings, limits, and whether it is primary (mirroring). Read at open, and again
// when the header changes. Pure except for read_facts().
#pragma once

#include <cstdint>
#include <expected>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "rbd_handler/task/rate_limits.h"

namespace tcmurbd::ceph {

// A setting of image_settings() that is overridden by the image's or its pool's metadata.
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
  bool object_map() const;
  bool journaling() const;
  bool primary() const;
  bool operator==(const ImageFacts&) const = default;
};

bool primary_by(uint64_t features);

// `image`: a rbd_image_t. Errors are negative errnos. Some round trips. BLOCKS: worker thread.
std::expected<ImageFacts, int> read_facts(void* image);

// Why an image (its `head` for writing, or a snapshot) cannot be opened, as a log text; no value if
// it can.
std::optional<std::string> refusal(const ImageFacts& facts, bool head);

// Changes of an open image to report.
struct ImageNews {
  // Messages for the operator: the change, its effect, the remedy.
  std::vector<std::string> warnings{};
  task::RateLimits limits{};
  bool primary = true;
  uint64_t bytes = 0;
  // Changes must not be started any more, see unsafe().
  bool unsafe = false;
};

// Called on a thread of the image; must only post and return.
using NewsSink = std::function<void(const ImageNews&)>;

// Whether an image with the facts `opened` at open and `now` now must not be changed through that
// handle any more:
//  - journaling: librbd writes to the journal from the next lock on, and a replay would apply
//  aborted writes;
//  - the feature exclusive-lock was removed: librbd lets all clients write, and gateways do not
//  wait for each other's writes;
//  - a wrong setting that an open handle obeys.
// Safe: a setting that takes effect only when an image is opened (the next open refuses it), and
// the feature exclusive-lock if it was added: the next change gets -EROFS and causes a reopen with
// the lock.
bool unsafe(const ImageFacts& opened, const ImageFacts& now);

// For the image `name`; `before` was reported last.
ImageNews news_of(const std::string& name, const ImageFacts& opened, const ImageFacts& before,
                  const ImageFacts& now);

}  // namespace tcmurbd::ceph
