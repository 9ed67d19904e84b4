// SPDX-License-Identifier: Apache-2.0
// What tcmu-rbdctl makes of the daemon's answers.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <sstream>

#include "rbd_handler/ctl/ask.h"
#include "rbd_handler/ctl/table.h"
#include "rbd_handler/ctl/terminal.h"
#include "rbd_handler/ctl/top_view.h"
#include "rbd_handler/ctl/units.h"
#include "rbd_handler/ctl/views.h"

namespace tcmurbd {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(Units, Seconds) {
  EXPECT_EQ(human_seconds(0), "0us");
  EXPECT_EQ(human_seconds(0.00085), "850us");
  EXPECT_EQ(human_seconds(0.00099951), "1ms");
  EXPECT_EQ(human_seconds(0.0123), "12.3ms");
  EXPECT_EQ(human_seconds(0.99949), "999ms");
  EXPECT_EQ(human_seconds(0.9996), "1.0s");
  EXPECT_EQ(human_seconds(59.94), "59.9s");
  EXPECT_EQ(human_seconds(59.99), "0m59s");
  EXPECT_EQ(human_seconds(192), "3m12s");
  EXPECT_EQ(human_seconds(7500), "2h05m");
  EXPECT_EQ(human_seconds(3600 * 76), "3d04h");
  EXPECT_EQ(human_seconds(-1), "-");
  EXPECT_EQ(human_seconds(std::nan("")), "-");
}

TEST(Units, BytesAndRates) {
  EXPECT_EQ(human_bytes(0), "0 B");
  EXPECT_EQ(human_bytes(512), "512 B");
  EXPECT_EQ(human_bytes(4096), "4 KiB");
  EXPECT_EQ(human_bytes(1536 * 1024), "1.5 MiB");
  EXPECT_EQ(human_bytes(UINT64_MAX), "16 EiB");
  EXPECT_EQ(human_rate(0), "0");
  EXPECT_EQ(human_rate(0.25), "0.25");
  EXPECT_EQ(human_rate(7.26), "7.3");
  EXPECT_EQ(human_rate(1234.4), "1234");
  EXPECT_EQ(human_megabytes(2.5e6), "2.5");
}

TEST(Units, TextFromElsewhere) {
  EXPECT_EQ(printable("a\033[2Jb\nc\x7f"), "a?[2Jb?c?");
  EXPECT_EQ(width_of("K\xc3\xbc"), 2U);
  EXPECT_EQ(wrap("one two three", 7), "one two\nthree\n");
  EXPECT_EQ(wrap("unbreakable it is", 5), "unbreakable\nit is\n");
  EXPECT_EQ(wrap("", 5), "\n");
}

TEST(TableTest, AlignsItsColumns) {
  Table table({{"NAME"}, {"N", Align::kRight}, {"LAST"}});
  EXPECT_TRUE(table.empty());
  table.add({"a", "1000", "x"});
  table.add(
      {"\xc3\xbc"
       "bler",
       "7", ""});
  EXPECT_EQ(table.text(),
            "NAME      N  LAST\na      1000  x\n\xc3\xbc"
            "bler     7\n");
}

TEST(Answer, ErrorsAndOldDaemons) {
  EXPECT_EQ(read_answer("ops", R"({"devices": []})").value(), (json{{"devices", json::array()}}));
  EXPECT_THAT(read_answer("ops", "[1]").error(), HasSubstr("not JSON"));
  EXPECT_THAT(read_answer("ops", "").error(), HasSubstr("did it exit meanwhile?"));
  EXPECT_EQ(read_answer("ops x", R"({"error": "no LUN 'x'"})").error(), "no LUN 'x'");
  EXPECT_THAT(read_answer("ops x", R"({"error": "unknown request; known: status"})").error(),
              HasSubstr("the daemon does not know the request 'ops': it is of another version"));
}

json status(const char* devices) {
  return {{"version", "1.2"}, {"pid", 7}, {"devices", json::parse(devices)}};
}

TEST(StatusView, OneLineForEachLun) {
  const json answer = status(R"([
    {"name": "user_0/a", "image": "rbd/a", "state": "serving", "lock": "owned", "in_flight": 3,
     "oldest": 0.002, "hung": 0, "writes": "served"},
    {"name": "user_0/b", "image": "rbd/b", "state": "serving", "lock": "stuck", "in_flight": 0,
     "oldest": 12.5, "hung": 2, "writes": "no_lock", "warnings": ["cache on"]},
    {"name": "user_0/c", "image": "rbd/c", "state": "opening"}])");
  Loads loads;
  loads["user_0/a"].ops = 1200;
  loads["user_0/a"].bytes = 4.9e6;
  loads["user_0/a"].p50 = 0.0012;
  EXPECT_EQ(
      status_text(answer, loads),
      "tcmu-rbd 1.2, pid 7\n"
      "LUN       IMAGE  STATE    LOCK   IOPS  MB/s    P50  P99  IN FLIGHT  OLDEST  TROUBLE\n"
      "user_0/a  rbd/a  serving  owned  1200   4.9  1.2ms    -          3     2ms  -\n"
      "user_0/b  rbd/b  serving  stuck     -     -      -    -          0   12.5s  stuck, hung 2, "
      "no lock, warnings 1\n"
      "user_0/c  rbd/c  opening  -         -     -      -    -          -       -  not serving\n"
      "user_0/b: warning: cache on\n");
}

