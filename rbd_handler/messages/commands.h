// SPDX-License-Identifier: Apache-2.0
// What is logged of commands: aborts, deadlines, hung ops.
#pragma once

#include <array>

#include "common/log_line.h"

namespace tcmurbd::messages {

inline constexpr LogMessage kAborted{
    "558cb40633e648e2b4e792304314e42e",
    spdlog::level::warn,
    "abort {}",
    "An initiator or a LUN RESET aborted a command; `stage=` is where it was",
    "`in-librbd`: look for `hung op:`. `waits-for-lock`: look at the lock lines",
    true};

inline constexpr LogMessage kDeadline{
    "91f293a3d4414483aed0cffb6d56581e",
    spdlog::level::warn,
    "deadline {}",
    "A command was answered BUSY because its deadline passed (`osd_op_timeout`, "
    "`command_deadline_s`)",
    "`in-librbd`: look for `hung op:`. `waits-for-lock`: look at the lock lines",
    true};

inline constexpr LogMessage kHung{
    "8953a61cd4024328a8322370334014a1",
    spdlog::level::warn,
    "hung {}",
    "A command that was aborted or is past its deadline has been in librbd for one more second",
    "look for `hung op:`",
    true};

inline constexpr LogMessage kHungOp{
    "b2f16c8639cf46e9967c64e6ae887c70",
    spdlog::level::warn,
    "hung op: {} is in {}",
    "The object, placement group and OSDs of an op that does not end. Of its object map, if only "
    "that does not answer: the first write to an object and UNMAP wait for it",
    "check these OSDs and their hosts",
    true};

inline constexpr LogMessage kHungOpNotLocated{
    "6cdf66431ddf48d99529a697b6c31354",       spdlog::level::warn,
    "hung op: cannot locate its OSD: {}",     "The monitors do not answer either",
    "check the quorum: `ceph quorum_status`", true};

inline constexpr LogMessage kEnded{"312dd5c6aef04022862cb48b2dc6075d",
                                   spdlog::level::info,
                                   "ended {}",
                                   "The op of a command that was given up has ended",
                                   "",
                                   true};

inline constexpr LogMessage kEndedWithError{
    "1b1ba00750bf46389817bbd402a9475e",
    spdlog::level::warn,
    "ended {}",
    "The op of a command that was given up has ended with an error (`result=`; -108: an OSD "
    "refused it after a fence)",
    "",
    true};

inline constexpr LogMessage kAway{
    "94d5e1eab3f74c1888b538d5e9a36fc9", spdlog::level::warn,
    "away: {}; {} waiting changes and those of the next seconds get BUSY, and the lock is verified",
    "The daemon was stopped, its machine frozen, its lock or watch was lost, or its client "
    "instance was blocklisted, by another gateway or an operator. Writes get BUSY for 5 s",
    "look for the cause: a suspended VM, an overloaded host, a network failure; `ceph osd "
    "blocklist ls` shows who is blocklisted"};

inline constexpr LogMessage kPoolFull{"2fe4c3c7fc4b40a99c92444aab0c3d88", spdlog::level::warn,
                                      "the pool is full or its quota is reached: writes that need "
                                      "space are refused (7/27/07), reads and UNMAP are served",
                                      "Writes that need space get 7/27/07",
                                      "free space, or raise the quota"};

inline constexpr LogMessage kPoolHasRoom{"41f2a9bf484f4682b4d44e07aecffa67", spdlog::level::warn,
                                         "the pool has space again: writes are served",
                                         "Space was freed, or the quota raised", ""};

inline constexpr LogMessage kDemoted{
    "c01ed5af89c74f30a3e34ea17254c783", spdlog::level::warn,
    "the image was demoted and is not primary here: writes are refused (7/27/00), reads are "
    "served; promote it with 'rbd mirror image promote'",
    "Mirroring: the image is primary elsewhere. Writes get 7/27/00",
    "`rbd mirror image promote` on one side only"};

inline constexpr LogMessage kPromoted{"edee7a9949264d10b029ca55aba76164", spdlog::level::warn,
                                      "the image is primary again: writes are served",
                                      "The image was promoted here", ""};

inline constexpr LogMessage kRingBroken{
    "ea45298dd164439382daab61d049b11c", spdlog::level::err,
    "the ring is not usable: {}; resetting it, open commands get BUSY",
    "Invalid entries, or another process reset the ring. It is reset, open commands get BUSY",
    "if it repeats: report it with the lines around it"};

inline constexpr LogMessage kRingNotReset{
    "e266ed501e994d0db3b98df1b76910a6", spdlog::level::err,
    "cannot reset the ring: {}; the device stays blocked",
    "The kernel refused the reset: initiators get BUSY",
    "restart the daemon; if it repeats: report it with the lines around it"};

inline constexpr LogMessage kCopyRefused{
    "37ebc300b91a4516b801624dd6b21470", spdlog::level::warn, "EXTENDED COPY {}",
    "A host may not copy to or from a device that not all initiators of the other one can see",
    "give all initiators both devices, or nothing: hosts copy themselves then"};

inline constexpr std::array kOfCommands{
    &kAborted, &kDeadline,       &kHung,       &kHungOp,       &kHungOpNotLocated,
    &kEnded,   &kEndedWithError, &kAway,       &kPoolFull,     &kPoolHasRoom,
    &kDemoted, &kPromoted,       &kRingBroken, &kRingNotReset, &kCopyRefused};

}  // namespace tcmurbd::messages
