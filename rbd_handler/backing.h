// SPDX-License-Identifier: Apache-2.0
// The Ceph half of one LUN: the client instance that serves, the channel to the other gateways, the
// instances that were given up and still have ops under way, and the jobs of the exclusive lock,
// each of which may block and so runs on a thread of its own.
//
// Thread: control, unless said otherwise.
#pragma once

#include <boost/asio/io_context.hpp>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "common/log.h"
#include "rbd_handler/device.h"
#include "rbd_handler/instance_record.h"
#include "rbd_handler/lun_open.h"
#include "rbd_handler/reactor/jobs.h"

namespace tcmurbd {

class Backing : public std::enable_shared_from_this<Backing> {
 public:
  // An event for the device; run on its reactor.
  using Event = std::function<void(Device&, TimePoint)>;
  using Tell = std::function<void(Event)>;

  Backing(boost::asio::io_context& control, const ImageSpec& spec, InstanceRecord record,
          std::shared_ptr<Log> log, ceph::CompletionSink sink);

  // What open_image() needs to hear of peers; valid before adopt().
  ceph::LockChannel::Handlers channel_handlers();
  const ImageSpec& spec() const { return spec_; }
  const InstanceRecord& record() const { return record_; }
  const ceph::CompletionSink& sink() const { return sink_; }
  const std::shared_ptr<Log>& log() const { return log_; }

  // The LUN is open. `mapping` is what reads of its ops write into: kept until the last has ended.
  void adopt(OpenedImage opened, std::shared_ptr<void> mapping);
  // From here on the device hears of outcomes and peers.
  void serve(Tell tell) { tell_ = std::move(tell); }

  ceph::RbdImage& image() { return *opened_.image; }

  // Starts a job of the device's gate; its outcome is told.
  void start(lock::Job job);
  void answer_peer(const lock::PeerReply& reply);
  // Logs where an op hangs: object, placement group, OSDs. At most one question under way.
  void locate(const ByteRange& range);
  void refresh_size(uint64_t device_bytes);

  // The device is gone but ops hang: fences the instance, so that whoever needs the lock can break
  // it now and not when RADOS gives up. `done` when it is, or can't be.
  void abandon(std::function<void()> done);
  // Closes all, and calls `done` when nothing is left; it may take as long as RADOS likes.
  // REQUIRES: no op is in flight.
  void close(std::function<void()> done);

 private:
  void acquire();
  void release();
  void fence();
  bool room_for_another() const;
  void reopen();
  void reopened(std::expected<std::unique_ptr<ceph::RbdImage>, OpenError>& outcome);
  void give_up_image();
  void on_peer_asks(ceph::LockChannel::Request request);
  void on_watch_lost();
  void on_ledger_changed();
  void tell(Event event);

  boost::asio::io_context& control_;
  const ImageSpec spec_;
  const InstanceRecord record_;
  const std::shared_ptr<Log> log_;
  const ceph::CompletionSink sink_;
  const std::shared_ptr<reactor::Jobs> jobs_;       // Of the gate: one at a time, in order.
  const std::shared_ptr<reactor::Jobs> questions_;  // What nobody waits for.
  OpenedImage opened_;
  std::shared_ptr<void> mapping_;
  Tell tell_;
  std::vector<std::string> fenced_;  // Our own instances that are on the blocklist for sure.
  size_t given_up_ = 0;              // Instances that are not closed yet.
  bool locating_ = false;
  bool closed_ = false;  // What still comes from the reactor has nothing to work on.
  std::weak_ptr<ceph::ControlClient> fencer_;  // For an image whose closing hangs,
  std::string closing_address_;                // and its instance.
  uint64_t last_request_ = 0;
  std::map<uint64_t, ceph::LockChannel::Request> requests_;  // Not answered yet.
};

}  // namespace tcmurbd
