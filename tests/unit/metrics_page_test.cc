// SPDX-License-Identifier: Apache-2.0
// METRICS.md matches the metrics, and promtool likes them. Regenerates the page if
// TCMU_RBD_WRITE_PAGES is set.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <sys/wait.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "rbd_handler/metrics/exposition.h"
#include "tests/unit/metrics_fixture.h"

namespace tcmurbd::metrics {
namespace {

constexpr const char* kBegin = "<!-- begin -->\n";
constexpr const char* kEnd = "<!-- end -->";

std::string table() {
  std::string out = "| metric | type | labels | meaning |\n|---|---|---|---|\n";
  for (const Documented& metric : documented())
    out += fmt::format("| `{}` | {} | {} | {} |\n", metric.name, metric.type, metric.labels,
                       metric.help);
  out += "\n| label | values |\n|---|---|\n";
  const auto values = [&](std::string_view label, const auto& all) {
    out += fmt::format("| {} |", label);
    const char* before = " ";
    for (const std::string_view value : all) {
      out += before + std::string(value);
      before = ", ";
    }
    out += " |\n";
  };
  values("operation", scsi::kOperationNames);
  for (const DeviceCounter& counter : kDeviceCounters)
    if (!counter.values.empty() && counter.label != "operation")
      values(counter.label, counter.values);
  return out;
}

TEST(MetricsPage, IsMadeFromTheList) {
  std::ifstream file(METRICS_PAGE);
  std::stringstream stream;
  stream << file.rdbuf();
  const std::string page = stream.str();
  const size_t begin = page.find(kBegin);
  const size_t end = page.find(kEnd);
  ASSERT_NE(begin, std::string::npos);
  ASSERT_NE(end, std::string::npos);
  const size_t from = begin + std::string_view(kBegin).size();
  if (std::getenv("TCMU_RBD_WRITE_PAGES") != nullptr) {
    std::ofstream(METRICS_PAGE) << page.substr(0, from) << table() << page.substr(end);
    return;
  }
  EXPECT_EQ(page.substr(from, end - from), table())
      << "update it: TCMU_RBD_WRITE_PAGES=1 build/metrics_test --gtest_filter='MetricsPage.*'";
}

TEST(MetricsPage, PromtoolHasNoComplaint) {
  if (std::system("command -v promtool >/dev/null") != 0)
    GTEST_SKIP() << "promtool (Debian: prometheus) is not installed";
  // Also with names that need care.
  Sample sample = testing::sample_of(3);
  sample.luns[1].image = "a\"b\\c\nd\xff";
  sample.luns[2].device = nullptr;
  FILE* promtool = popen("promtool check metrics", "w");
  ASSERT_NE(promtool, nullptr);
  const std::string text = expose(sample, Format::kText);
  EXPECT_EQ(std::fwrite(text.data(), 1, text.size(), promtool), text.size());
  const int status = pclose(promtool);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0) << "its complaints are above";
}

}  // namespace
}  // namespace tcmurbd::metrics
