// SPDX-License-Identifier: Apache-2.0
// The text of the metrics: what is in it, that any name can be in it, and what is asked for.
#include <gmock/gmock.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>
#include <sstream>

#include "rbd_handler/metrics/exposition.h"
#include "rbd_handler/metrics/text_writer.h"
#include "tests/unit/metrics_fixture.h"

namespace tcmurbd::metrics {
namespace {

using testing::busy_lun;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::sample_of;

// Reads the text back: the value of each series, and the type of each family.
struct Read {
  std::map<std::string, std::string> values;
  std::map<std::string, std::string> types;
  std::vector<std::string> families;  // In their order.

  explicit Read(const std::string& text) {
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
      std::istringstream words(line);
      std::string mark, what, family;
      if (line.starts_with("#")) {
        words >> mark >> what >> family;
        if (what == "TYPE") {
          std::string type;
          words >> type;
          EXPECT_TRUE(types.emplace(family, type).second) << family << " is there twice";
          families.push_back(family);
        }
        continue;
      }
      const size_t end = line.rfind(' ');
      EXPECT_NE(end, std::string::npos) << line;
      const std::string series = line.substr(0, end);
      EXPECT_TRUE(values.emplace(series, line.substr(end + 1)).second) << "twice: " << series;
      EXPECT_TRUE(series.starts_with(families.back())) << series << " is not of its family";
    }
  }
};

constexpr const char* kDisk0 = R"(lun="user_0/disk0",pool="rbd",namespace="",image="disk0")";

std::string series(std::string_view name, std::string_view more = "") {
  return std::string(name) + "{" + kDisk0 + (more.empty() ? "" : ",") + std::string(more) + "}";
}

TEST(Metrics, EachSeriesIsThereOnceAndWithItsFamily) {
  for (const Format format : {Format::kText, Format::kOpenMetrics}) {
    const std::string text = expose(sample_of(3), format);
    EXPECT_THAT(text, EndsWith("\n# EOF\n"));
    EXPECT_GT(Read(text).values.size(), 500U);
  }
}

TEST(Metrics, TheFormatsDifferInTheNamesOfFamiliesOnly) {
  const Read older(expose(sample_of(1), Format::kText));
  const Read newer(expose(sample_of(1), Format::kOpenMetrics));
  EXPECT_EQ(older.values, newer.values);
  EXPECT_EQ(older.types.at("tcmu_rbd_reads_total"), "counter");
  EXPECT_EQ(newer.types.at("tcmu_rbd_reads"), "counter");
  EXPECT_EQ(older.types.at("tcmu_rbd_build_info"), "gauge");
  EXPECT_EQ(newer.types.at("tcmu_rbd_build"), "info");
}

TEST(Metrics, CountersHaveTheirNumbers) {
  Sample sample = sample_of(1);
  const Read read(expose(sample, Format::kText));
  const DeviceCounters& counters = sample.luns[0].device->counters;
  EXPECT_EQ(read.values.at(series("tcmu_rbd_reads_total")), std::to_string(counters.reads));
  EXPECT_EQ(read.values.at(series("tcmu_rbd_waits_total", R"(reason="lock")")),
            std::to_string(counters.lock_waits));
  EXPECT_EQ(read.values.at(series("tcmu_rbd_commands_total", R"(operation="write")")),
            std::to_string(counters.commands_by_operation[1]));
  EXPECT_EQ(read.values.at(series("tcmu_rbd_fences_total", R"(cause="hung_op")")),
            std::to_string(counters.fences_by_cause[0]));
}

TEST(Metrics, GaugesHaveTheirNumbers) {
  const Read read(expose(sample_of(1), Format::kText));
  EXPECT_EQ(read.values.at(series("tcmu_rbd_lun_size_bytes")), "1099511627776");
  EXPECT_EQ(read.values.at(series("tcmu_rbd_lun_lock_owner")), "1");
  EXPECT_EQ(read.values.at(series("tcmu_rbd_lun_state", R"(state="serving")")), "1");
  EXPECT_EQ(read.values.at(series("tcmu_rbd_lun_state", R"(state="opening")")), "0");
  EXPECT_EQ(read.values.at(series("tcmu_rbd_lun_writes_state", R"(state="no_lock")")), "1");
  EXPECT_EQ(read.values.at(series("tcmu_rbd_lun_writes_state", R"(state="served")")), "0");
  EXPECT_EQ(read.values.at(series("tcmu_rbd_oldest_command_seconds")), "1.5");
  EXPECT_EQ(read.values.at(series("tcmu_rbd_hung_commands", R"(osd="2",role="primary")")), "3");
  EXPECT_EQ(read.values.at("process_open_fds"), "100");
  EXPECT_EQ(read.values.at(R"(tcmu_rbd_reactor_cpu_seconds_total{reactor="0"})"), "1.5");
}

TEST(Metrics, HistogramsAreCumulative) {
  Sample sample = sample_of(1);
  DeviceGauges device;
  for (const int us : {40, 60, 90, 4000, 70'000'000})
    device.latency.command[0].add(std::chrono::microseconds(us));
  sample.luns[0].device = std::make_shared<DeviceGauges>(device);
  const Read read(expose(sample, Format::kText));
  const auto below = [&](const std::string& bound) {
    return read.values.at(
        series("tcmu_rbd_command_seconds_bucket", R"(operation="read",le=")" + bound + "\""));
  };
  EXPECT_EQ(below("5e-05"), "1");
  EXPECT_EQ(below("0.0001"), "3");
  EXPECT_EQ(below("0.002"), "3");
  EXPECT_EQ(below("0.005"), "4");
  EXPECT_EQ(below("1.0"), "4");
  EXPECT_EQ(below("60.0"), "4");
  EXPECT_EQ(below("+Inf"), "5");
  EXPECT_EQ(read.values.at(series("tcmu_rbd_command_seconds_count", R"(operation="read")")), "5");
  EXPECT_EQ(read.values.at(series("tcmu_rbd_command_seconds_sum", R"(operation="read")")),
            "70.00419");
  EXPECT_FALSE(
      read.values.contains(series("tcmu_rbd_command_seconds_count", R"(operation="write")")))
      << "there was none";
}

