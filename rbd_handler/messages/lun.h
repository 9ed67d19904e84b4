// SPDX-License-Identifier: Apache-2.0
// What is logged of the life of a device.
#pragma once

#include <array>

#include "common/log_line.h"

namespace tcmurbd::messages {

inline constexpr LogMessage kServing{
    "37ae8d4517b5402abc349d19cd540324", spdlog::level::info,
    "serving {} bytes ({} in the image){}{}, client {}",
    "The device is served; `client` is the instance, as in the blocklist", ""};

inline constexpr LogMessage kNotServed{
    "244f420af27143c4827c6b86507622ea", spdlog::level::err, "cannot serve the device: {}",
    "The image was refused; the line has the reason", "correct it, and add the device again"};

inline constexpr LogMessage kNotServedYet{
    "2e3561b3bf7d4fa188ab49b9f6bf046e", spdlog::level::err, "cannot serve the device yet{}: {}",
    "A device that exists cannot be served: initiators get BUSY; the line has the reason",
    "correct it; it is retried"};

inline constexpr LogMessage kNoExclusiveLock{
    "bfe9ba1bdbd347a6a5a46a792e6210e6", spdlog::level::warn,
    "the image does not have the feature exclusive-lock: serve it from this gateway only",
    "Two gateways would not exclude each other",
    "`rbd feature enable POOL/IMAGE exclusive-lock`, or one gateway only"};

inline constexpr LogMessage kNotPrimaryAtOpen{
    "e323a05c37fd4181b3644c80cb04af7c", spdlog::level::warn,
    "the image is not primary here: writes are refused (7/27/00), reads are served; promote it "
    "with 'rbd mirror image promote'",
    "Mirroring: the image is primary elsewhere", "`rbd mirror image promote` on one side only"};

inline constexpr LogMessage kImageChanged{
    "2025bebddef54465ac7cd5c2ddd99801", spdlog::level::warn, "news of the image: {}",
    "The image was changed in a way that matters; the line says what follows",
    "what the line says"};

inline constexpr LogMessage kSafeAgain{"85e1de36a8df47a192ea5bac22ada35b", spdlog::level::info,
                                       "writes are safe again and are served",
                                       "The change of the image was undone", ""};

inline constexpr LogMessage kNoTmrNotifications{
    "c5cffca4b2ff424dbeb8ef16c452cc82", spdlog::level::warn,
    "this kernel lacks TMR notifications (5.9 or later needed): aborted commands end only at their "
    "deadline",
    "Aborts end only at the deadline", "Linux 5.9 or later"};

inline constexpr LogMessage kTmrNotSwitched{"3437c9a6dc854c448195d78e9b58a719", spdlog::level::warn,
                                            "TMR notifications cannot be switched: {}",
                                            "configfs refused it: aborts end only at the deadline",
                                            "if it repeats: report it"};

inline constexpr LogMessage kNoFacts{"13686f2e76c4491f8af376d3faabbb33", spdlog::level::warn,
                                     "reading identity and port groups: {}",
                                     "They cannot be read from configfs: INQUIRY has those that "
                                     "were read last; if there are none, it has defaults, which "
                                     "multipath may take for another disk",
                                     "the configuration of the target"};

inline constexpr LogMessage kQosLimits{
    "fa6aae03b86c48d9a5c788e610559752", spdlog::level::warn,
    "rbd_qos limits: {} writes of {} KiB take {} s, longer than the limit of {} s ({}): hosts will "
    "see BUSY and abort commands; raise the limits or lower hw_max_sectors",
    "The limits are too low for full queues: hosts will see BUSY",
    "raise them, or lower `hw_max_sectors`"};

inline constexpr LogMessage kCmdTimeOut{
    "1d631a516f99460294f2a14239f466a8", spdlog::level::info,
    "cmd_time_out is {} s now (0: none): the kernel itself ends older commands",
    "The attribute was set; deadlines are shorter from now on", ""};

inline constexpr LogMessage kNotBlocked{"32c3f6787b6d45fdb102ea9cf4ac9117", spdlog::level::err,
                                        "{} the device: {}",
                                        "configfs refused to block or unblock the device",
                                        "restart the daemon; if it repeats: report it"};

inline constexpr LogMessage kResized{"d477bc97e6474b0c9af7fb5e0ca67a5b", spdlog::level::info,
                                     "resized to {} bytes", "`dev_size` was set", ""};

inline constexpr LogMessage kSizeUnknown{"f2b9b16095b249c18de80cff625efe8f", spdlog::level::warn,
                                         "cannot read the image's size after the resize: {}",
                                         "The cluster did not answer in time",
                                         "compare `rbd info` with the size of the device"};

inline constexpr LogMessage kImageTooSmall{
    "97dd872949004c04b34c6e1763f98b13", spdlog::level::warn,
    "the device has {} bytes, but the image only {}: I/O beyond the image's end is refused",
    "The device was resized, and the image was not", "`rbd resize` first"};

inline constexpr LogMessage kNotInServiceMap{
    "6c93c618ca994fc7aa9e78b05bc927a1", spdlog::level::warn,
    "{}; the dashboard and gwcli do not see this gateway",
    "The mgr does not accept the entry in the service map; I/O is not affected", "check the mgr"};

inline constexpr LogMessage kRemoved{"e146f198c4f64bb299c1893a148f596c", spdlog::level::info,
                                     "removed by the kernel", "The device was deleted in configfs",
                                     ""};

inline constexpr LogMessage kExitDoesNotWait{
    "79a35fe98036485cb54542e259b0fe1d", spdlog::level::err,
    "blocking the device hangs, the exit does not wait for it any longer",
    "A lock of configfs is held", "look for a process that hangs in configfs"};

inline constexpr LogMessage kHungOpsRemain{
    "8fa70a7ca6b84ff9aea92c3ba74f7c82", spdlog::level::warn,
    "hung ops remain, {} does not wait for them any longer",
    "A device was removed, or the daemon stopped, while ops hang", "find the hung OSD"};

inline constexpr LogMessage kClosed{"66525ae8fb0a4156a19d57704d5c2aba", spdlog::level::info,
                                    "closed", "The image was closed", ""};

inline constexpr LogMessage kDevicesNotListed{
    "57d67a38428146f2bf121561dfa044d9", spdlog::level::err,
    "the devices cannot be listed, will retry: {}",
    "Events of the kernel were lost, and the devices cannot be looked at; those that are served "
    "are served on",
    "the line has the reason, such as too few descriptors: `LimitNOFILE=` of the unit"};

inline constexpr LogMessage kNoThread{"e771e8e949e5455fa86f36893fefa150", spdlog::level::err,
                                      "cannot start a thread: {}; will retry",
                                      "A job waits until the process may start a thread",
                                      "raise the limits of the unit: see Sizing in OPERATING.md"};

inline constexpr std::array kOfLun{
    &kServing,          &kNotServed,        &kNotServedYet,    &kNoExclusiveLock,
    &kNotPrimaryAtOpen, &kImageChanged,     &kSafeAgain,       &kNoTmrNotifications,
    &kTmrNotSwitched,   &kNoFacts,          &kQosLimits,       &kCmdTimeOut,
    &kNotBlocked,       &kResized,          &kSizeUnknown,     &kImageTooSmall,
    &kNotInServiceMap,  &kRemoved,          &kExitDoesNotWait, &kHungOpsRemain,
    &kClosed,           &kDevicesNotListed, &kNoThread};

}  // namespace tcmurbd::messages
