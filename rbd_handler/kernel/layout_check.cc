// SPDX-License-Identifier: Apache-2.0
// Compares our description of the kernel's interface with the kernel's header at compile time. No
// other file includes that header: it redefines struct iovec, and its structs are packed.
#include <linux/target_core_user.h>

#include <cstddef>

#include "rbd_handler/kernel/netlink_layout.h"
#include "rbd_handler/ring/layout.h"

namespace tcmurbd {
namespace {

using namespace ring;

static_assert(kMailboxVersion == TCMU_MAILBOX_VERSION);
static_assert(kCapOutOfOrder == TCMU_MAILBOX_FLAG_CAP_OOOC);
static_assert(kCapReadLength == TCMU_MAILBOX_FLAG_CAP_READ_LEN);
static_assert(kCapTmr == TCMU_MAILBOX_FLAG_CAP_TMR);
static_assert(kCapKeepBuffer == TCMU_MAILBOX_FLAG_CAP_KEEP_BUF);
static_assert(sizeof(Mailbox) == sizeof(tcmu_mailbox));
static_assert(offsetof(Mailbox, version) == offsetof(tcmu_mailbox, version));
static_assert(offsetof(Mailbox, flags) == offsetof(tcmu_mailbox, flags));
static_assert(offsetof(Mailbox, ring_offset) == offsetof(tcmu_mailbox, cmdr_off));
static_assert(offsetof(Mailbox, ring_bytes) == offsetof(tcmu_mailbox, cmdr_size));
static_assert(offsetof(Mailbox, head) == offsetof(tcmu_mailbox, cmd_head));
static_assert(offsetof(Mailbox, tail) == offsetof(tcmu_mailbox, cmd_tail));

static_assert(kEntryAlignment == TCMU_OP_ALIGN_SIZE);
static_assert(kOpMask == TCMU_OP_MASK);
static_assert(kOpPad == TCMU_OP_PAD && kOpCommand == TCMU_OP_CMD && kOpTmr == TCMU_OP_TMR);
static_assert(kFlagUnknownOp == TCMU_UFLAG_UNKNOWN_OP);
static_assert(kFlagReadLength == TCMU_UFLAG_READ_LEN);
static_assert(kFlagKeepBuffer == TCMU_UFLAG_KEEP_BUF);
static_assert(sizeof(EntryHeader) == sizeof(tcmu_cmd_entry_hdr));
static_assert(offsetof(EntryHeader, length_op) == offsetof(tcmu_cmd_entry_hdr, len_op));
static_assert(offsetof(EntryHeader, cmd_id) == offsetof(tcmu_cmd_entry_hdr, cmd_id));
static_assert(offsetof(EntryHeader, kflags) == offsetof(tcmu_cmd_entry_hdr, kflags));
static_assert(offsetof(EntryHeader, uflags) == offsetof(tcmu_cmd_entry_hdr, uflags));

static_assert(offsetof(CommandRequest, iov_count) == offsetof(tcmu_cmd_entry, req.iov_cnt));
static_assert(offsetof(CommandRequest, iov_bidi_count) ==
              offsetof(tcmu_cmd_entry, req.iov_bidi_cnt));
static_assert(offsetof(CommandRequest, iov_dif_count) == offsetof(tcmu_cmd_entry, req.iov_dif_cnt));
static_assert(offsetof(CommandRequest, cdb_offset) == offsetof(tcmu_cmd_entry, req.cdb_off));
static_assert(sizeof(CommandRequest) == offsetof(tcmu_cmd_entry, req.iov));
static_assert(sizeof(IoVector) == sizeof(iovec));
static_assert(offsetof(IoVector, offset) == offsetof(iovec, iov_base));
static_assert(offsetof(IoVector, length) == offsetof(iovec, iov_len));

static_assert(kSenseBufferBytes == TCMU_SENSE_BUFFERSIZE);
static_assert(sizeof(CommandResponse) == sizeof(tcmu_cmd_entry));
static_assert(offsetof(CommandResponse, scsi_status) == offsetof(tcmu_cmd_entry, rsp.scsi_status));
static_assert(offsetof(CommandResponse, read_length) == offsetof(tcmu_cmd_entry, rsp.read_len));
static_assert(offsetof(CommandResponse, sense) == offsetof(tcmu_cmd_entry, rsp.sense_buffer));

static_assert(sizeof(TmrHeader) == sizeof(tcmu_tmr_entry));
static_assert(offsetof(TmrHeader, type) == offsetof(tcmu_tmr_entry, tmr_type));
static_assert(offsetof(TmrHeader, cmd_count) == offsetof(tcmu_tmr_entry, cmd_cnt));
static_assert(sizeof(TmrHeader) == offsetof(tcmu_tmr_entry, cmd_ids));

using namespace kernel;

static_assert(kCmdAdded == TCMU_CMD_ADDED_DEVICE);
static_assert(kCmdRemoved == TCMU_CMD_REMOVED_DEVICE);
static_assert(kCmdReconfigured == TCMU_CMD_RECONFIG_DEVICE);
static_assert(kCmdAddedDone == TCMU_CMD_ADDED_DEVICE_DONE);
static_assert(kCmdRemovedDone == TCMU_CMD_REMOVED_DEVICE_DONE);
static_assert(kCmdReconfiguredDone == TCMU_CMD_RECONFIG_DEVICE_DONE);
static_assert(kCmdSetFeatures == TCMU_CMD_SET_FEATURES);
static_assert(kAttrDevice == TCMU_ATTR_DEVICE);
static_assert(kAttrMinor == TCMU_ATTR_MINOR);
static_assert(kAttrDevConfig == TCMU_ATTR_DEV_CFG);
static_assert(kAttrDevSize == TCMU_ATTR_DEV_SIZE);
static_assert(kAttrWriteCache == TCMU_ATTR_WRITECACHE);
static_assert(kAttrStatus == TCMU_ATTR_CMD_STATUS);
static_assert(kAttrDeviceId == TCMU_ATTR_DEVICE_ID);
static_assert(kAttrKernelReply == TCMU_ATTR_SUPP_KERN_CMD_REPLY);

}  // namespace
}  // namespace tcmurbd