TEST(StatusView, NoLunsAndAnOldDaemon) {
  EXPECT_EQ(status_text(status("[]"), {}), "tcmu-rbd 1.2, pid 7\n");
  // As version 1 of the status is.
  const json old = status(R"([{"name": "user_0/a", "image": "rbd/a", "state": "serving", "bytes": 1,
      "commands_open": 0, "detached": 0, "lock": "owned", "counters":
      {"reads": 5, "read_bytes": 0, "writes": 0, "write_bytes": 0}}])");
  EXPECT_THAT(status_text(old, loads(&old, old, 1)), HasSubstr("owned     0     0"));
  EXPECT_EQ(counters_text(old), "user_0/a  rbd/a\n    reads 5\n");
}

TEST(StatusView, AnAnswerThatIsNotOne) {
  EXPECT_THROW(status_text(json::parse(R"({"version": 1})"), {}), json::exception);
  EXPECT_THROW(status_text(status(R"([{"name": 7}])"), {}), json::exception);
}

TEST(OpsView, Columns) {
  const json answer = json::parse(R"json({"devices": [{"name": "user_0/a", "more": 5, "ops": [
    {"op": "WRITE(16)", "stage": "detached", "ended_by": "abort", "lba": 2048,
     "range": {"offset": 1048576, "length": 4096}, "age": 12.5, "in_librbd": 12.4,
     "object": "rbd_data.1.2", "pg": "2.1f", "acting": [2, 0]},
    {"op": "SYNCHRONIZE CACHE(10)", "stage": "waits-for-range", "ended_by": null, "lba": null,
     "range": null, "age": 0.5, "in_librbd": null, "object": null, "pg": null,
     "acting": null}]
}]
})json");
  EXPECT_EQ(ops_text(answer),
            "LUN       OPERATION               LBA  LENGTH    AGE  STAGE             IN LIBRBD  "
            "OBJECT        PG    OSDS\n"
            "user_0/a  WRITE(16)              2048   4 KiB  12.5s  detached (abort)      12.4s  "
            "rbd_data.1.2  2.1f  osd.2,osd.0\n"
            "user_0/a  SYNCHRONIZE CACHE(10)     -       -  500ms  waits-for-range           -  "
            "-             -     -\n"
            "user_0/a: 5 more\n");
  EXPECT_EQ(ops_text(json::parse(R"({"devices": [{"name": "a", "ops": []}]})")),
            "no open commands\n");
}

TEST(OpsView, SlowOnes) {
  const json answer = json::parse(R"json({"devices": [{"name": "user_0/a", "Ops": [
    {"description": "WRITE(16) offset=0 length=512", "initiated_at": "T", "duration": 30,
     "type_data": {"ended_by": "abort", "result": -5, "events": [
       {"event": "queued", "duration": 0}, {"event": "waited", "duration": 2},
       {"event": "answered", "duration": 13}, {"event": "ended", "duration": 15}]}},
    {"description": "READ(10) offset=0 length=512", "initiated_at": "T", "duration": 2,
     "type_data": {"ended_by": null, "result": 0, "events": [
       {"event": "queued", "duration": 0}, {"event": "answered", "duration": 2},
       {"event": "ended", "duration": 0}]}}]}]})json");
  EXPECT_EQ(slow_text(answer),
            "LUN       BEGAN  OPERATION                      WAITED  IN LIBRBD  DETACHED  TOTAL  "
            "ENDED BY  RESULT\n"
            "user_0/a  T      WRITE(16) offset=0 length=512    2.0s      13.0s     15.0s  30.0s  "
            "abort         -5\n"
            "user_0/a  T      READ(10) offset=0 length=512     2.0s          -         -   2.0s  "
            "-              0\n");
  EXPECT_EQ(slow_text(json::parse(R"({"devices": []})")), "no slow commands\n");
}

