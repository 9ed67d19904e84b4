// SPDX-License-Identifier: Apache-2.0
// The D-Bus name org.kernel.TCMUService1 on the system bus, as tcmu-runner offers it: targetcli
// lists the objects below /org/kernel/TCMUService1 as its user:* backstores and calls CheckConfig
// before it creates one (configshell's UIBackstores). Nothing else needs the bus: without it, one
// line is logged, and the connection is tried again now and then.
//
// Control thread; no call blocks.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <expected>
#include <functional>
#include <memory>
#include <string>

#include "common/log.h"

// libsystemd's; only the .cc sees its header.
struct sd_bus;
struct sd_bus_message;

namespace tcmurbd {

class BusService {
 public:
  // What is wrong with a dev_config, for the person at targetcli; nothing: it can be served.
  using Verdict = std::expected<void, std::string>;
  using Reply = std::function<void(Verdict)>;
  // Gives its verdict to `answer` now or later, on the control thread. Must not block.
  using Check = std::function<void(std::string dev_config, Reply answer)>;

  struct Times {
    // targetcli gives up after 25 s (GDBus's default).
    std::chrono::milliseconds patience = std::chrono::seconds(20);
    std::chrono::milliseconds reconnect = std::chrono::seconds(10);
  };
  // Checks under way at once; more are refused. Each may open a client instance.
  static constexpr int kChecksMax = 4;

  // REQUIRES: outlives every Reply that `check` has not called.
  BusService(boost::asio::io_context& control, Check check);
  BusService(boost::asio::io_context& control, Check check, Times times);
  ~BusService();

 private:
  struct Call;
  struct Callbacks;  // What libsystemd calls.
  struct Unref {
    void operator()(sd_bus* bus) const;
  };

  void connect();
  // Negative: the errno of the step that failed.
  int set_up();
  void process();
  void arm();
  void lost(int error);
  void close();
  void on_name(sd_bus_message* reply);
  int check(sd_bus_message* message);
  void finish(Call& call, const Verdict& verdict);

  const Check check_;
  const Times times_;
  std::unique_ptr<sd_bus, Unref> bus_;
  boost::asio::posix::stream_descriptor socket_;  // The bus's; never closed by this.
  boost::asio::steady_timer timer_;               // The bus's next time-out, or the next attempt.
  bool reading_ = false, writing_ = false;        // A wait is under way.
  bool told_ = false;                             // That there is no bus.
  int checks_ = 0;                                // Under way.
  Log log_{"D-Bus"};
};

}  // namespace tcmurbd
