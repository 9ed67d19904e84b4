// SPDX-License-Identifier: Apache-2.0
// Facts in literals, and the findings that an operator gets.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "rbd_handler/preflight/checks.h"

namespace tcmurbd::preflight {
namespace {

using testing::Each;
using testing::ElementsAre;
using testing::Field;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

// A gateway that serves one image.
Facts healthy() {
  Facts facts;
  facts.settings = {.path = "/etc/tcmu-rbd/tcmu-rbd.yaml", .exists = true};
  facts.kernel = {.release = "6.1.0-40-amd64", .module = ModuleState::kLoaded, .configfs = true};
  facts.daemon = DaemonFacts{
      .pid = 7, .version = "0.1.0", .luns = {{.name = "user_0/disk", .state = "serving"}}};
  facts.limits = {.of_daemon = true, .instances = 3};
  facts.devices = {{.name = "user_0/disk",
                    .dev_config = "rbd/rbd/disk",
                    .subtype = "rbd",
                    .tmr_notification = 1,
                    .keep_buffers = true,
                    .block_bytes = 512,
                    .max_blocks = 1024,
                    .data_area_mb = 64,
                    .bytes = 4096,
                    .depth = 128}};
  facts.clients = {{.name = "client.iscsi", .may_blocklist = true}};
  facts.images = {{.name = "rbd/disk",
                   .client = "client.iscsi",
                   .device = "user_0/disk",
                   .device_bytes = 4096,
                   .bytes = 4096,
                   .exclusive_lock = true,
                   .gateways = 2}};
  facts.services = {{.id = "gw0:rbd/disk", .ours = true}};
  return facts;
}

// The findings of one check.
std::vector<Finding> reported(const Facts& facts, std::string_view check) {
  std::vector<Finding> some = findings(facts);
  std::erase_if(some, [&](const Finding& finding) { return finding.check != check; });
  EXPECT_FALSE(some.empty()) << check;
  return some;
}

auto is(Level level, const std::string& found) {
  return testing::AllOf(Field("level", &Finding::level, level),
                        Field("found", &Finding::found, HasSubstr(found)));
}

TEST(Preflight, AHealthyGatewayHasOneOkOfEachCheck) {
  const auto all = findings(healthy());
  EXPECT_THAT(all, Each(Field(&Finding::level, Level::kOk)));
  EXPECT_THAT(all, Each(Field(&Finding::action, IsEmpty())));
  std::vector<std::string_view> names;
  for (const Finding& finding : all) names.push_back(finding.check);
  EXPECT_EQ(names, check_names());
}

TEST(Preflight, NothingIsKnown) {
  EXPECT_THAT(reported({}, "kernel"), ElementsAre(is(Level::kWarn, "Linux ")));
  EXPECT_THAT(reported({}, "module"), ElementsAre(is(Level::kFail, "target_core_user")));
  EXPECT_THAT(reported({}, "configfs"), ElementsAre(is(Level::kFail, "not mounted")));
  EXPECT_EQ(findings({}).size(), check_names().size());
}

TEST(Preflight, EachWarningAndFailureSaysWhatToDo) {
  Facts facts;
  facts.settings.error = "x.yaml:1: unknown key";
  facts.other_daemons = {{.pid = 5, .name = "tcmu-runner"}};
  facts.daemon = DaemonFacts{.luns = {{.name = "user_0/a", .state = "opening"}}};
  facts.devices = {{.name = "user_0/a", .subtype = "qcow"},
                   {.name = "user_0/b", .subtype = "rbd", .spec_error = "no image"}};
  facts.images = {{.name = "rbd/a", .primary = false, .write_error = "permission denied"}};
  for (const Finding& finding : findings(facts))
    EXPECT_EQ(finding.action.empty(), finding.level == Level::kOk) << finding.found;
}

TEST(Preflight, Settings) {
  Facts facts = healthy();
  facts.settings.exists = false;
  EXPECT_THAT(reported(facts, "settings"), ElementsAre(is(Level::kOk, "the defaults apply")));
  facts.settings.error = "x.yaml:3: unknown key 'a'";
  EXPECT_THAT(reported(facts, "settings"),
              ElementsAre(is(Level::kFail, "x.yaml:3: unknown key 'a'")));
}

TEST(Preflight, KernelReleases) {
  Facts facts = healthy();
  facts.devices.clear();
  for (const char* release : {"5.9", "5.10.0-1-amd64", "6.1", "10.0"}) {
    facts.kernel.release = release;
    EXPECT_EQ(reported(facts, "kernel")[0].level, Level::kOk) << release;
    EXPECT_EQ(reported(facts, "aborts")[0].level, Level::kOk) << release;
  }
  for (const char* release : {"", "5", "5.", "5.8.18", "4.19", "x.y", "-6.1"}) {
    facts.kernel.release = release;
    EXPECT_EQ(reported(facts, "kernel")[0].level, Level::kWarn) << release;
    EXPECT_EQ(reported(facts, "aborts")[0].level, Level::kWarn) << release;
    EXPECT_EQ(reported(facts, "kept-buffers")[0].level, Level::kWarn) << release;
  }
}

TEST(Preflight, WhatTheDeviceShowsCountsMoreThanTheRelease) {
  Facts facts = healthy();
  facts.kernel.release = "4.18.0-backported";
  EXPECT_THAT(reported(facts, "aborts"), ElementsAre(is(Level::kOk, "reports aborts")));
  EXPECT_THAT(reported(facts, "kept-buffers"), ElementsAre(is(Level::kOk, "KEEP_BUF")));
  facts.kernel.release = "6.1";
  facts.devices[0].tmr_notification.reset();
  facts.devices[0].keep_buffers = false;
  EXPECT_THAT(reported(facts, "aborts"), ElementsAre(is(Level::kWarn, "user_0/disk")));
  EXPECT_THAT(reported(facts, "kept-buffers"), ElementsAre(is(Level::kWarn, "no KEEP_BUF")));
}

TEST(Preflight, TcmuRunner) {
  Facts facts = healthy();
  facts.other_daemons = {{.pid = 5, .name = "tcmu-runner"}};
  EXPECT_THAT(reported(facts, "handlers"), ElementsAre(is(Level::kFail, "tcmu-runner (pid 5)")));
  EXPECT_THAT(reported(facts, "aborts"), ElementsAre(is(Level::kFail, "tmr_notification is 1")));
  facts.daemon.reset();
  facts.devices[0].tmr_notification = 0;
  EXPECT_THAT(reported(facts, "handlers"), ElementsAre(is(Level::kWarn, "tcmu-runner (pid 5)")));
  EXPECT_THAT(reported(facts, "aborts"), ElementsAre(is(Level::kOk, "")));
}

TEST(Preflight, Daemon) {
  Facts facts = healthy();
  facts.daemon->luns.push_back({.name = "user_0/x", .state = "opening", .warnings = {"old caps"}});
  facts.daemon->luns.push_back({.name = "user_0/y", .state = "serving", .writes = "no_lock"});
  facts.daemon->luns.push_back({.name = "user_0/z", .state = "serving", .writes = "read_only"});
  EXPECT_THAT(
      reported(facts, "daemon"),
      ElementsAre(is(Level::kWarn, "user_0/x is opening"), is(Level::kWarn, "user_0/x: old caps"),
                  is(Level::kWarn, "user_0/y refuses writes (no_lock)")));
  facts.daemon.reset();
  facts.daemon_error = "no daemon at /run/x";
  EXPECT_THAT(reported(facts, "daemon"), ElementsAre(is(Level::kOk, "no daemon at /run/x")));
}

TEST(Preflight, LimitsOfTheShellAreOnlyAWarning) {
  Facts facts = healthy();
  facts.limits.shortage = "no room for 3 more client instances: raise pids.max";
  EXPECT_THAT(reported(facts, "limits"), ElementsAre(is(Level::kFail, "raise pids.max")));
  facts.limits.of_daemon = false;
  EXPECT_THAT(reported(facts, "limits"), ElementsAre(is(Level::kWarn, "raise pids.max")));
}

TEST(Preflight, Devices) {
  Facts facts = healthy();
  facts.devices.push_back({.name = "user_1/q\n", .subtype = "qcow"});
  facts.devices.push_back({.name = "user_1/bad", .subtype = "rbd", .spec_error = "no image"});
  EXPECT_THAT(reported(facts, "devices"), ElementsAre(is(Level::kWarn, "handler 'qcow'"),
                                                      is(Level::kFail, "user_1/bad: no image")));
  facts.devices_error = "/sys/class/uio: Permission denied";
  EXPECT_THAT(reported(facts, "devices"), ElementsAre(is(Level::kFail, "Permission denied")));
}

TEST(Preflight, DataArea) {
  Facts facts = healthy();
  DeviceFacts& device = facts.devices[0];
  EXPECT_EQ(reported(facts, "data-area")[0].level, Level::kOk);  // Exactly 64 MiB.
  device.data_area_mb = 63;
  EXPECT_THAT(reported(facts, "data-area"),
              ElementsAre(is(Level::kWarn, "128 commands of 512 KiB need 64 MiB")));
  device.depth.reset();  // Not exported.
  EXPECT_EQ(reported(facts, "data-area")[0].level, Level::kOk);
  device.depth = -1;
  EXPECT_EQ(reported(facts, "data-area")[0].level, Level::kOk);
  device.depth = device.max_blocks = device.block_bytes = UINT32_MAX;  // Overflows 64 bits.
  EXPECT_EQ(reported(facts, "data-area")[0].level, Level::kWarn);
}

TEST(Preflight, Reservations) {
  Facts facts = healthy();
  facts.devices[0].registrations = 2;
  EXPECT_THAT(reported(facts, "reservations"), ElementsAre(is(Level::kWarn, "2 registrations")));
  facts.devices[0].reservation = "SPC-3 Reservation: iSCSI Initiator: iqn.x";
  EXPECT_THAT(reported(facts, "reservations"), ElementsAre(is(Level::kWarn, "Initiator: iqn.x")));
}

TEST(Preflight, Clients) {
  Facts facts = healthy();
  ClientFacts& client = facts.clients[0];
  client.may_blocklist = false;
  EXPECT_THAT(reported(facts, "clients"), ElementsAre(is(Level::kFail, "may not blocklist")));
  EXPECT_THAT(reported(facts, "clients")[0].action, HasSubstr("mon 'profile rbd'"));
  client.may_blocklist.reset();
  client.blocklist_error = "no answer in time";
  EXPECT_THAT(reported(facts, "clients"), ElementsAre(is(Level::kFail, "no answer in time")));
  client.error = "client.iscsi: no monitor answered";
  EXPECT_THAT(reported(facts, "clients"), ElementsAre(is(Level::kFail, "no monitor answered")));
  client.assumed = true;
  EXPECT_THAT(reported(facts, "clients"), ElementsAre(is(Level::kWarn, "no monitor answered")));
}

TEST(Preflight, Images) {
  Facts facts = healthy();
  ImageFacts& image = facts.images[0];
  image.device_bytes = 8192;
  EXPECT_THAT(reported(facts, "images"),
              ElementsAre(is(Level::kFail, "4096 bytes, the device 8192")));
  image.device_bytes = 4096;
  image.primary = false;
  EXPECT_THAT(reported(facts, "images"), ElementsAre(is(Level::kWarn, "not primary")));
  image.primary = true;
  image.write_error = "permission denied";
  EXPECT_THAT(reported(facts, "images"),
              ElementsAre(is(Level::kFail, "client.iscsi cannot write")));
  image.refusal = "has the feature journaling";
  EXPECT_THAT(reported(facts, "images"),
              ElementsAre(is(Level::kFail, "has the feature journaling")));
  image.error = "does not exist";
  EXPECT_THAT(reported(facts, "images"),
              ElementsAre(is(Level::kFail, "'rbd/disk' (user_0/disk): ")));
}

TEST(Preflight, ExclusiveLock) {
  Facts facts = healthy();
  ImageFacts& image = facts.images[0];
  image.exclusive_lock = false;
  EXPECT_THAT(reported(facts, "images"), ElementsAre(is(Level::kFail, "2 clients")));
  image.gateways = 1;
  EXPECT_THAT(reported(facts, "images"), ElementsAre(is(Level::kWarn, "only one gateway")));
  EXPECT_THAT(reported(facts, "images")[0].action,
              HasSubstr("rbd feature enable rbd/disk exclusive"));
  image.head = false;  // A snapshot is only read.
  EXPECT_THAT(reported(facts, "images"), ElementsAre(is(Level::kOk, "")));
}

TEST(Preflight, MixedGateways) {
  Facts facts = healthy();
  facts.services->push_back({.id = "gw1:rbd/disk", .ours = false});
  facts.images[0].strangers = {"10.0.0.2:0/77"};
  EXPECT_THAT(reported(facts, "gateways"),
              ElementsAre(is(Level::kWarn, "'gw1:rbd/disk'"), is(Level::kWarn, "10.0.0.2:0/77")));
  // Those of a tcmu-runner on this host are reported once, by "handlers".
  facts.host = "gw1";
  facts.clients[0].address = "10.0.0.2:0/99";
  EXPECT_EQ(reported(facts, "gateways").size(), 2u);
  facts.other_daemons = {{.pid = 5, .name = "tcmu-runner"}};
  EXPECT_THAT(reported(facts, "gateways"), ElementsAre(is(Level::kOk, "")));
  facts.host = "gw";
  facts.clients[0].address = "10.0.0.21:0/99";
  EXPECT_EQ(reported(facts, "gateways").size(), 2u);
  facts = healthy();
  facts.services.reset();
  EXPECT_THAT(reported(facts, "gateways"), ElementsAre(is(Level::kOk, "map is not readable")));
}

TEST(Preflight, TextHasALineForEachFinding) {
  const std::vector<Finding> all{
      {.check = "kernel", .level = Level::kOk, .found = "Linux 6.1"},
      {.check = "images", .level = Level::kFail, .found = "it is full", .action = "empty it"}};
  EXPECT_EQ(as_text(all),
            "OK    kernel        Linux 6.1\n"
            "FAIL  images        it is full; empty it\n"
            "1 OK, 0 WARN, 1 FAIL\n");
  EXPECT_EQ(worst(all), Level::kFail);
  EXPECT_EQ(worst({}), Level::kOk);
}

TEST(Preflight, JsonTakesAnyBytes) {
  const auto json = nlohmann::json::parse(
      as_json({{.check = "devices", .level = Level::kWarn, .found = "\xff\n", .action = "look"}}));
  EXPECT_EQ(json.at("result"), "WARN");
  EXPECT_EQ(json.at("findings").at(0).at("check"), "devices");
  EXPECT_EQ(json.at("findings").at(0).at("action"), "look");
}

}  // namespace
}  // namespace tcmurbd::preflight