TEST(OpsView, Fences) {
  const json answer = json::parse(R"({"devices": [{"name": "user_0/a", "unfenced": "10.0.0.1:0/5",
    "fences": [{"address": "10.0.0.1:0/77", "until": 1, "until_text": "T", "cause": "hung-ops"},
               {"address": "10.0.0.2:0/8", "until": 1, "until_text": "T", "cause": "new"}]}]})");
  EXPECT_EQ(fences_text(answer),
            "LUN       ADDRESS        UNTIL  WHY\n"
            "user_0/a  10.0.0.1:0/77  T      an instance of this gateway, whose ops hung\n"
            "user_0/a  10.0.0.2:0/8   T      fenced by another gateway or an earlier daemon\n"
            "user_0/a  10.0.0.1:0/5   -      NOT FENCED: not permitted; writes get BUSY until it "
            "is\n");
  EXPECT_EQ(fences_text(json::parse(R"({"devices": []})")), "no fenced instances\n");
}

TEST(OpsView, OneSentenceForEachOutcome) {
  const auto text = [](const char* outcome) {
    return release_text({{"name", "user_0/a"}, {"outcome", outcome}});
  };
  EXPECT_THAT(text("released"), HasSubstr("user_0/a: the exclusive lock is released"));
  EXPECT_THAT(text("not-owner"), HasSubstr("does not hold"));
  EXPECT_THAT(text("hung"), HasSubstr("the lock is kept"));
  EXPECT_THAT(text("fencing"), HasSubstr("being fenced"));
  EXPECT_THAT(text("no-answer"), HasSubstr("no outcome yet"));
  EXPECT_EQ(text("new"), "user_0/a: new\n");
}

TEST(IostatView, AsIostat) {
  const json answer = status(R"([{"name": "user_0/a", "image": "rbd/a", "state": "serving",
                                  "in_flight": 2}])");
  Loads loads;
  loads["user_0/a"] = {.reads = {.ops = 100, .bytes = 409600, .mean = 0.001, .p99 = 0.02},
                       .writes = {.ops = 0, .bytes = 0},
                       .queue = 1.5};
  EXPECT_EQ(iostat_text(answer, loads),
            "LUN       r/s  rMB/s  r_await  r_p99  rareq-sz  w/s  wMB/s  w_await  w_p99  wareq-sz  "
            "aqu-sz  inflight\n"
            "user_0/a  100   0.41      1ms   20ms     4 KiB    0      0        -      -         -  "
            "   1.5         2\n");
}

class TopTest : public ::testing::Test {
 protected:
  TopTest() {
    loads_["a"].ops = 100;
    loads_["a"].p99 = 0.5;
    loads_["b"].ops = 200;
    loads_["b"].bytes = 1e6;
  }
  std::vector<std::string> order(SortBy sort, Screen screen = {}) const {
    screen.sort = sort;
    std::vector<std::string> names;
    for (std::istringstream lines(top_text(status_, loads_, screen)); lines;) {
      std::string line;
      std::getline(lines, line);
      if (line.size() > 2 && line[1] == ' ') names.push_back(line.substr(0, 1));
    }
    return names;
  }
  const json status_ = status(R"([
    {"name": "a", "image": "i", "state": "serving", "lock": "owned", "in_flight": 1, "oldest": 3},
    {"name": "b", "image": "i", "state": "serving", "lock": "owned", "in_flight": 5, "oldest": 1},
    {"name": "c", "image": "i", "state": "opening", "warnings": ["x"]}])");
  Loads loads_;
};

TEST_F(TopTest, Sorts) {
  EXPECT_THAT(order(SortBy::kIops), ElementsAre("b", "a", "c"));
  EXPECT_THAT(order(SortBy::kName), ElementsAre("a", "b", "c"));
  EXPECT_THAT(order(SortBy::kBytes), ElementsAre("b", "a", "c"));
  EXPECT_THAT(order(SortBy::kLatency), ElementsAre("a", "b", "c"));
  EXPECT_THAT(order(SortBy::kInFlight), ElementsAre("b", "a", "c"));
  EXPECT_THAT(order(SortBy::kOldest), ElementsAre("a", "b", "c"));
  EXPECT_EQ(sort_by_key('l'), SortBy::kLatency);
  EXPECT_EQ(sort_by_key('x'), std::nullopt);
  EXPECT_EQ(sort_by_name("oldest"), SortBy::kOldest);
  EXPECT_EQ(sort_by_name("size"), std::nullopt);
}

