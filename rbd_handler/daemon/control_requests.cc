// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/daemon/control_requests.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "common/quote.h"
#include "rbd_handler/daemon/lun_json.h"
#include "rbd_handler/daemon/status_json.h"
#include "rbd_handler/lun/explain.h"
#include "rbd_handler/trace/lun_trace.h"

namespace tcmurbd {
namespace {

// Replies with the answers of all LUNs when the last of them, which holds a reference too, has
// answered; in the order in which they were asked.
template <typename Answer>
class Answers {
 public:
  using ToJson = std::string (*)(const std::vector<Answer>&);
  Answers(ControlRequests::Reply reply, ToJson to_json, size_t count)
      : reply_(std::move(reply)), to_json_(to_json), answers_(count) {}
  ~Answers() { reply_(to_json_(answers_)); }
  Answers(const Answers&) = delete;
  Answers& operator=(const Answers&) = delete;

  void set(size_t index, Answer answer) { answers_[index] = std::move(answer); }

 private:
  const ControlRequests::Reply reply_;
  const ToJson to_json_;
  std::vector<Answer> answers_;
};

// `ask` is a member of Lun that takes a callback.
template <typename Answer>
void ask_all(const std::vector<std::shared_ptr<Lun>>& luns,
             void (Lun::*ask)(std::function<void(Answer)>), const ControlRequests::Reply& reply,
             std::string (*to_json)(const std::vector<Answer>&)) {
  const auto answers = std::make_shared<Answers<Answer>>(reply, to_json, luns.size());
  for (size_t i = 0; i < luns.size(); ++i) {
    ((*luns[i]).*ask)([answers, i](Answer answer) { answers->set(i, std::move(answer)); });
  }
}

// One LUN after the other, each on a turn of its own: together they would take the control thread
// seconds, and its absence quarantines changes.
class Traces : public std::enable_shared_from_this<Traces> {
 public:
  Traces(std::vector<std::shared_ptr<Lun>> luns, ControlRequests::Reply reply)
      : luns_(std::move(luns)), reply_(std::move(reply)) {}

  void next() {
    if (devices_.size() == luns_.size()) return reply_(join_traces(devices_));
    luns_[devices_.size()]->trace([self = shared_from_this()](const LunTrace& trace) {
      self->devices_.push_back(device_trace_json(trace));
      self->next();
    });
  }

 private:
  const std::vector<std::shared_ptr<Lun>> luns_;
  const ControlRequests::Reply reply_;
  std::vector<std::string> devices_;
};

struct Split {
  std::string_view word;
  std::string_view name;
};

Split split(std::string_view request) {
  const size_t space = request.find(' ');
  if (space == std::string_view::npos) return {request, {}};
  return {request.substr(0, space), request.substr(space + 1)};
}

bool means(const LunLabel& label, std::string_view name) {
  return label.name == name || label.image == name ||
         std::string_view(label.name).substr(label.name.find('/') + 1) == name;
}

constexpr std::array<std::string_view, 8> kWords{"status", "metrics", "ops",    "slow",
                                                 "trace",  "explain", "fences", "release-lock"};

std::string unknown() {
  std::string text = "unknown request; known: ";
  for (const std::string_view word : kWords) {
    if (word != kWords.front()) text += ", ";
    text += word;
  }
  return text;
}

}  // namespace

void ControlRequests::answer(std::string_view request, Reply reply) {
  const auto [word, name] = split(request);
  if (std::ranges::find(kWords, word) == kWords.end()) return reply(error_json(unknown()));
  if (word == "metrics") return metrics_(std::move(reply));
  if (word == "explain") return explain_lun(name, reply);
  if (word == "release-lock") return release_lock(name, reply);
  const auto luns = choose(name);
  if (!luns) return reply(error_json(luns.error()));
  if (word == "status") return ask_all(*luns, &Lun::status, reply, &status_json);
  if (word == "ops") return ask_all(*luns, &Lun::snapshot, reply, &ops_json);
  if (word == "trace") return std::make_shared<Traces>(*luns, std::move(reply))->next();
  if (word == "slow") return ask_all(*luns, &Lun::slow, reply, &slow_json);
  std::vector<LunFences> fences;
  for (const auto& lun : *luns) fences.push_back(lun->fences());
  reply(fences_json(fences));
}

std::expected<ControlRequests::Chosen, std::string> ControlRequests::choose(
    std::string_view name) const {
  Chosen chosen;
  for (const auto& [minor, lun] : luns_)
    if (name.empty() || means(lun->label(), name)) chosen.push_back(lun);
  if (chosen.empty() && !name.empty())
    return std::unexpected(fmt::format("no LUN {} is served here", quoted(name)));
  return chosen;
}

std::expected<std::shared_ptr<Lun>, std::string> ControlRequests::choose_one(
    std::string_view name) const {
  if (name.empty()) return std::unexpected("the name of a LUN is missing");
  auto chosen = choose(name);
  if (!chosen) return std::unexpected(chosen.error());
  if (chosen->size() != 1)
    return std::unexpected(
        fmt::format("{} means {} LUNs: name it as HBA/DEVICE", quoted(name), chosen->size()));
  return chosen->front();
}

void ControlRequests::explain_lun(std::string_view name, const Reply& reply) const {
  const auto lun = choose_one(name);
  if (!lun) return reply(error_json(lun.error()));
  (*lun)->snapshot(
      [reply](const LunSnapshot& snapshot) { reply(explain_json(snapshot, explain(snapshot))); });
}

void ControlRequests::release_lock(std::string_view name, const Reply& reply) const {
  const auto lun = choose_one(name);
  if (!lun) return reply(error_json(lun.error()));
  if (!(*lun)->known().disk)
    return reply(error_json(fmt::format("{} does not serve its image now", (*lun)->label().name)));
  (*lun)->release_lock([reply, label = (*lun)->label()](std::optional<lock::PeerAnswer> answer) {
    reply(release_json(label, answer));
  });
}

}  // namespace tcmurbd
