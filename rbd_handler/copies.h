// SPDX-License-Identifier: Apache-2.0
// Where EXTENDED COPY commands wait for their turn and get their disks: finds the LUNs of this
// daemon that a command names, asks configfs whether it may, and bounds how many copies run.
//
// Thread: control.
#pragma once

#include <boost/asio/io_context.hpp>
#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "rbd_handler/reactor/copy_run.h"
#include "rbd_handler/scsi/copy.h"

namespace tcmurbd {

class Lun;

class CopyDesk : public std::enable_shared_from_this<CopyDesk> {
 public:
  explicit CopyDesk(boost::asio::io_context& control) : control_(control) {}

  // `lun` serves from now on, or does so no more.
  void add(std::shared_ptr<Lun> lun);
  void remove(const Lun& lun);

  // A copy that came to `own`; `run` is told to begin, in its turn.
  void order(std::shared_ptr<Lun> own, scsi::CopyRequest request,
             std::shared_ptr<reactor::CopyRun> run);

 private:
  struct Waiting {
    std::shared_ptr<Lun> own;
    scsi::CopyRequest request;
    std::shared_ptr<reactor::CopyRun> run;
  };
  using Answer = std::expected<reactor::CopyOrder, scsi::Result>;

  void serve_waiting();
  Answer find_disks(Lun& own, const scsi::CopyRequest& request);
  std::shared_ptr<Lun> find(Lun& own, const scsi::CopyCscd& cscd);
  bool may_copy(const Lun& own, const std::vector<std::shared_ptr<Lun>>& luns,
                const scsi::CopyExtents& extents) const;
  std::shared_ptr<void> take_share(const Lun& own);

  boost::asio::io_context& control_;
  std::vector<std::shared_ptr<Lun>> luns_;
  std::deque<Waiting> waiting_;
  std::vector<const Lun*> running_;  // To whom each copy came whose memory is not free yet.
};

}  // namespace tcmurbd
