// SPDX-License-Identifier: Apache-2.0
// What is logged of the daemon as a whole.
#pragma once

#include <array>

#include "common/log_line.h"

namespace tcmurbd::messages {

inline constexpr LogMessage kReady{"fbf1013b993b4a3881caeebd0b6b9831", spdlog::level::info,
                                   "ready, {} devices found", "The daemon serves", ""};

inline constexpr LogMessage kCannotStart{"f185ea2cfc694fd3a7dc6a48e9a20ee0", spdlog::level::err,
                                         "cannot start: {}",
                                         "The daemon ends; the line has the reason",
                                         "another daemon runs, the module target_core_user is "
                                         "missing, or a path in tcmu-rbd.yaml is wrong"};

inline constexpr LogMessage kFatal{
    "bdd2f7a83bca44b8a297398bf582f0e0", spdlog::level::err,
    "exiting after a fatal error, initiators get BUSY until a daemon serves the devices: {}",
    "The daemon ends; initiators get BUSY until systemd has restarted it",
    "the reason is in the line; report it"};

inline constexpr LogMessage kExiting{
    "1dc3b7c747ed450cb4b4f4432a937d48", spdlog::level::info, "exiting on signal {}",
    "An operator or systemd stops the daemon; devices are blocked until the next one serves them",
    ""};

inline constexpr LogMessage kExited{"9706ab7e527f47889af2307b10c3cb3f", spdlog::level::info,
                                    "exited", "The daemon has ended", ""};

inline constexpr LogMessage kCrashed{
    "b30e761d8ddd46e5adf67e91f43deebc", spdlog::level::warn,
    "the last daemon crashed ({}), its last events are in {}: see tcmu-rbdctl trace --file",
    "A bug; the line has the reason. The last events of all LUNs were kept",
    "`tcmu-rbdctl trace --file`; report it with this file and the core"};

inline constexpr LogMessage kNoCrashFile{
    "cd2fe0d1644a427ba8c89bcf1244d022", spdlog::level::err,
    "state_dir cannot be written: no LUN gets its exclusive lock, writes get BUSY, and a crash "
    "would leave no trace: {}",
    "The record that lets a successor fence this daemon's writes cannot be kept in "
    "`paths.state_dir`; the line has the reason",
    "make it writable, or free space in its file system"};

inline constexpr LogMessage kControlGap{
    "e8394ee21dbb498b9267a63f1a5787b0", spdlog::level::warn,
    "the control thread did not run for {:.1f} s",
    "The daemon was stopped, or its machine frozen: see `away:` of each device",
    "look for the cause: a suspended VM, an overloaded host"};

inline constexpr LogMessage kReloaded{"b4143ed961724dad82fd54cf6258e8b8", spdlog::level::info,
                                      "settings reloaded", "SIGHUP", ""};

inline constexpr LogMessage kNotReloaded{"dd7de61118ff44028751da5be5f2e88f", spdlog::level::err,
                                         "reload failed, the old settings stay in effect: {}",
                                         "The settings file has an error; the line says where",
                                         "correct it; `tcmu-rbd --check-config`"};

inline constexpr LogMessage kNeedsRestart{
    "da4d16e6ac644646be4ec78dd730702c", spdlog::level::warn,
    "changed paths and reactor settings take effect after a restart",
    "Not all of the settings could be reloaded", "restart the daemon at a good time"};

inline constexpr LogMessage kNoEffect{
    "84b095150e61445a8153eb09be23c60b", spdlog::level::warn, "as tcmu-runner: {}",
    "A flag of tcmu-runner that has no effect here", "remove it from the unit"};

inline constexpr LogMessage kNoFiles{"aadaf7cb3cb74255bdf3c673df3850cf", spdlog::level::warn,
                                     "--nofile: a limit of {} descriptors: {}",
                                     "The limit of descriptors could not be raised",
                                     "`LimitNOFILE=` of the unit"};

inline constexpr LogMessage kLimitsTooLow{
    "d2157415de214d1896415d56e82096dd", spdlog::level::warn,
    "the resource limits are too low for the {} devices found, some will not be served: {}",
    "Some devices will not be served", "raise the limits of the unit: see Sizing in OPERATING.md"};

inline constexpr LogMessage kNotTakenOver{
    "8ce641d8d86c4a4cbe53680e2a3c83ec", spdlog::level::err, "{}: not taken over: {}",
    "A device that exists cannot be served; the line has the reason",
    "correct its dev_config: remove the device and add it again"};

inline constexpr LogMessage kBlocked{
    "be731c34f65d4db5baa5f68048df5850", spdlog::level::err,
    "{}: blocked, initiators get BUSY until it is removed, or a daemon serves it",
    "A device that cannot be served; the line before has the reason",
    "correct its dev_config: remove the device and add it again"};

inline constexpr LogMessage kNotBlockedAtEnd{
    "57dd7573856a4a928fe8f1c70e1e932d", spdlog::level::err, "{}: blocking the device: {}",
    "A device that cannot be served, and configfs refused to block it: initiators wait for the "
    "kernel's timeout",
    "remove the device"};

inline constexpr LogMessage kRefused{"4ea5671f7e3b462d9a05a5457ac3aea3", spdlog::level::err,
                                     "{}: refused: {}",
                                     "A new device cannot be served; the line has the reason",
                                     "correct its dev_config, and add it again"};

inline constexpr LogMessage kWriteCacheRefused{
    "33e310768f974784be5bdca46eaa51b9", spdlog::level::err,
    "{}: emulate_write_cache refused: there is no write cache to enable",
    "An operator or a program tried to set it", "leave it at 0"};

inline constexpr LogMessage kReconfigRefused{
    "58e28f1d608744dd8fd4cb9198dd4ad2", spdlog::level::err,
    "{}: a new dev_config is refused: remove the device and add it again",
    "A dev_config was written to a device that is served", "remove the device and add it again"};

inline constexpr LogMessage kNetlinkLost{
    "2a80d2b7646f4b26b8de8db24af14096", spdlog::level::err,
    "netlink: {}; no device can be added or removed any more, exiting",
    "The daemon ends, and systemd restarts it", "if it repeats: report it"};

inline constexpr LogMessage kNetlinkOverrun{
    "fe5607900db946fe9b523ed38e69cd5e", spdlog::level::warn,
    "netlink events were lost, rescanning all devices",
    "More devices changed at once than the buffer holds; all are looked at again", "nothing"};

inline constexpr LogMessage kNetlinkNoReply{
    "8c8caf6b66854ebdb8076f59146b938e", spdlog::level::warn, "netlink reply for {}: {}",
    "The kernel does not accept the answer; what waits for it hangs until the next daemon starts",
    "restart the daemon if targetcli hangs"};

inline constexpr LogMessage kNetlinkReplies{
    "0e62991b68cc41bda3647eb11f50c61f", spdlog::level::warn,
    "replies to netlink events cannot be switched off: {}",
    "A program that adds a device while no daemon runs would wait", "start the daemon"};

inline constexpr LogMessage kNetlinkWaiters{
    "2f0e9b2041f74ae7b189b5cfbfdc762f", spdlog::level::warn,
    "writers that wait for a dead daemon cannot be released: {}",
    "A targetcli that waits since then goes on to wait", "restart the daemon if targetcli hangs"};

inline constexpr LogMessage kNetlinkForeign{"fa4eaa3632474d56a2eb64531ab2d469", spdlog::level::warn,
                                            "ignored a message of type {} from port {}",
                                            "Another process sent it", "nothing"};

inline constexpr LogMessage kNetlinkEvent{
    "acd0d9c77964426aa8d24b6e2313b283", spdlog::level::warn, "ignored an event: {}",
    "A kernel with another format of events", "report it with the kernel's version"};

inline constexpr LogMessage kNetlinkMessage{"cf5a5628ebf04155a1997790bafd6ba5", spdlog::level::warn,
                                            "ignored a message: {}", "It was cut off",
                                            "if it repeats: report it with the kernel's version"};

inline constexpr LogMessage kNetlinkBuffer{"fde6dd0a9b854935a1f871534d7d335c", spdlog::level::warn,
                                           "cannot enlarge the receive buffer: {}",
                                           "Events may be lost when many devices change at once",
                                           "CAP_NET_ADMIN of the unit"};

inline constexpr LogMessage kPortalGroup{
    "a5fe7231720f4f398fe3c6b771a2ce81", spdlog::level::warn, "a portal group counts as enabled: {}",
    "configfs does not say whether it is", "the configuration of the target"};

inline constexpr LogMessage kPortLeftOut{
    "41601996219249d79eb0b0b4398a0c9f", spdlog::level::warn, "a member of {} left out: {}",
    "A port is missing in REPORT TARGET PORT GROUPS", "the configuration of the target"};

inline constexpr LogMessage kGroupLeftOut{
    "9386e4ddd2d8412abc1bbdc8e27533d7", spdlog::level::warn, "skipped a group: {}",
    "A port group is missing in REPORT TARGET PORT GROUPS", "the ALUA configuration of the target"};

inline constexpr LogMessage kNoConnection{"a54cd5eada9d471c9c7da489d8223b04", spdlog::level::warn,
                                          "cannot accept a connection: {}",
                                          "A client of the control socket or of the metrics is not "
                                          "answered, mostly for want of descriptors",
                                          "`LimitNOFILE=` of the unit"};

inline constexpr LogMessage kMetricsServed{"31fd46ae5a5b43e2b5be46e534e2e069", spdlog::level::info,
                                           "served at {} port {}", "The metrics over HTTP", ""};

inline constexpr LogMessage kMetricsNotServed{
    "056bffb2c65646da985eaa5c5a94af0e", spdlog::level::err, "not served, {} port {}: {}",
    "The metrics: their port is in use, or the address is not of this host. I/O is not affected",
    "`metrics` in tcmu-rbd.yaml"};

inline constexpr LogMessage kNoBus{"645d400381c94194814fce74c509a0fe", spdlog::level::warn,
                                   "no system bus: {}; targetcli shows no user:rbd backstore, all "
                                   "else works; tried again every {} s",
                                   "D-Bus does not run", "start it if you use targetcli"};

inline constexpr LogMessage kNameRefused{
    "7c9fd60e2d95433dbc662d014d204f1b", spdlog::level::warn,
    "the name {} is refused: {}; targetcli shows no user:rbd backstore",
    "The D-Bus policy file is missing", "install tcmu-rbd.conf in dbus-1/system.d"};

inline constexpr LogMessage kNameTaken{
    "3fbe54bc821a40418bb4af5a25afc06f", spdlog::level::warn,
    "another program owns {} (tcmu-runner?); taken over when it ends", "tcmu-runner still runs",
    "stop and disable it"};

inline constexpr LogMessage kNameServed{"24c5c52bd82f4ce6bfd63196b99b0f5c", spdlog::level::info,
                                        "serves {}", "targetcli can make devices", ""};

inline constexpr LogMessage kLinesLost{"16afb3e9fdc146d998c9521940d4fa95", spdlog::level::warn,
                                       "{} log lines lost: the log output was blocked",
                                       "Who reads the log was too slow, or hung",
                                       "the journal, or the reader of stderr"};

inline constexpr std::array kOfDaemon{
    &kReady,          &kCannotStart,     &kFatal,          &kExiting,           &kExited,
    &kCrashed,        &kNoCrashFile,     &kControlGap,     &kReloaded,          &kNotReloaded,
    &kNeedsRestart,   &kNoEffect,        &kNoFiles,        &kLimitsTooLow,      &kNotTakenOver,
    &kBlocked,        &kNotBlockedAtEnd, &kRefused,        &kWriteCacheRefused, &kReconfigRefused,
    &kNetlinkLost,    &kNetlinkOverrun,  &kNetlinkNoReply, &kNetlinkReplies,    &kNetlinkWaiters,
    &kNetlinkForeign, &kNetlinkEvent,    &kNetlinkMessage, &kNetlinkBuffer,     &kPortalGroup,
    &kPortLeftOut,    &kGroupLeftOut,    &kNoConnection,   &kMetricsServed,     &kMetricsNotServed,
    &kNoBus,          &kNameRefused,     &kNameTaken,      &kNameServed,        &kLinesLost};

}  // namespace tcmurbd::messages