TEST(Metrics, ALunThatDoesNotServeHasItsStateOnly) {
  Sample sample = sample_of(1);
  sample.luns[0].device = nullptr;
  sample.luns[0].state = "opening";
  sample.luns[0].hung.clear();
  const Read read(expose(sample, Format::kText));
  EXPECT_EQ(read.values.at(series("tcmu_rbd_lun_state", R"(state="opening")")), "1");
  EXPECT_FALSE(read.values.contains(series("tcmu_rbd_reads_total")));
  EXPECT_EQ(std::ranges::count_if(read.values,
                                  [](const auto& value) { return value.first.contains("disk0"); }),
            5);
}

TEST(Metrics, WithoutLunsTheyAreSound) {
  const Read read(expose(Sample{.version = "x", .kernel = "y"}, Format::kOpenMetrics));
  EXPECT_EQ(read.values.at("tcmu_rbd_scrape_unanswered_luns"), "0");
}

TEST(Metrics, LabelsAreEscaped) {
  EXPECT_EQ(quoted_label("plain"), "\"plain\"");
  EXPECT_EQ(quoted_label("a\"b\\c\nd"), R"("a\"b\\c\nd")");
  EXPECT_EQ(quoted_label("gr\xc3\xbc\xc3\x9f"), "\"gr\xc3\xbc\xc3\x9f\"") << "UTF-8 stays";
  EXPECT_EQ(quoted_label("\xf0\x9f\x90\x99"), "\"\xf0\x9f\x90\x99\"");
  EXPECT_EQ(quoted_label("\xff"), R"("\\xff")");
  EXPECT_EQ(quoted_label("\xc3"), R"("\\xc3")") << "cut off";
  EXPECT_EQ(quoted_label("\xc0\x80"), R"("\\xc0\\x80")") << "overlong";
  EXPECT_EQ(quoted_label("\xed\xa0\x80"), R"("\\xed\\xa0\\x80")") << "a surrogate";
  EXPECT_EQ(quoted_label("\xf4\x90\x80\x80"), R"("\\xf4\\x90\\x80\\x80")") << "above U+10FFFF";
}

