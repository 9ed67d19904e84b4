// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/lun/lun_open.h"

#include <fmt/format.h>

#include <cerrno>
#include <exception>
#include <utility>

#include "rbd_handler/messages/lock.h"

namespace tcmurbd {
namespace {

std::unexpected<OpenError> failed(int error, std::string text) {
  return std::unexpected(OpenError{std::move(text), -error});
}

// Runs a step whose parts may throw when the process is out of threads, descriptors or memory: that
// fails this LUN only.
template <typename Step>
auto guarded(const Step& step) -> decltype(step()) {
  try {
    return step();
  } catch (const std::exception& error) {
    return failed(ENOMEM, fmt::format("the process is out of resources: {}", error.what()));
  }
}

std::expected<void, OpenError> block_and_reset(const kernel::ConfigfsDevice& configfs) {
  if (auto blocked = configfs.block(true); !blocked) return failed(ENODEV, blocked.error());
  if (auto reset = configfs.reset_ring(); !reset) return failed(EIO, reset.error());
  return {};
}

// The device's shape as configfs has it, without what the image says.
std::expected<scsi::DiskFacts, OpenError> read_disk_facts(const kernel::ConfigfsDevice& configfs) {
  const auto block_size = configfs.attribute("hw_block_size");
  const auto bytes = configfs.attribute("dev_size");
  const auto max_blocks = configfs.attribute("hw_max_sectors");
  for (const auto* value : {&block_size, &bytes, &max_blocks}) {
    if (!*value) return failed(EIO, value->error());
  }
  if (*block_size != 512 && *block_size != 4096) {
    return failed(EINVAL, fmt::format("hw_block_size {} is not 512 or 4096", *block_size));
  }
  if (*bytes < *block_size)
    return failed(EINVAL, fmt::format("dev_size {} is less than one block", *bytes));
  scsi::DiskFacts disk;
  disk.block_size = static_cast<uint32_t>(*block_size);
  disk.blocks = static_cast<uint64_t>(*bytes) / disk.block_size;
  // Sectors of the attribute are blocks of this device. A value that overflows means no limit worth
  // telling.
  const uint64_t transfer =
      *max_blocks > 0 ? static_cast<uint64_t>(*max_blocks) * disk.block_size : 0;
  disk.max_transfer_bytes = transfer <= UINT32_MAX ? static_cast<uint32_t>(transfer) : 0;
  return disk;
}

struct Predecessor {
  std::string fenced{};
  std::string unfenced{};
};

// What it left behind may still be applied. Fenced before anything of ours is served, an instance
// that reads included, it is ordered before all of it. If that is not permitted, reads are served
// all the same: an operator mends the caps, and the data is wanted meanwhile.
std::expected<Predecessor, OpenError> fence_predecessor(const InstanceRecord& record,
                                                        const ceph::Monitors& monitors, Log& log) {
  const auto recorded = record.read();
  if (!recorded) return failed(EIO, recorded.error());
  const std::string& address = recorded->address;
  if (address.empty()) return {};
  if (recorded->earlier_boot) log.write<messages::kPredecessorOfEarlierBoot>(address);
  auto fenced = monitors.blocklist(address);
  if (fenced) {
    record.remove(address);
    return Predecessor{.fenced = address};
  }
  const auto& [reason, error] = fenced.error();
  if (error != -EPERM && error != -EACCES)
    return failed(EIO, fmt::format("the instance {} of the dead predecessor may have writes in "
                                   "flight and cannot be fenced: {}",
                                   address, reason));
  log.write<messages::kPredecessorNotFenced>(address, reason);
  return Predecessor{.unfenced = address};
}

// Warns at open, not when the permission is needed.
void look_at_permission(const ceph::Cluster& cluster, Log& log) {
  const auto may = cluster.may_blocklist();
  if (may && !*may) log.write<messages::kMayNotBlocklist>(cluster.user());
}

}  // namespace

std::expected<Attached, OpenError> attach_device(const LunPorts& ports,
                                                 const kernel::UioEntry& entry,
                                                 const kernel::ConfigfsDevice& configfs,
                                                 Origin origin) {
  auto uio = ports.open_uio(entry.minor);
  if (!uio) return failed(ENODEV, uio.error());
  if (origin == Origin::kTakenOver) {
    if (auto reset = block_and_reset(configfs); !reset) return std::unexpected(reset.error());
  }
  auto ring = ring::Ring::attach(uio->map());
  if (!ring) return failed(EPROTO, ring.error());
  Attached attached{std::move(*uio), std::move(*ring)};
  if (attached.ring.supports_keep_buffer()) {
    auto kept_buffers = kernel::KeptBuffers::open(configfs);
    if (!kept_buffers) return failed(ENODEV, kept_buffers.error());
    attached.kept_buffers = std::move(*kept_buffers);
  }
  return attached;
}

std::expected<ring::Ring, OpenError> reattach_ring(const kernel::UioDevice& uio,
                                                   const kernel::ConfigfsDevice& configfs) {
  if (auto reset = block_and_reset(configfs); !reset) return std::unexpected(reset.error());
  auto ring = ring::Ring::attach(uio.map());
  if (!ring) return failed(EPROTO, ring.error());
  return std::move(*ring);
}

std::expected<std::unique_ptr<ceph::ServedImage>, OpenError> open_instance(
    const ceph::OpenServedImage& open, const ImageSpec& spec, ceph::CompletionSink done,
    ceph::NewsSink news) {
  using Opened = std::expected<std::unique_ptr<ceph::ServedImage>, OpenError>;
  return guarded([&]() -> Opened {
    auto image = open(spec, std::move(done), std::move(news));
    if (!image) return failed(EIO, image.error());
    if (auto newest = (*image)->wait_for_latest_map(); !newest)
      return failed(EIO, newest.error().text);
    return std::move(*image);
  });
}

namespace {

// The device's attributes against the image.
std::expected<void, OpenError> fit_to_image(scsi::DiskFacts& disk, const ceph::ImageInfo& info) {
  const uint64_t device_bytes = disk.blocks * disk.block_size;
  if (device_bytes > info.bytes) {
    return failed(EINVAL,
                  fmt::format("dev_size {} exceeds the image's {} bytes: resize the image first",
                              device_bytes, info.bytes));
  }
  disk.object_bytes = static_cast<uint32_t>(std::min<uint64_t>(info.object_bytes, UINT32_MAX));
  disk.stripe_bytes = static_cast<uint32_t>(std::min<uint64_t>(info.stripe_bytes, UINT32_MAX));
  disk.read_only = info.read_only;
  return {};
}

std::expected<OpenedImage, OpenError> open_all(const LunPorts& ports, const ImageSpec& spec,
                                               const kernel::ConfigfsDevice& configfs,
                                               const InstanceRecord& record,
                                               ImageListeners& listeners,
                                               const std::shared_ptr<Log>& log) {
  auto disk = read_disk_facts(configfs);
  if (!disk) return std::unexpected(disk.error());
  const auto cluster = ports.connect(spec);
  if (!cluster) return failed(EIO, cluster.error());
  OpenedImage opened;
  opened.monitors = (*cluster)->monitors();
  auto predecessor = fence_predecessor(record, *opened.monitors, *log);
  if (!predecessor) return std::unexpected(predecessor.error());
  auto image = open_instance(ports.open_served_image, spec, std::move(listeners.done),
                             std::move(listeners.news));
  if (!image) return std::unexpected(image.error());
  const ceph::ImageInfo& info = (*image)->info();
  if (auto fits = fit_to_image(*disk, info); !fits) return std::unexpected(fits.error());
  opened.disk = *disk;
  opened.kernel_limit = configfs.kernel_limit();
  if (!info.read_only) {
    look_at_permission(**cluster, *log);
    auto channel = (*cluster)->open_channel(spec, info.id, std::move(listeners.channel));
    if (!channel) return failed(EIO, channel.error());
    opened.channel = std::move(*channel);
    auto fences = (*cluster)->open_fence_list(spec, info.id, log, predecessor->fenced,
                                              std::move(listeners.own_fenced));
    if (!fences) return failed(EIO, fences.error());
    opened.fences = std::move(*fences);
    opened.unfenced = std::move(predecessor->unfenced);
  }
  opened.image = std::move(*image);
  opened.predecessor = std::move(predecessor->fenced);
  return opened;
}

}  // namespace

std::expected<OpenedImage, OpenError> open_image(const LunPorts& ports, const ImageSpec& spec,
                                                 const kernel::ConfigfsDevice& configfs,
                                                 const InstanceRecord& record,
                                                 ImageListeners listeners,
                                                 std::shared_ptr<Log> log) {
  return guarded([&] { return open_all(ports, spec, configfs, record, listeners, log); });
}

std::expected<void, std::string> check_image(const ceph::OpenServedImage& open,
                                             const ImageSpec& spec) {
  const auto opened = open_instance(open, spec, [](const OpDone&) {}, {});
  if (!opened) return std::unexpected(opened.error().text);
  return {};
}

}  // namespace tcmurbd
