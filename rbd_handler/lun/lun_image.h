// SPDX-License-Identifier: Apache-2.0
// The Ceph half of one LUN: the client instance that serves, the channel to the other gateways, the
// instances that were given up and still have ops under way, and the actions of the exclusive lock,
// each of which may block and so runs on a thread of its own.
//
// A fence or a reopening does not wait for a hung job; it supersedes the job. Each job holds a
// reference to its objects and releases it on its own thread, because closing blocks as well. An
// instance is closed when its last reference is released.
//
// Thread: control, unless said otherwise.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/log.h"
#include "rbd_handler/device/device.h"
#include "rbd_handler/lun/instance_record.h"
#include "rbd_handler/lun/lun_open.h"
#include "rbd_handler/reactor/jobs.h"

namespace tcmurbd {

class LunImage : public std::enable_shared_from_this<LunImage> {
 public:
  // An event for the device; run on its reactor.
  using DeviceCall = std::function<void(Device&, TimePoint)>;
  using Tell = std::function<void(DeviceCall)>;

  // Opens the instance that serves next: open_instance(). On worker threads.
  using OpenInstance = std::function<std::expected<std::unique_ptr<ceph::ServedImage>, OpenError>(
      const ImageSpec&, ceph::CompletionSink, ceph::NewsSink)>;

  LunImage(boost::asio::io_context& control, const ImageSpec& spec, InstanceRecord record,
           std::shared_ptr<Log> log, ceph::CompletionSink sink, OpenInstance open);

  // What open_image() needs; valid before adopt().
  ImageListeners listeners();
  const ImageSpec& spec() const { return spec_; }
  const InstanceRecord& record() const { return record_; }
  const std::shared_ptr<Log>& log() const { return log_; }

  // The LUN is open. `mapping` is what reads of its ops write into: kept until the last has ended.
  void adopt(OpenedImage opened, std::shared_ptr<void> mapping);
  // From here on, outcomes and requests of peers are passed to the device.
  void serve(Tell tell);
  // Whether changes are safe, as Device::on_safe() wants it.
  bool safe() const { return !unsafe_ && opened_.unfenced.empty(); }
  // Conditions that an operator should correct, as in the log.
  const std::vector<std::string>& warnings() const { return warnings_; }

  // Adopted, and not closed.
  bool is_open() const { return !closed_ && opened_.image != nullptr; }
  // REQUIRES: is_open(), as for the next two.
  ceph::ServedImage& image() { return *opened_.image; }
  const std::shared_ptr<ceph::Monitors>& monitors() const { return opened_.monitors; }
  // The instances of this image that are fenced; never blocks.
  std::vector<ceph::FencedInstance> fences() const;
  // An instance that must be fenced, which is not possible yet; empty: there is none.
  const std::string& unfenced() const { return opened_.unfenced; }

  // Starts an action of the lock; its outcome is reported to the device.
  void start(lock::Action action);
  void answer_peer(const lock::PeerReply& reply);
  // Device::on_operator_asks(). `done` is called with the answer; never, if the LUN is closed
  // meanwhile.
  void release_for_operator(std::function<void(lock::PeerAnswer)> done);
  // Logs where an op of a command hangs: object, placement group, OSDs. At most one question under
  // way.
  void locate(const ByteRange& range, uint16_t cmd_id);
  void refresh_size(uint64_t device_bytes);
  // A command was answered since its deadline had passed, and no initiator had aborted it.
  void note_deadline();

  // The device is gone but ops hang: fences the instance, so that a peer that needs the lock can
  // break it now and not when RADOS gives up. `done` when it is, or can't be.
  void abandon(std::function<void()> done);
  // Closes all, and calls `done` when nothing is left; not bounded if RADOS hangs.
  // REQUIRES: no op is in flight.
  void close(std::function<void()> done);

 private:
  void acquire(uint64_t job);
  void acquired(uint64_t job, const std::expected<ceph::LockTaken, ceph::LockFailure>& taken,
                double milliseconds);
  void release(uint64_t job);
  void fence(uint64_t job);
  void fenced(uint64_t job, const std::string& address,
              const std::expected<void, ceph::LockFailure>& done, double milliseconds);
  bool room_for_another() const;
  void reopen(uint64_t job);
  void reopened(uint64_t job, std::expected<std::unique_ptr<ceph::ServedImage>, OpenError> outcome);
  // Whether this job's outcome counts: no later one has superseded it.
  bool counts(uint64_t job) const;
  // Gives it the next number, and reports its closing to the device.
  std::shared_ptr<ceph::ServedImage> number(std::shared_ptr<ceph::ServedImage> image);
  void give_up_image();
  void on_instance_closed(uint32_t instance);
  void close_rest();
  void on_peer_asks(ceph::PeerRequest request);
  void on_watch_lost();
  void on_fences_changed();
  void on_own_fenced(const std::string& address);
  // The channel and the list of fences serve for the instance that is open.
  void serve_as_instance();
  ceph::NewsSink news_sink();
  void on_news(uint32_t instance, const ceph::ImageNews& news);
  void tell_role();
  void fence_predecessor_later();
  // Updates the service map, if the status has changed.
  void publish(ceph::ServiceStatus status);
  void publish_owner(bool owner);
  void bury(const std::vector<std::string>& addresses);
  void tell(DeviceCall call);
  void tell_outcome(lock::Outcome outcome);

  boost::asio::io_context& control_;
  const ImageSpec spec_;
  const InstanceRecord record_;
  const std::shared_ptr<Log> log_;
  const ceph::CompletionSink sink_;
  const OpenInstance open_;
  std::shared_ptr<reactor::Jobs> jobs_;  // Of the gate: those that are not superseded, in order.
  const std::shared_ptr<reactor::Jobs> questions_;  // Jobs whose end nothing waits for.
  OpenedImage opened_;
  std::shared_ptr<void> mapping_;
  Tell tell_;
  std::vector<std::string> fenced_;  // Own instances that are known to be on the blocklist.
  ceph::ServiceStatus published_;
  std::optional<std::chrono::steady_clock::time_point> last_deadline_;
  bool fencing_ = false;  // The next instance takes the place of one that we fenced.
  bool unsafe_ = false;   // As the image that serves says.
  std::vector<std::string> warnings_;
  boost::asio::steady_timer retry_timer_;  // For a predecessor that could not be fenced.
  uint64_t job_ = 0;                       // The last that was started.
  uint32_t instances_ = 0;                 // The number of instances so far; the last one serves.
  size_t given_up_ = 0;                    // Instances that are not closed yet.
  bool locating_ = false;
  bool closed_ = false;                   // Calls that still come from the reactor have no effect.
  std::function<void()> done_;            // When all is closed.
  std::weak_ptr<ceph::Monitors> fencer_;  // For an image whose closing hangs,
  std::weak_ptr<ceph::FenceList> fences_;
  std::string closing_address_;  // and its instance.
  uint64_t last_request_ = 0;
  std::map<uint64_t, ceph::PeerRequest> requests_;  // Not answered yet, as the next.
  std::map<uint64_t, std::function<void(lock::PeerAnswer)>> operators_;
};

}  // namespace tcmurbd
