// SPDX-License-Identifier: Apache-2.0
// SBC-3: READ DEFECT DATA(10) and (12). The blocks are objects in a cluster that repairs its media
// itself, so both lists are valid and empty; an empty list is the same in every format.
#include "rbd_handler/scsi/handlers.h"

namespace tcmurbd::scsi {

// GENERATION CODE 0: no changes are counted. DEFECT LIST LENGTH 0.
Plan plan_command(const ReadDefectData& command, const Context& context) {
  uint8_t* header = append(context.data_in, command.twelve ? 8 : 4);
  header[1] = static_cast<uint8_t>((command.primary ? 0x10 : 0x00) |  // PLISTV
                                   (command.grown ? 0x08 : 0x00) |    // GLISTV
                                   command.list_format);
  return good();
}

}  // namespace tcmurbd::scsi
