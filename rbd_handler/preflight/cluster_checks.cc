// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>

#include "common/quote.h"
#include "rbd_handler/preflight/check_parts.h"

namespace tcmurbd::preflight {
namespace {

constexpr const char* kCaps = "grant it the caps mon 'profile rbd' osd 'profile rbd'";

// "image pool/x (user_0/disk)"
std::string named(const ImageFacts& image) {
  const std::string what = "image " + quoted(image.name);
  return image.device.empty() ? what : fmt::format("{} ({})", what, image.device);
}

void check_lock(const ImageFacts& image, Findings& all) {
  if (image.exclusive_lock || !image.head) return;
  const std::string action =
      fmt::format("enable it: rbd feature enable {} exclusive-lock", image.name);
  if (image.gateways + image.strangers.size() > 1)
    all.push_back(fail(fmt::format("{} has no exclusive-lock and {} clients: their writes are not "
                                   "ordered, and none can be fenced",
                                   named(image), image.gateways + image.strangers.size()),
                       action));
  else
    all.push_back(
        warn(named(image) + " has no exclusive-lock: only one gateway may serve it", action));
}

void check_image(const ImageFacts& image, Findings& all) {
  if (!image.error.empty()) {
    all.push_back(fail(fmt::format("{}: {}", named(image), image.error), ""));
    return;
  }
  if (!image.refusal.empty()) {
    all.push_back(fail(fmt::format("{} {}", named(image), image.refusal),
                       "the daemon refuses the image until then"));
    return;
  }
  if (!image.write_error.empty())
    all.push_back(fail(fmt::format("{}: {} cannot write to the pool: {}", named(image),
                                   image.client, image.write_error),
                       kCaps));
  if (image.device_bytes && *image.device_bytes > 0 &&
      static_cast<uint64_t>(*image.device_bytes) > image.bytes)
    all.push_back(fail(fmt::format("{} has {} bytes, the device {}", named(image), image.bytes,
                                   *image.device_bytes),
                       "enlarge the image with 'rbd resize': the daemon refuses the device"));
  if (!image.primary)
    all.push_back(warn(named(image) + " is not primary (mirroring): writes are refused",
                       "promote it with 'rbd mirror image promote', or leave it read-only"));
  check_lock(image, all);
}

// "10.0.0.1" of "10.0.0.1:0/37", "[fe80::1]" of "[fe80::1]:0/37".
std::string_view machine_of(std::string_view address) {
  return address.substr(0, address.rfind(':'));
}

// Whether it is on this host; its own tcmu-runner is what check_handlers reports.
bool is_here(const Facts& facts, std::string_view address) {
  return std::ranges::any_of(facts.clients, [&](const ClientFacts& client) {
    return !client.address.empty() && machine_of(client.address) == machine_of(address);
  });
}

}  // namespace

Findings check_clients(const Facts& facts) {
  Findings all;
  for (const ClientFacts& client : facts.clients) {
    if (!client.error.empty()) {
      // Its name is in the message.
      all.push_back(client.assumed ? warn(client.error,
                                          "no device uses this user yet; name yours with --image "
                                          "'rbd/POOL/IMAGE;id=USER'")
                                   : fail(client.error, "its devices cannot be served"));
    } else if (!client.may_blocklist) {
      all.push_back(fail(fmt::format("{}: {}", client.name, client.blocklist_error), ""));
    } else if (!*client.may_blocklist) {
      all.push_back(fail(client.name +
                             " may not blocklist: no gateway can fence a hung one, and after a "
                             "crash only reads are served",
                         kCaps));
    } else {
      all.push_back(ok(client.name + " connects, and may blocklist"));
    }
  }
  if (all.empty()) all.push_back(ok("none to check"));
  return all;
}

Findings check_images(const Facts& facts) {
  Findings all;
  for (const ImageFacts& image : facts.images) {
    const size_t before = all.size();
    check_image(image, all);
    if (all.size() == before) all.push_back(ok(named(image) + " can be served"));
  }
  if (all.empty()) all.push_back(ok("none to check"));
  return all;
}

Findings check_gateways(const Facts& facts) {
  const std::string convert =
      "convert that gateway next: while it is mixed, each hand-over of the lock between the two "
      "breaks it, which costs seconds (see MIGRATION.md)";
  const bool converts = !facts.other_daemons.empty();
  Findings all;
  if (facts.services)
    for (const ServiceFacts& service : *facts.services)
      if (!service.ours && !(converts && service.id.starts_with(facts.host + ":")))
        all.push_back(
            warn(fmt::format("{} in the service map is served by tcmu-runner", quoted(service.id)),
                 convert));
  for (const ImageFacts& image : facts.images)
    for (const std::string& address : image.strangers)
      if (!converts || !is_here(facts, address))
        all.push_back(warn(fmt::format("{} is open at {}, by a client that is not tcmu-rbd",
                                       named(image), address),
                           "if it is tcmu-runner, " + convert));
  if (all.empty() && facts.images.empty() && !facts.services) return {ok("none to check")};
  if (all.empty())
    all.push_back(ok(fmt::format("no client but tcmu-rbd has these images open{}",
                                 facts.services ? "" : "; the service map is not readable")));
  return all;
}

}  // namespace tcmurbd::preflight
