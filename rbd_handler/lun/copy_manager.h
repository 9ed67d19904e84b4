// SPDX-License-Identifier: Apache-2.0
// Schedules EXTENDED COPY commands: a job finds the LUNs of this daemon that a command names and
// checks access in configfs (named_luns.h); limits the number of running copies. The copies of a
// LUN keep their order.
//
// Thread: control. It reads no configfs itself.
#pragma once

#include <boost/asio/io_context.hpp>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "rbd_handler/lun/copy_session.h"
#include "rbd_handler/lun/named_luns.h"
#include "rbd_handler/scsi/copy.h"

namespace tcmurbd {

class Lun;

class CopyManager : public std::enable_shared_from_this<CopyManager> {
 public:
  // `root` is the prefix of /sys: "/" or a test tree.
  explicit CopyManager(boost::asio::io_context& control, std::string root = "/")
      : control_(control), root_(std::move(root)) {}

  // `lun` is served from now on, or not any more.
  void add(std::shared_ptr<Lun> lun);
  void remove(const Lun& lun);

  // A copy that `own` received; starts `run` when it is its turn.
  void start(std::shared_ptr<Lun> own, scsi::CopyRequest request,
             std::shared_ptr<reactor::CopySession> run);

 private:
  struct Waiting {
    std::shared_ptr<Lun> own;
    scsi::CopyRequest request;
    std::shared_ptr<reactor::CopySession> run;
    std::vector<std::shared_ptr<Lun>> luns;  // The candidates; later the named ones.
    NamedLuns named;
  };
  using Outcome = std::expected<reactor::CopyPlan, scsi::Result>;

  void search(const std::shared_ptr<Waiting>& waiting);
  void searched(Waiting waiting, NamedLunsResult& answer);
  void serve_waiting();
  Outcome make_plan(const Waiting& waiting);
  std::shared_ptr<void> take_share(const Lun& own);

  boost::asio::io_context& control_;
  const std::string root_;
  std::vector<std::shared_ptr<Lun>> luns_;
  size_t searching_ = 0;  // The number of copies whose LUNs a job searches for.
  std::deque<Waiting> waiting_;
  std::vector<const Lun*> running_;  // The LUN of each copy whose memory is not released yet.
};

}  // namespace tcmurbd
