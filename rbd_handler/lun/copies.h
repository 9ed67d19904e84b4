// SPDX-License-Identifier: Apache-2.0
// Where EXTENDED COPY commands wait for their turn and get their disks: has a job find the LUNs of
// this daemon that a command names and ask configfs whether it may (named_luns.h), and bounds how
// many copies run. The copies of a LUN keep their order.
//
// Thread: control. It reads no configfs itself.
#pragma once

#include <boost/asio/io_context.hpp>
#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "rbd_handler/lun/copy_run.h"
#include "rbd_handler/lun/named_luns.h"
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
    std::vector<std::shared_ptr<Lun>> luns;  // Asked about; then those that are named.
    NamedLuns named;
  };
  using Answer = std::expected<reactor::CopyOrder, scsi::Result>;

  void search(const std::shared_ptr<Waiting>& waiting);
  void searched(Waiting waiting, NamedLunsAnswer& answer);
  void serve_waiting();
  Answer make_order(const Waiting& waiting);
  std::shared_ptr<void> take_share(const Lun& own);

  boost::asio::io_context& control_;
  std::vector<std::shared_ptr<Lun>> luns_;
  size_t searching_ = 0;  // Whose LUNs a job looks for.
  std::deque<Waiting> waiting_;
  std::vector<const Lun*> running_;  // To whom each copy came whose memory is not free yet.
};

}  // namespace tcmurbd
