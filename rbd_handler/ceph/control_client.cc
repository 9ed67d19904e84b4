// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/ceph/control_client.h"

#include <fmt/format.h>
#include <rados/librados.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "common/mutex.h"
#include "common/quote.h"
#include "rbd_handler/ceph/object_place.h"
#include "rbd_handler/ceph/object_probe.h"

namespace tcmurbd::ceph {
namespace {

using nlohmann::json;

// Long for an OSD that works, also if this host was frozen a moment ago. An OSD that resumes within
// this time is not found.
constexpr std::chrono::milliseconds kMapPatience{500};
constexpr std::chrono::milliseconds kDataPatience{200};

struct Entry {
  Mutex connecting;
  std::weak_ptr<ControlClient> client GUARDED_BY(connecting);
};

// Never removed: one for each configuration and user of the daemon.
std::shared_ptr<Entry> entry_of(const std::string& conf_path, const std::string& user) {
  static Mutex mutex;
  static std::map<std::pair<std::string, std::string>, std::shared_ptr<Entry>> entries GUARDED_BY(
      mutex);
  const MutexLock lock(mutex);
  auto& entry = entries[{conf_path, user}];
  if (!entry) entry = std::make_shared<Entry>();
  return entry;
}

// The monitors' reply to `request`, or a negative errno.
std::expected<std::string, int> ask_with_text(rados_t cluster, const std::string& text) {
  std::array<const char*, 1> commands{text.c_str()};
  char* answer = nullptr;
  size_t length = 0;
  const int r = rados_mon_command(cluster, commands.data(), commands.size(), nullptr, 0, &answer,
                                  &length, nullptr, nullptr);
  std::string all(answer != nullptr ? answer : "", answer != nullptr ? length : 0);
  rados_buffer_free(answer);
  if (r < 0) return std::unexpected(r);
  return all;
}

std::expected<std::string, int> ask_monitors(rados_t cluster, const json& request) {
  return ask_with_text(cluster, request.dump(-1, ' ', false, json::error_handler_t::replace));
}

std::string blocklist_failure(int error) {
  switch (-error) {
    case EPERM:
    case EACCES:
      return "permission denied; the user's caps need mon 'profile rbd', or gateways cannot be "
             "fenced";
    case ETIMEDOUT:
      return "the monitors did not answer in time; they seem to have no quorum";
    case EINVAL:
      return "the monitors reject this address";
    default:
      return failure_text(error);
  }
}

// The primary OSD.
std::optional<int> first(const ObjectLocation& location) {
  if (location.acting.empty()) return {};
  return location.acting.front();
}

}  // namespace

std::expected<std::shared_ptr<ControlClient>, std::string> ControlClient::get(
    const std::string& conf_path, const std::string& user) {
  const std::shared_ptr<Entry> entry = entry_of(conf_path, user);
  const MutexLock lock(entry->connecting);
  if (auto known = entry->client.lock()) return known;
  auto client = Client::connect(conf_path, user, ClientRole::kControl);
  if (!client) return std::unexpected(client.error());
  std::shared_ptr<ControlClient> made(new ControlClient(std::move(*client)));
  entry->client = made;
  return made;
}

std::expected<void, LockFailure> ControlClient::blocklist(const std::string& address) const {
  std::string writable = address;
  const int r = rados_blocklist_add(client_->handle(), writable.data(), kBlocklistSeconds);
  if (r >= 0) return {};
  return std::unexpected(LockFailure{
      fmt::format("{}: blocklisting {}: {}", client_->name(), address, blocklist_failure(r)), r});
}

std::expected<Blocklist, LockFailure> ControlClient::blocklisted() const {
  const auto failed = [this](const std::string& reason, int error) {
    return std::unexpected(
        LockFailure{fmt::format("{}: reading the blocklist: {}", client_->name(), reason), error});
  };
  const auto answer =
      ask_monitors(client_->handle(), {{"prefix", "osd blocklist ls"}, {"format", "json"}});
  if (!answer) return failed(failure_text(answer.error()), answer.error());
  auto entries = parse_blocklist(*answer);
  if (!entries) return failed(entries.error(), -EBADMSG);
  return std::move(*entries);
}

std::expected<bool, LockFailure> ControlClient::may_blocklist() const {
  // The monitors check the caps first ('profile rbd' requires the form of an address with a nonce)
  // and then the address, which is invalid: nothing is changed.
  const auto answer = ask_monitors(client_->handle(), {{"prefix", "osd blocklist"},
                                                       {"blocklistop", "add"},
                                                       {"addr", "tcmu-rbd-may-blocklist/0"},
                                                       {"expire", 1.0}});
  if (answer || answer.error() == -EINVAL) return true;
  if (answer.error() == -EPERM || answer.error() == -EACCES) return false;
  return std::unexpected(
      LockFailure{fmt::format("{}: checking the permission to blocklist: {}", client_->name(),
                              blocklist_failure(answer.error())),
                  answer.error()});
}

std::expected<ObjectLocation, std::string> ControlClient::location_of(
    const std::string& pool, const std::string& name_space, const std::string& object) const {
  const auto failed = [&](const std::string& why) {
    return std::unexpected(
        fmt::format("object {} of pool {}: {}", object, tcmurbd::quoted(pool), why));
  };
  const auto request = location_request(pool, name_space, object);
  if (!request) return failed("the monitors cannot be asked: a name is not UTF-8");
  const auto answer = ask_with_text(client_->handle(), *request);
  if (!answer) return failed(failure_text(answer.error()));
  const json map = json::parse(*answer, nullptr, false);
  const auto pgid = map.find("pgid");
  const auto acting = map.find("acting");
  if (!map.is_object() || pgid == map.end() || !pgid->is_string() || acting == map.end() ||
      !acting->is_array())
    return failed("cannot parse the monitors' reply");
  ObjectLocation location{.pg = pgid->get<std::string>()};
  for (const json& osd : *acting)
    if (osd.is_number_integer()) location.acting.push_back(osd.get<int>());
  return location;
}

bool ControlClient::answers(const std::string& pool, const std::string& name_space,
                            const std::string& object, std::chrono::milliseconds patience) const {
  const auto opened = open_pool(pool, name_space);
  return !opened || ceph::answers(opened->get(), object, patience);  // Not known to hang.
}

std::expected<ObjectLocation, std::string> ControlClient::locate(const ObjectPlace& place) const {
  auto data = location_of(place.pool, place.name_space, place.object);
  if (!data || place.map_object.empty()) return data;
  auto map = location_of(place.map_pool, place.name_space, place.map_object);
  if (!map) return data;
  map->in_map = true;
  if (first(*data) == first(*map)) return data;  // The operator looks at the same OSD.
  // The map first: usually it answers at once. If neither does: all ops on the object wait for its
  // OSD, but only some for the map's.
  if (answers(place.map_pool, place.name_space, place.map_object, kMapPatience) ||
      !answers(place.pool, place.name_space, place.object, kDataPatience))
    return data;
  return map;
}

std::expected<std::string, int> ControlClient::ask(const std::string& command) const {
  return ask_with_text(client_->handle(), command);
}

std::expected<PoolHandle, std::string> ControlClient::open_pool(
    const std::string& pool, const std::string& name_space) const {
  rados_ioctx_t io = nullptr;
  if (const int r = rados_ioctx_create(client_->handle(), pool.c_str(), &io); r < 0)
    return std::unexpected(
        fmt::format("{}: pool {} {}", client_->name(), tcmurbd::quoted(pool), failure_text(r)));
  rados_ioctx_set_namespace(io, name_space.c_str());
  // Ops that need no space continue when the pool is full; otherwise librados would block all
  // writes.
  rados_set_pool_full_try(io);
  return PoolHandle(io, &rados_ioctx_destroy);
}

}  // namespace tcmurbd::ceph
