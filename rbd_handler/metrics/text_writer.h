// SPDX-License-Identifier: Apache-2.0
// Writes families of metrics in either format. Pure, any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "rbd_handler/metrics/exposition.h"

namespace tcmurbd::metrics {

enum class Type : uint8_t { kCounter, kGauge, kHistogram, kInfo };
std::string_view type_name(Type type);

// `text` in quotes, as the value of a label. What is not UTF-8 becomes \xNN: Prometheus refuses
// the whole scrape for it.
std::string quoted_label(std::string_view text);

// A bound of buckets as OpenMetrics has it: "0.0001", "5e-05", "1.0".
std::string bound_text(double bound);

class TextWriter {
 public:
  explicit TextWriter(Format format) : format_(format) {}

  // A family: its samples follow. `name`: in full, but for "_total" of a counter and "_info".
  void begin(std::string_view name, Type type, std::string_view help);
  // A sample of it. `labels`: LABEL="VALUE" with commas between them; may be empty.
  void add(std::string_view labels, uint64_t value) { add_line("", labels, {}, value); }
  void add(std::string_view labels, double value) { add_line("", labels, {}, value); }
  // With labels in two parts.
  void add(std::string_view labels, std::string_view more, uint64_t value) {
    add_line("", labels, more, value);
  }
  // Of a histogram: "_bucket", "_sum", "_count".
  template <typename Number>
  void add_part(std::string_view suffix, std::string_view labels, std::string_view more,
                Number value) {
    add_line(suffix, labels, more, value);
  }
  std::string finish() &&;

 private:
  template <typename Number>
  void add_line(std::string_view suffix, std::string_view labels, std::string_view more,
                Number value);

  const Format format_;
  std::string out_;
  std::string sample_name_;
};

}  // namespace tcmurbd::metrics
