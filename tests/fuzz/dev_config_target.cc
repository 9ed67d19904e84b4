// SPDX-License-Identifier: Apache-2.0
#include "common/check.h"
#include "config/image_spec.h"
#include "tests/fuzz/input.h"
#include "tests/fuzz/targets.h"

namespace tcmurbd::fuzz {

void dev_config(Bytes input) {
  const auto spec = parse_dev_config({reinterpret_cast<const char*>(input.data()), input.size()});
  if (!spec) {
    CHECK(is_message(spec.error()));
    return;
  }
  CHECK(!spec->pool.empty() && !spec->image.empty());
  for (const std::string* part : {&spec->pool, &spec->name_space, &spec->image, &spec->snapshot,
                                  &spec->conf_path, &spec->user}) {
    for (const char c : *part) CHECK(static_cast<unsigned char>(c) >= 0x20 && c != ';');
  }
  for (const std::string* part : {&spec->pool, &spec->name_space, &spec->image, &spec->snapshot})
    CHECK(part->find_first_of("/@") == std::string::npos);
  CHECK(spec->conf_path.empty() || spec->conf_path.starts_with('/'));
  if (spec->command_deadline)
    CHECK(spec->command_deadline->count() >= 0 && spec->command_deadline->count() <= 600);
  // The text for messages names the same image.
  const auto again = parse_dev_config("rbd/" + spec->to_string());
  CHECK(again && again->to_string() == spec->to_string() && again->pool == spec->pool &&
        again->image == spec->image);
}

}  // namespace tcmurbd::fuzz
