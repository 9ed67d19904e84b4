// SPDX-License-Identifier: Apache-2.0
#include "tests/support/fake_device.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <array>
#include <utility>
#include <vector>

#include "common/check.h"

namespace tcmurbd::testing {

FakeDevice::FakeDevice(boost::asio::io_context& loop, kernel::FakeRoot& root, uint32_t minor,
                       const std::string& name, uint16_t capabilities)
    : root_(root),
      entry_{minor, {"user_0", name, "rbd/pool/" + name}},
      path_("/sys/kernel/config/target/core/user_0/" + name + "/"),
      kernel_({.ring_bytes = 65536 - 128, .flags = capabilities, .shared = true}),
      end_(loop) {
  set_file("attrib/hw_block_size", "512\n");
  set_file("attrib/dev_size", "1048576\n");
  set_file("attrib/hw_max_sectors", "128\n");
  set_file("attrib/cmd_time_out", "30\n");
  set_file("attrib/tmr_notification", "0\n");
  for (const char* action : {"block_dev", "reset_ring"})
    set_file(std::string("action/") + action, "0\n");
  if (capabilities == kLinux5_15) set_file("action/free_kept_buf", "0\n");
  set_file("wwn/vpd_unit_serial",
           "T10 VPD Unit Serial Number: " + std::string(25, name.back()) + "\n");
}

bool FakeDevice::is_open() {
  std::array<char, 4> byte{};
  return end_.is_open() && ::recv(end_.native_handle(), byte.data(), 1, MSG_PEEK) != 0;
}

std::expected<kernel::UioDevice, std::string> FakeDevice::open() {
  if (is_open()) return std::unexpected("in use");
  std::array<int, 2> ends{};
  CHECK(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends.data()) == 0);
  end_.close();
  end_.assign(ends[0]);
  wait_for_doorbell();
  return kernel::UioDevice(UniqueFd(ends[1]), kernel_.map_again());
}

void FakeDevice::wait_for_doorbell() {
  end_.async_wait(boost::asio::posix::stream_descriptor::wait_read,
                  [this](const boost::system::error_code& error) {
                    if (error) return;
                    std::array<int32_t, 16> rings{};
                    if (::recv(end_.native_handle(), rings.data(), sizeof rings, 0) == 0) return;
                    kernel_.doorbell();
                    wake();
                    wait_for_doorbell();
                  });
}

void FakeDevice::wake() {
  const uint32_t events = kernel_.events();
  if (!end_.is_open() || events == told_) return;
  told_ = events;
  const int32_t count = 1;
  std::ignore = ::send(end_.native_handle(), &count, sizeof count, MSG_NOSIGNAL);
}

uint64_t FakeDevice::queue(FakeCommand command) {
  obey();
  const uint64_t tag = kernel_.queue(std::move(command));
  wake();
  return tag;
}

uint64_t FakeDevice::write(uint8_t lba) {
  return queue(
      {.cdb = {0x2a, 0, 0, 0, 0, lba, 0, 0, 1, 0}, .data_out = std::vector<uint8_t>(512, lba)});
}

uint64_t FakeDevice::read(uint8_t lba) {
  return queue({.cdb = {0x28, 0, 0, 0, 0, lba, 0, 0, 1, 0}, .data_in_bytes = 512});
}

}  // namespace tcmurbd::testing