TEST_F(TopTest, PlainWithBars) {
  const std::string text = top_text(status_, loads_, {});
  EXPECT_THAT(text, HasSubstr("tcmu-rbd 1.2, pid 7: 3 LUNs, 300 IOPS, 1.0 MB/s, 1 in trouble\n"));
  EXPECT_THAT(text, HasSubstr(std::string(20, '#') + "  -\n"));
  EXPECT_THAT(text, HasSubstr(std::string(10, '#') + "            -\n"));
  EXPECT_THAT(text, Not(HasSubstr("\033")));
  EXPECT_THAT(text, Not(HasSubstr("sort:")));
}

TEST_F(TopTest, FitsTheTerminal) {
  const std::string text =
      top_text(status_, loads_, {.rows = 5, .columns = 30, .colours = true, .keys = true});
  EXPECT_EQ(std::ranges::count(text, '\n'), 4);
  EXPECT_THAT(text, HasSubstr("\033[7mLUN"));
  for (const char* each : {"sort: n)ame i)ops b)ytes l)ate\n", "tcmu-rbd 1.2, pid 7: 3 LUNs, 3\n"})
    EXPECT_THAT(text, HasSubstr(each));
}

TEST_F(TopTest, TroubleIsRed) {
  EXPECT_THAT(top_text(status_, loads_, {.colours = true}), HasSubstr("\033[31mc "));
  EXPECT_EQ(styled("x", Style::kWarning, true), "\033[33mx\033[0m");
  EXPECT_EQ(styled("x", Style::kWarning, false), "x");
}

TEST(Hist, DrawsTheBucketsThatAreUsed) {
  const json status = json::parse(R"({"latency_bounds_us": [100, 200, 1000, 2000], "devices": [
      {"name": "user_0/a", "latency": {
        "command": {"read": {"count": 50, "sum_ns": 10000000, "buckets": [0, 40, 0, 9, 1]},
                    "flush": {"count": 0, "sum_ns": 0, "buckets": [0, 0, 0, 0, 0]}},
        "image": {"read": {"count": 50, "sum_ns": 9000000, "buckets": [0, 50, 0, 0, 0]}}}},
      {"name": "user_0/b"}]})");
  EXPECT_EQ(hist_text(status),
            "user_0/a  read, from the ring to the answer: mean 200us, p50 162us, p99 2ms, p99.9 "
            "2ms\n"
            "UP TO  COMMANDS       %\n"
            "200us        40   80.00  ########################################\n"
            "  1ms         0   80.00\n"
            "  2ms         9   98.00  #########\n"
            " more         1  100.00  #\n"
            "\n"
            "user_0/a  read, its image ops: mean 180us, p50 150us, p99 199us, p99.9 200us\n"
            "UP TO  COMMANDS       %\n"
            "200us        50  100.00  ########################################\n"
            "\n");
}

TEST(Hist, WithoutCommandsSaysSo) {
  EXPECT_EQ(hist_text(json::parse(R"({"devices": [{"name": "user_0/a"}]})")), "no commands yet\n");
}

TEST(Trace, HasALineForEachStory) {
  const json answer = json::parse(R"json({"devices": [
      {"name": "user_0/a", "image": "rbd/vm", "kept": 5, "events": 9, "stories": [
        {"time": "2001-09-09T01:46:40.000000Z", "sequence": 7, "cmd_id": 3, "op": "WRITE(16)",
         "range": {"offset": 8192, "length": 4096},
         "steps": [{"after": 0, "what": "in-librbd"}, {"after": 0.0021, "what": "answered GOOD"}]},
        {"time": "2001-09-09T01:46:41.000000Z", "sequence": null, "cmd_id": null, "op": null,
         "range": null, "steps": [{"after": 0, "what": "lock: owned"}]}]}]})json");
  EXPECT_EQ(trace_text(answer),
            "user_0/a  rbd/vm: 5 of 9 events\n"
            "2001-09-09T01:46:40.000000Z  #7 WRITE(16) 8192+4096: +0us in-librbd, +2.1ms answered "
            "GOOD\n"
            "2001-09-09T01:46:41.000000Z  lock: owned\n");
  json crash = answer;
  crash["crash"] = {
      {"time", "2001-09-09T01:46:42.000000Z"}, {"program", "tcmu-rbd 1.0"}, {"reason", "SIGSEGV"}};
  EXPECT_EQ(trace_text(crash),
            "2001-09-09T01:46:42.000000Z  tcmu-rbd 1.0 crashed: SIGSEGV\n" + trace_text(answer));
}

}  // namespace
}  // namespace tcmurbd
