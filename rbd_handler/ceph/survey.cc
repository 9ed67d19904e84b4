// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/ceph/survey.h"

#include <fmt/format.h>
#include <rados/librados.h>
#include <rbd/librbd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <nlohmann/json.hpp>
#include <set>
#include <span>

#include "common/quote.h"
#include "rbd_handler/ceph/blocklist.h"
#include "rbd_handler/ceph/failure.h"
#include "rbd_handler/ceph/image_facts.h"
#include "rbd_handler/ceph/lock_channel.h"
#include "rbd_handler/ceph/notify.h"

namespace tcmurbd::ceph {
namespace {

using std::chrono::milliseconds;

constexpr size_t kImageIdBytesMax = 256;
// Gateways of tcmu-rbd answer on their librados threads.
constexpr milliseconds kPatience{2000};
constexpr milliseconds kTravel{1000};

using Image = std::unique_ptr<void, int (*)(rbd_image_t)>;

std::expected<Image, std::string> open_image(rados_ioctx_t pool, const ImageSpec& spec) {
  rbd_image_t image = nullptr;
  if (const int r = rbd_open_read_only(pool, spec.image.c_str(), &image, nullptr); r < 0)
    return std::unexpected(failure_text(r));
  Image opened(image, &rbd_close);
  if (spec.snapshot.empty()) return opened;
  if (const int r = rbd_snap_set(image, spec.snapshot.c_str()); r < 0)
    return std::unexpected(
        fmt::format("snapshot {} {}", tcmurbd::quoted(spec.snapshot), failure_text(r)));
  return opened;
}

// The op fails on an object that does not exist, and on one that does: it changes nothing. OSDs
// check the caps first.
std::string write_error(rados_ioctx_t pool) {
  rados_write_op_t op = rados_create_write_op();
  rados_write_op_assert_exists(op);
  rados_write_op_create(op, LIBRADOS_CREATE_EXCLUSIVE, nullptr);
  const int r = rados_write_op_operate(op, pool, "tcmu-rbd.check", nullptr, 0);
  rados_release_write_op(op);
  if (r >= 0 || r == -ENOENT || r == -EEXIST) return "";
  return r == -EPERM || r == -EACCES ? "permission denied" : failure_text(r);
}

std::expected<std::vector<std::string>, int> watchers(rbd_image_t image) {
  size_t count = 64;
  std::vector<rbd_image_watcher_t> list(count);
  int r = rbd_watchers_list(image, list.data(), &count);
  if (r == -ERANGE) {
    list.resize(count);
    r = rbd_watchers_list(image, list.data(), &count);
  }
  if (r < 0) return std::unexpected(r);
  std::vector<std::string> addresses;
  for (const rbd_image_watcher_t& watcher : std::span(list).first(count))
    addresses.push_back(without_type(watcher.addr));
  rbd_watchers_list_cleanup(list.data(), count);
  return addresses;
}

// The instances that gateways of this project name when they are asked for a sign of life.
std::set<std::string> gateways(rados_ioctx_t pool, const std::string& image_id) {
  const auto notify = std::make_shared<Notify>();
  std::set<std::string> found;
  if (Notify::send(notify, pool, LockChannel::object_of(image_id), LockChannel::probe_words(),
                   kPatience) < 0)
    return found;
  notify->wait_for_end(kPatience + kTravel);
  for (const Notify::Reply& reply : notify->outcome().replies)
    if (!reply.text.empty()) found.insert(without_type(reply.text));
  return found;
}

std::expected<void, std::string> look_at_clients(rbd_image_t image, rados_ioctx_t pool,
                                                 ImageSurvey& survey) {
  std::array<char, kImageIdBytesMax> id{};
  if (const int r = rbd_get_id(image, id.data(), id.size()); r < 0)
    return std::unexpected("id: " + failure_text(r));
  const auto all = watchers(image);
  if (!all) return std::unexpected("watchers: " + failure_text(all.error()));
  if (all->empty()) return {};
  const std::set<std::string> ours = gateways(pool, id.data());
  for (const std::string& address : *all) {
    if (ours.contains(address))
      ++survey.gateways;
    else
      survey.strangers.push_back(address);
  }
  return {};
}

std::expected<ImageSurvey, std::string> survey_opened(rbd_image_t image, rados_ioctx_t pool,
                                                      const ImageSpec& spec) {
  ImageSurvey survey;
  uint8_t old_format = 0;
  if (const int r = rbd_get_old_format(image, &old_format); r < 0)
    return std::unexpected(failure_text(r));
  if (old_format != 0) {
    survey.refusal = "has image format 1, which has no exclusive lock";
    return survey;
  }
  const auto facts = read_facts(image);
  if (!facts)
    return std::unexpected("reading its features and settings: " + failure_text(facts.error()));
  survey.bytes = facts->bytes;
  survey.exclusive_lock = facts->exclusive_lock();
  survey.primary = facts->primary();
  survey.refusal = refusal(*facts, spec.snapshot.empty()).value_or("");
  if (spec.snapshot.empty()) {
    survey.write_error = write_error(pool);
    if (auto done = look_at_clients(image, pool, survey); !done)
      return std::unexpected(done.error());
  }
  return survey;
}

}  // namespace

std::expected<ImageSurvey, std::string> survey_image(const ControlClient& client,
                                                     const ImageSpec& spec) {
  const auto pool = client.open_pool(spec.pool, spec.name_space);
  if (!pool) return std::unexpected(pool.error());
  const auto image = open_image(pool->get(), spec);
  if (!image) return std::unexpected(image.error());
  return survey_opened(image->get(), pool->get(), spec);
}

std::expected<std::vector<ServiceDaemon>, std::string> parse_service_map(std::string_view json) {
  const auto map = nlohmann::json::parse(json, nullptr, false);
  if (!map.is_object() || !map.contains("services") || !map.at("services").is_object())
    return std::unexpected(std::string("cannot parse the monitors' reply"));
  std::vector<ServiceDaemon> found;
  const auto& services = map.at("services");
  const auto service = services.find("tcmu-runner");
  if (service == services.end() || !service->is_object()) return found;
  const auto daemons = service->find("daemons");
  if (daemons == service->end() || !daemons->is_object()) return found;
  for (const auto& [id, daemon] : daemons->items()) {
    // Beside the daemons is an entry "summary", a text.
    if (!daemon.is_object()) continue;
    const auto metadata = daemon.find("metadata");
    const bool ours = metadata != daemon.end() && metadata->is_object() &&
                      metadata->contains("handler") && metadata->at("handler") == "tcmu-rbd";
    found.push_back({.id = id, .ours = ours});
  }
  return found;
}

std::expected<std::vector<ServiceDaemon>, std::string> service_map(const ControlClient& client) {
  const auto answer = client.ask(R"({"prefix": "service dump", "format": "json"})");
  if (!answer) return std::unexpected(failure_text(answer.error()));
  return parse_service_map(*answer);
}

}  // namespace tcmurbd::ceph
