// SPDX-License-Identifier: Apache-2.0
// The metrics as text. Pure, any thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "rbd_handler/metrics/samples.h"

namespace tcmurbd::metrics {

enum class Format : uint8_t {
  kText,         // Prometheus text exposition format 0.0.4, also of textfile collectors.
  kOpenMetrics,  // OpenMetrics 1.0.0.
};

// Both end with the line "# EOF", which is a comment in the older one: who reads a part of it,
// notices.
std::string expose(const Sample& sample, Format format);

// The Content-Type of an answer.
std::string_view content_type(Format format);
// The format that a client prefers by its header Accept (RFC 9110 12.5.1); any bytes. Without the
// header, or if it takes neither, kText.
Format negotiate(std::string_view accept);

// What there is, for the documentation and for tests of what names metrics.
struct Documented {
  std::string name;  // As in queries: a counter with "_total", a histogram without "_bucket".
  std::string_view type;
  std::string labels;  // "lun, pool, namespace, image, operation".
  std::string_view help;
};
std::vector<Documented> documented();

}  // namespace tcmurbd::metrics
