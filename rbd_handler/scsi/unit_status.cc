// SPDX-License-Identifier: Apache-2.0
// SPC-4 and SBC-3: TEST UNIT READY, REQUEST SENSE, START STOP UNIT. A disk whose cluster does not
// respond stays 'ready': anything else would require a request to the cluster, and path checkers of
// hosts detect it with reads.
#include "rbd_handler/scsi/handlers.h"

namespace tcmurbd::scsi {

Plan plan_command(const TestUnitReady&, const Context&) { return good(); }

Plan plan_command(const StartStopUnit&, const Context&) { return good(); }

Plan plan_command(const PreventAllowMediumRemoval&, const Context&) { return good(); }

// NO SENSE unless a unit attention is pending: all other sense data is sent with its command.
Plan plan_command(const RequestSense& command, const Context& context) {
  const Sense sense = context.request.pending_sense.value_or(Sense{});
  if (command.descriptor_format) {
    const DescriptorSense encoded = encode_descriptor(sense);
    context.data_in.assign(encoded.bytes.begin(), encoded.bytes.begin() + encoded.length);
  } else {
    const auto encoded = encode_fixed(sense);
    context.data_in.assign(encoded.begin(), encoded.end());
  }
  return good();
}

}  // namespace tcmurbd::scsi
