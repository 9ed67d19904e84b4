// SPDX-License-Identifier: Apache-2.0
// What is logged of the exclusive lock and of fences.
#pragma once

#include <array>

#include "common/log_line.h"

namespace tcmurbd::messages {

inline constexpr LogMessage kLockAcquired{
    "8b8bf216b5bc4296af599cb5b50e608b", spdlog::level::info, "lock: acquired in {:.1f} ms{}{}",
    "This gateway has the lock; what it had to do for that follows", ""};

inline constexpr LogMessage kLockNotAcquired{
    "effb79d15bd6402cacef8e71f1c5076d", spdlog::level::warn,
    "lock: cannot be acquired, initiators get BUSY: {}",
    "Writes get BUSY until it works; the line has the reason",
    "caps, quorum, or the other gateway (`lock: requested` in its log)"};

inline constexpr LogMessage kLockReleased{"62eecc902e81447a82fbe2bf3722e9d6", spdlog::level::info,
                                          "lock: released in {:.1f} ms",
                                          "Another gateway, or an operator, asked for it", ""};

inline constexpr LogMessage kLockNotReleased{
    "9f2aa85d29744088b83d7ae44caf4881", spdlog::level::warn,
    "lock: cannot be released, fencing this gateway's instance: {}",
    "The release failed; a fence takes its place", "look at the fence lines that follow"};

inline constexpr LogMessage kLockRequested{
    "17483d47ab794848a46d4f35edc34f5c", spdlog::level::info,
    "lock: requested by a peer; answer: {}",
    "Another gateway wants the lock: a host changed its path",
    "nothing. Many per minute: give the LUN one preferred path"};

inline constexpr LogMessage kLockOperatorAsks{
    "b97c5a2474df443f9b0db132f7621f88", spdlog::level::info,
    "lock: an operator asks for its release", "`tcmu-rbdctl lock release`", ""};

inline constexpr LogMessage kPeerSilent{
    "98ef2b6191ec44dc8acd16075f319a52", spdlog::level::warn,
    "lock: the gateway with the instance {} has not responded for seconds and delays each "
    "hand-over of the lock; blocklisting it",
    "A gateway died or hangs; it is blocklisted so that it does not delay each hand-over",
    "look at that gateway"};

inline constexpr LogMessage kPeerNotFenced{
    "abb3aee4f5d449be8978a89c3e20fe6a", spdlog::level::warn, "lock: it cannot be blocklisted: {}",
    "Each hand-over of the lock takes seconds until that gateway is gone", "check quorum and caps"};

inline constexpr LogMessage kWatchLost{"5133e1b765c8463db74d6bc9c508a9a6", spdlog::level::warn,
                                       "lock: the cluster removed this gateway's watch on the lock "
                                       "channel: it was away or disconnected",
                                       "The gateway was disconnected for longer than 30 s",
                                       "network between gateway and OSDs"};

inline constexpr LogMessage kFence{
    "8ea771a26c804fe3b6f16cc2cdef2bc0", spdlog::level::warn,
    "fence: blocklisting this gateway's instance {}, so that hung writes cannot be applied after "
    "newer ones",
    "Hung writes: the client instance is replaced. The LUN pauses for about a second",
    "find the hung OSD"};

inline constexpr LogMessage kFenceDone{"43c816be9c6c4fb295a95120fe59a799", spdlog::level::warn,
                                       "fence: done in {:.0f} ms",
                                       "OSDs refuse what is left of the old instance", ""};

inline constexpr LogMessage kFenceFailed{
    "4e1bb7e59dde4c239c6954d48318a873", spdlog::level::err,
    "fence: failed after {:.0f} ms: {}; hung writes keep their ranges locked and this gateway "
    "keeps the lock; all other I/O continues",
    "The monitors refused or did not answer; hung writes keep their ranges locked",
    "check quorum and caps; it is retried"};

inline constexpr LogMessage kFenceNotPossible{
    "384dee0b8aab4316a36adb02da4907dd", spdlog::level::err,
    "fence: not possible, {} earlier instances still have hung ops; hung writes keep their ranges "
    "locked",
    "Too many earlier instances still have hung ops",
    "bring the OSD back, or mark it down (`ceph osd down`) so that its ops end"};

inline constexpr LogMessage kReopenNotPossible{
    "fb6aa2da56e84bb8855384a185e19f9c", spdlog::level::err,
    "reopen: {} earlier instances still have hung ops; will retry, initiators get BUSY",
    "Too many earlier instances still have hung ops, and this gateway has no usable one",
    "bring the OSD back, or mark it down (`ceph osd down`) so that its ops end"};

inline constexpr LogMessage kReopenFailed{
    "4e3d86dfb1bc4a18857197722ddecec0", spdlog::level::err,
    "reopen: {}; will retry, initiators get BUSY",
    "The image cannot be opened again after a fence; the line has the reason",
    "quorum, caps, or the limits of the process"};

inline constexpr LogMessage kReopened{"8785457db9b34b4c81f4e3f68a2b4468", spdlog::level::info,
                                      "reopen: serving with instance {}",
                                      "A new client instance has replaced the fenced one", ""};

inline constexpr LogMessage kInstanceClosed{"ec04a615898843c5b15a91af99a37fc5", spdlog::level::info,
                                            "a fenced instance was closed, {} remain",
                                            "The last op of an old instance has ended", ""};

inline constexpr LogMessage kTraceKept{
    "5c95d375e64443468f6b390d33f93b91", spdlog::level::info,
    "the events before the fence are in {}: see tcmu-rbdctl trace --file",
    "The flight recorder was saved: what led to the fence",
    "`tcmu-rbdctl trace --file`, if the cause is not known"};

inline constexpr LogMessage kTraceLost{
    "d2f05d2cec9b46e4857dc343ae1babd9", spdlog::level::warn,
    "the events before the fence are lost: {}",
    "The flight recorder could not be saved; I/O is not affected",
    "space and permissions of `paths.state_dir`"};

inline constexpr LogMessage kAbandonFenced{
    "0396b053ef7541b59785e3fcea6995fa", spdlog::level::warn,
    "fence: done; other gateways can break the lock",
    "A device was removed while its ops hang; its instance is fenced", ""};

inline constexpr LogMessage kAbandonNotFenced{
    "6b6d3174fbfa43619d5f0e64b6367bb7", spdlog::level::err,
    "fence: {}; the next gateway that serves the image has to break the lock",
    "A device was removed while its ops hang, and the monitors do not accept the fence",
    "check quorum and caps; nothing, if the next gateway gets the lock"};

inline constexpr LogMessage kPredecessorNotFenced{
    "bd267b34d401400787a8f315c44e24aa", spdlog::level::err,
    "the instance {} of the dead predecessor may have writes in flight and cannot be fenced: {}; "
    "until it is permitted, reads are served and writes get BUSY",
    "The last daemon was killed, and its instance cannot be blocklisted: reads only",
    "grant the caps; it is retried"};

inline constexpr LogMessage kPredecessorFenced{
    "95152d22cb1e4da8a9b2b739e71d3145", spdlog::level::warn,
    "fence: the instance {} of the dead predecessor is fenced, writes are served now",
    "The instance of the last daemon, which was killed, is blocklisted after all", ""};

inline constexpr LogMessage kPredecessorOfEarlierBoot{
    "a126d85f17b347a5a57a99f86a70164f", spdlog::level::info,
    "the instance {} was recorded before the last boot of this machine",
    "The record of a client instance outlived a reboot", "nothing, it is fenced as well"};

inline constexpr LogMessage kMayNotBlocklist{
    "513e62e647164d2aa2f974c8049efcf0", spdlog::level::warn,
    "{} may not blocklist: this gateway can fence neither itself nor another gateway, and serves "
    "only reads after a crash; grant it the caps mon 'profile rbd'",
    "The user lacks a permission that every fence needs",
    "`ceph auth caps`, see Permissions in OPERATING.md"};

inline constexpr LogMessage kBlocklistUnreadable{
    "6bbeaeb2eaab4eca8802e7236b0f755c", spdlog::level::warn,
    "fence: {}; until the blocklist can be read, removed entries are not detected",
    "No quorum, or the user lacks a permission", "check quorum and caps"};

inline constexpr LogMessage kEntryRestored{
    "9bd8b89555864a028fb31bf964b9ab43", spdlog::level::err,
    "fence: the blocklist entry of {}, a fenced instance of image {} that may have writes in "
    "flight, was removed; restored it",
    "A blocklist entry that protects newer data was removed, by an operator or by `rbd-target-api` "
    "at its start",
    "do not clear the blocklist while ops hang"};

inline constexpr LogMessage kEntryNotRestored{
    "df2fe1c6becf4619926b5f63f6736588", spdlog::level::err,
    "fence: the blocklist entry of {}, a fenced instance of image {} that may have writes in "
    "flight, was removed and cannot be restored: {}; will retry",
    "A blocklist entry that protects newer data was removed, and the monitors do not accept "
    "it again",
    "check quorum and caps at once: an old write may still be applied"};

inline constexpr LogMessage kLedgerFailed{
    "e8c3c75f0fc34edcad473d0c66eba3e2", spdlog::level::warn,
    "fence: the ledger of fenced instances cannot be {}: {}; will retry; until then, removed "
    "blocklist entries are not detected",
    "The OSDs of the ledger object do not answer or refuse", "check the PGs of the pool, and caps"};

inline constexpr std::array kOfLock{&kLockAcquired,      &kLockNotAcquired,
                                    &kLockReleased,      &kLockNotReleased,
                                    &kLockRequested,     &kLockOperatorAsks,
                                    &kPeerSilent,        &kPeerNotFenced,
                                    &kWatchLost,         &kFence,
                                    &kFenceDone,         &kFenceFailed,
                                    &kFenceNotPossible,  &kReopenNotPossible,
                                    &kReopenFailed,      &kReopened,
                                    &kInstanceClosed,    &kTraceKept,
                                    &kTraceLost,         &kAbandonFenced,
                                    &kAbandonNotFenced,  &kPredecessorNotFenced,
                                    &kPredecessorFenced, &kPredecessorOfEarlierBoot,
                                    &kMayNotBlocklist,   &kBlocklistUnreadable,
                                    &kEntryRestored,     &kEntryNotRestored,
                                    &kLedgerFailed};

}  // namespace tcmurbd::messages
