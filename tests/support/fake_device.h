// SPDX-License-Identifier: Apache-2.0
// A TCMU device as its daemon finds it: the ring of a FakeKernel, a descriptor that is readable
// when the kernel queued something, and a directory in a configfs tree. The descriptor is one end
// of a socket pair; an event, and a doorbell, are four bytes, as with /dev/uioN.
//
// Thread: the one that runs `loop`, and ConfigfsDevice's users for the files.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <cstdint>
#include <expected>
#include <string>
#include <string_view>

#include "rbd_handler/kernel/uio.h"
#include "tests/support/fake_kernel.h"
#include "tests/unit/kernel_tree.h"

namespace tcmurbd::testing {

class FakeDevice {
 public:
  // Capabilities in the mailbox: of Linux 5.15, and of 5.9, which has no KEEP_BUF.
  static constexpr uint16_t kLinux5_15 = 0xf;
  static constexpr uint16_t kLinux5_9 = 0x7;

  // `name`: in core/user_0 of `root`. 1 MiB in blocks of 512 bytes.
  FakeDevice(boost::asio::io_context& loop, kernel::FakeRoot& root, uint32_t minor,
             const std::string& name, uint16_t capabilities = kLinux5_15);

  // As kernel::UioDevice::open: one opener at a time.
  std::expected<kernel::UioDevice, std::string> open();
  // Submits a command and wakes the daemon.
  uint64_t queue(FakeCommand command);
  uint64_t write(uint8_t lba);
  uint64_t read(uint8_t lba);
  // What the initiator did to kernel() wakes the daemon.
  void wake();
  // What was written to action/block_dev happens. (A reset_ring only stands in its file: the test
  // has to have reset the ring before.)
  void obey() { kernel_.set_blocked(blocked()); }

  FakeKernel& kernel() { return kernel_; }
  kernel::UioEntry entry() const { return entry_; }
  // A file of its directory, such as "attrib/dev_size".
  std::string file(std::string_view name) const { return root_.read(path_ + std::string(name)); }
  void set_file(std::string_view name, std::string_view content) {
    root_.write(path_ + std::string(name), content);
  }
  void remove_file(std::string_view name) { root_.remove(path_ + std::string(name)); }
  bool blocked() const { return file("action/block_dev").starts_with('1'); }
  bool was_reset() const { return file("action/reset_ring").starts_with('1'); }
  bool is_open();

 private:
  void wait_for_doorbell();

  kernel::FakeRoot& root_;
  const kernel::UioEntry entry_;
  const std::string path_;
  FakeKernel kernel_;
  boost::asio::posix::stream_descriptor end_;  // The kernel's of the socket pair.
  uint32_t told_ = 0;                          // Events that the daemon was woken for.
};

}  // namespace tcmurbd::testing