// One that decodes as a client does.
TEST(Metrics, AnyBytesLeaveALineALine) {
  std::mt19937 random(3);
  for (int i = 0; i < 2000; ++i) {
    std::string name;
    for (size_t length = random() % 12; name.size() < length;)
      name += static_cast<char>(random() % 3 == 0 ? "\"\\\n{}= "[random() % 7] : random());
    const std::string quoted = quoted_label(name);
    EXPECT_EQ(quoted.find('\n'), std::string::npos);
    ASSERT_GE(quoted.size(), 2U);
    for (size_t at = 1; at + 1 < quoted.size(); ++at) {
      ASSERT_NE(quoted[at], '"');
      if (quoted[at] != '\\') continue;
      ++at;
      ASSERT_LT(at, quoted.size() - 1) << "the last quote is escaped";
      EXPECT_NE(std::string("\"\\n").find(quoted[at]), std::string::npos);
    }
  }
}

TEST(Metrics, BoundsAreFloats) {
  EXPECT_EQ(bound_text(1), "1.0");
  EXPECT_EQ(bound_text(0.5), "0.5");
  EXPECT_EQ(bound_text(5e-5), "5e-05");
}

TEST(Metrics, TheFormatIsWhatTheClientPrefers) {
  // As Prometheus 2.42 asks.
  EXPECT_EQ(
      negotiate("application/openmetrics-text;version=1.0.0,application/"
                "openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"),
      Format::kOpenMetrics);
  EXPECT_EQ(negotiate(""), Format::kText);
  EXPECT_EQ(negotiate("*/*"), Format::kText);
  EXPECT_EQ(negotiate("text/plain"), Format::kText);
  EXPECT_EQ(negotiate("Application/OpenMetrics-Text ; Version=1.0.0 ; Q=1"), Format::kOpenMetrics);
  EXPECT_EQ(negotiate("application/openmetrics-text;version=2.0.0"), Format::kText);
  EXPECT_EQ(negotiate("application/openmetrics-text;q=0"), Format::kText);
  EXPECT_EQ(negotiate("application/openmetrics-text;q=0.2, text/plain;q=0.9"), Format::kText);
  EXPECT_EQ(negotiate(",;,=;q=x,\xff\xff;q=;;"), Format::kText);
}

// promtool's rules in short; metrics_promtool asks itself, where it is installed.
TEST(Metrics, NamesAreAsPrometheusWantsThem) {
  std::set<std::string> names;
  for (const Documented& metric : documented()) {
    EXPECT_TRUE(names.insert(metric.name).second) << metric.name;
    EXPECT_THAT(metric.name, ::testing::MatchesRegex("[a-z][a-z0-9_]*"));
    EXPECT_TRUE(metric.name.starts_with("tcmu_rbd_") || metric.name.starts_with("process_"));
    EXPECT_EQ(metric.name.ends_with("_total"), metric.type == "counter") << metric.name;
    EXPECT_THAT(std::string(metric.help), EndsWith("."));
    EXPECT_THAT(std::string(metric.help), Not(HasSubstr("\"")));
    EXPECT_THAT(std::string(metric.help), Not(HasSubstr("\\")));
  }
}

TEST(Metrics, WhatIsThereIsDocumented) {
  std::set<std::string> names;
  for (const Documented& metric : documented()) names.insert(metric.name);
  const Read read(expose(sample_of(1), Format::kText));
  EXPECT_EQ(std::set<std::string>(read.families.begin(), read.families.end()), names);
}

// Each scrape holds the control thread up for so long.
TEST(Metrics, ManyLunsAreQuick) {
  const Sample sample = sample_of(256);
  std::chrono::steady_clock::duration best = std::chrono::hours(1);
  size_t size = 0;
  for (int i = 0; i < 5; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    size = expose(sample, Format::kOpenMetrics).size();
    best = std::min(best, std::chrono::steady_clock::now() - begin);
  }
  const auto ms = std::chrono::duration<double, std::milli>(best).count();
  std::cout << "256 LUNs with every operation: " << size << " bytes in " << ms << " ms\n";
#if defined(NDEBUG) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  EXPECT_LT(ms, 500) << "a tenth of that on an idle machine";
#endif
}

}  // namespace
}  // namespace tcmurbd::metrics
