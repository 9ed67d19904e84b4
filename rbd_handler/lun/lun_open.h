// SPDX-License-Identifier: Apache-2.0
// The blocking steps of a LUN's start, each as a plain function: what is opened, checked and in
// which order. They run in a job thread of the LUN's own, since RADOS may keep them for as long as
// it likes.
#pragma once

#include <expected>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "common/log.h"
#include "config/image_spec.h"
#include "rbd_handler/ceph/cluster.h"
#include "rbd_handler/ceph/rados_cluster.h"
#include "rbd_handler/ceph/rados_lock_cluster.h"
#include "rbd_handler/ceph/rbd_image.h"
#include "rbd_handler/kernel/configfs.h"
#include "rbd_handler/kernel/uio.h"
#include "rbd_handler/lun/instance_record.h"
#include "rbd_handler/lun/lun_snapshot.h"
#include "rbd_handler/ring/ring.h"
#include "rbd_handler/scsi/facts.h"

namespace tcmurbd {

// Why a LUN could not be opened: a line for the operator and a negative errno for the configfs
// writer.
struct OpenError {
  std::string text;
  int error = -5;
};

enum class Origin : uint8_t {
  kAdded,      // An ADDED event: the ring is fresh, and actions are refused until we have replied.
  kTakenOver,  // It was there when we started, perhaps with commands of a dead predecessor.
};

// The kernel's side of a LUN.
struct Attached {
  kernel::UioDevice uio;
  ring::Ring ring;
  std::optional<kernel::KeptBuffers> kept_buffers{};  // If the ring supports them (Linux 5.15).
};

// What a LUN has from outside of this process. Tests fill in their own.
struct LunPorts {
  std::string root = "/";  // The prefix of /sys.
  std::function<std::expected<kernel::UioDevice, std::string>(uint32_t minor)> open_uio =
      [](uint32_t minor) { return kernel::UioDevice::open(minor); };
  ceph::ConnectCluster connect = ceph::RadosCluster::connect;
  ceph::OpenServedImage open_served_image = ceph::RbdImage::open;
  // Control thread, when this gateway is about to fence its own instance: keeps what led to it.
  // Must not block.
  std::function<void(LunTrace)> keep_trace = [](const LunTrace&) {};
};

// Opens and maps the device. A device that is taken over is blocked (BUSY to initiators, who retry)
// and its ring is reset before: its pending entries cannot be distinguished from those that the
// predecessor completed. It stays blocked; the caller unblocks it once the image is open. The UIO
// device is opened first: it has one opener, so a ring that another process serves is never reset.
std::expected<Attached, OpenError> attach_device(const LunPorts& ports,
                                                 const kernel::UioEntry& entry,
                                                 const kernel::ConfigfsDevice& configfs,
                                                 Origin origin);

// After a broken ring: blocks the device, resets the ring and attaches to it again.
// REQUIRES: nothing uses the data area.
std::expected<ring::Ring, OpenError> reattach_ring(const kernel::UioDevice& uio,
                                                   const kernel::ConfigfsDevice& configfs);

struct OpenedImage {
  std::shared_ptr<ceph::Monitors> monitors;  // The control client.
  std::shared_ptr<ceph::ServedImage> image;
  // Null for a snapshot, which needs no lock, as the next one.
  std::shared_ptr<ceph::PeerChannel> channel;
  std::shared_ptr<ceph::FenceList> fences;
  scsi::DiskFacts disk;
  std::string predecessor;  // The instance that was fenced; empty: there was none.
  // One that is not permitted to be fenced: changes are not safe until it is; empty: there is none.
  std::string unfenced;
  Duration kernel_limit{};  // See ConfigfsDevice.
};

// Called for events of an opened image, on threads of Ceph; must only post.
struct ImageListeners {
  ceph::CompletionSink done;
  ceph::NewsSink news;
  ceph::ChannelHandlers channel;
  ceph::OnOwnFenced own_fenced;
};

// Fences the instance that a dead predecessor left behind, opens the image and holds it against the
// device's attributes: dev_size beyond the image is refused. `log` is the LUN's.
std::expected<OpenedImage, OpenError> open_image(const LunPorts& ports, const ImageSpec& spec,
                                                 const kernel::ConfigfsDevice& configfs,
                                                 const InstanceRecord& record,
                                                 ImageListeners listeners,
                                                 std::shared_ptr<Log> log);

// A client instance with the image open, which has the newest map of now: whatever was blocklisted
// before is ordered before its ops, or refused.
std::expected<std::unique_ptr<ceph::ServedImage>, OpenError> open_instance(
    const ceph::OpenServedImage& open, const ImageSpec& spec, ceph::CompletionSink done,
    ceph::NewsSink news);

// Whether a LUN could serve this image: opens an instance and closes it again. For a person who is
// about to create the device.
std::expected<void, std::string> check_image(const ceph::OpenServedImage& open,
                                             const ImageSpec& spec);

}  // namespace tcmurbd
