// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <condition_variable>
#include <map>
#include <memory>
#include <thread>
#include <utility>

#include "common/mutex.h"
#include "rbd_handler/ceph/survey.h"
#include "rbd_handler/preflight/probes.h"

namespace tcmurbd::preflight {
namespace {

using std::chrono::seconds;

// Shared with threads that may outlive the call.
struct Board {
  Mutex mutex;
  std::condition_variable_any changed;
  ClusterFacts facts GUARDED_BY(mutex);  // Its lists keep their length.
  size_t running GUARDED_BY(mutex) = 0;
};

struct Job {
  std::string conf_path;
  std::string user;
  size_t client;                                     // Its index in clients.
  std::vector<std::pair<size_t, ImageSpec>> images;  // With the index in images.
};

template <typename Change>
void write_down(Board& board, const Change& change) {
  const MutexLock lock(board.mutex);
  change(board.facts);
}

ImageFacts answered(ImageFacts facts, const std::expected<ceph::ImageSurvey, std::string>& survey) {
  if (!survey) {
    facts.error = survey.error();
    return facts;
  }
  facts.error.clear();
  facts.refusal = survey->refusal;
  facts.bytes = survey->bytes;
  facts.exclusive_lock = survey->exclusive_lock;
  facts.primary = survey->primary;
  facts.write_error = survey->write_error;
  facts.gateways = survey->gateways;
  facts.strangers = survey->strangers;
  return facts;
}

void look_at_services(const ceph::ControlClient& control, Board& board) {
  const auto map = ceph::service_map(control);
  if (!map) return;
  write_down(board, [&](ClusterFacts& facts) {
    if (facts.services) return;
    facts.services.emplace();
    for (const ceph::ServiceDaemon& daemon : *map)
      facts.services->push_back({.id = daemon.id, .ours = daemon.ours});
  });
}

void look(const Job& job, Board& board) {
  const auto control = ceph::ControlClient::get(job.conf_path, job.user);
  if (!control) {
    write_down(board, [&](ClusterFacts& facts) {
      facts.clients[job.client].error = control.error();
      for (const auto& [index, spec] : job.images)
        facts.images[index].error = "its client cannot connect";
    });
    return;
  }
  const auto may = (*control)->may_blocklist();
  write_down(board, [&](ClusterFacts& facts) {
    ClientFacts& client = facts.clients[job.client];
    client.error.clear();
    client.address = (*control)->client().address();
    if (may)
      client.may_blocklist = *may;
    else
      client.blocklist_error = may.error().text;
  });
  for (const auto& [index, spec] : job.images) {
    const auto survey = ceph::survey_image(**control, spec);
    write_down(board, [&, at = index](ClusterFacts& facts) {
      facts.images[at] = answered(std::move(facts.images[at]), survey);
    });
  }
  look_at_services(**control, board);
}

void run(const Job& job, const std::shared_ptr<Board>& board) {
  try {
    look(job, *board);
  } catch (const std::exception& error) {
    write_down(*board,
               [&](ClusterFacts& facts) { facts.clients[job.client].error = error.what(); });
  }
  const MutexLock lock(board->mutex);
  --board->running;
  board->changed.notify_all();
}

std::string client_name(const std::string& user) {
  return "client." + (user.empty() ? "admin" : user);
}

// One for each user; the board gets an entry, not answered yet, for all that will be looked at.
std::vector<Job> plan(const std::vector<Wanted>& wanted, seconds patience, ClusterFacts& facts) {
  const std::string late = fmt::format("no answer within {} s", patience.count());
  std::map<std::pair<std::string, std::string>, Job> jobs;
  const auto job_of = [&](const std::string& conf, const std::string& user) -> Job& {
    const auto [job, made] = jobs.try_emplace({conf, user});
    if (made) {
      job->second = {.conf_path = conf, .user = user, .client = facts.clients.size(), .images = {}};
      facts.clients.push_back(
          {.name = client_name(user), .error = fmt::format("{}: {}", client_name(user), late)});
    }
    return job->second;
  };
  for (const Wanted& each : wanted) {
    job_of(each.spec.conf_path, each.spec.user).images.emplace_back(facts.images.size(), each.spec);
    facts.images.push_back({.name = each.spec.to_string(),
                            .client = client_name(each.spec.user),
                            .device = each.device,
                            .device_bytes = each.device_bytes,
                            .error = late,
                            .head = each.spec.snapshot.empty()});
  }
  if (wanted.empty()) {
    job_of("", "");
    facts.clients.front().assumed = true;
  }
  std::vector<Job> list;
  list.reserve(jobs.size());
  for (auto& [key, job] : jobs) list.push_back(std::move(job));
  return list;
}

}  // namespace

ClusterFacts probe_clusters(const std::vector<Wanted>& wanted, seconds patience) {
  const auto board = std::make_shared<Board>();
  MutexLock lock(board->mutex);
  const std::vector<Job> jobs = plan(wanted, patience, board->facts);
  for (const Job& job : jobs) {
    std::thread([job, board] { run(job, board); }).detach();
    ++board->running;
  }
  board->changed.wait_for(lock, patience,
                          [&]() REQUIRES_LOCK(board->mutex) { return board->running == 0; });
  return board->facts;
}

}  // namespace tcmurbd::preflight
