// SPDX-License-Identifier: Apache-2.0
// Messages as bytes: a netlink header of 16, a generic one of 4, then attributes of 4 + n bytes,
// padded to 4.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <vector>

#include "rbd_handler/kernel/netlink_event.h"

namespace tcmurbd::kernel {
namespace {

using ::testing::HasSubstr;

using Bytes = std::vector<uint8_t>;

template <typename T>
Bytes bytes_of(T value) {
  Bytes bytes(sizeof(value));
  std::memcpy(bytes.data(), &value, sizeof(value));
  return bytes;
}
Bytes bytes_of(const char* text) { return {text, text + std::strlen(text) + 1}; }

class Message {
 public:
  explicit Message(uint8_t command) : bytes_(20, 0) {
    bytes_[16] = command;
    bytes_[17] = 2;  // Version
    set_length(20);
  }
  Message& add(uint16_t type, const Bytes& payload) {
    const auto length = static_cast<uint16_t>(4 + payload.size());
    append(bytes_of(length));
    append(bytes_of(type));
    append(payload);
    bytes_.resize((bytes_.size() + 3) / 4 * 4);
    set_length(static_cast<uint32_t>(bytes_.size()));
    return *this;
  }
  // The three that every event has.
  Message& add_device() {
    return add(1, bytes_of("tcm-user/0/d0/rbd/p/i"))
        .add(2, bytes_of<uint32_t>(7))
        .add(8, bytes_of<uint32_t>(42));
  }
  void set_length(uint32_t length) { std::memcpy(bytes_.data(), &length, sizeof(length)); }
  Bytes& bytes() { return bytes_; }
  std::expected<DeviceEvent, std::string> decode() const { return decode_event(bytes_); }
  std::string error() const {
    const auto event = decode();
    return event ? "an event" : event.error();
  }

 private:
  void append(const Bytes& more) { bytes_.insert(bytes_.end(), more.begin(), more.end()); }
  Bytes bytes_;
};

TEST(NetlinkEvent, Added) {
  const auto event = Message(1).add_device().decode();
  ASSERT_TRUE(event.has_value()) << event.error();
  EXPECT_EQ(event->kind, DeviceEvent::Kind::kAdded);
  EXPECT_EQ(event->minor, 7);
  EXPECT_EQ(event->device_id, 42);
  EXPECT_EQ(event->device, "tcm-user/0/d0/rbd/p/i");
  EXPECT_TRUE(std::holds_alternative<std::monostate>(event->change));
}

TEST(NetlinkEvent, Removed) {
  EXPECT_EQ(Message(2).add_device().decode()->kind, DeviceEvent::Kind::kRemoved);
}

TEST(NetlinkEvent, Reconfigured) {
  auto event = Message(3).add_device().add(4, bytes_of("rbd/p/j\n")).decode();
  EXPECT_EQ(event->kind, DeviceEvent::Kind::kReconfigured);
  EXPECT_EQ(std::get<NewDevConfig>(event->change).dev_config, "rbd/p/j");
  event = Message(3).add_device().add(5, bytes_of<uint64_t>(1ull << 40)).decode();
  EXPECT_EQ(std::get<NewDevSize>(event->change).bytes, 1ull << 40);
  event = Message(3).add_device().add(6, bytes_of<uint8_t>(1)).decode();
  EXPECT_TRUE(std::get<NewWriteCache>(event->change).enabled);
  event = Message(3).add_device().add(6, bytes_of<uint8_t>(0)).decode();
  EXPECT_FALSE(std::get<NewWriteCache>(event->change).enabled);
}

TEST(NetlinkEvent, UnknownAttributesAreOfLaterKernels) {
  EXPECT_TRUE(Message(1).add_device().add(99, Bytes(77)).add(3, {}).decode().has_value());
}

TEST(NetlinkEvent, ReconfigurationOfNotOneThing) {
  EXPECT_THAT(Message(3).add_device().error(), HasSubstr("exactly one"));
  EXPECT_THAT(
      Message(3).add_device().add(5, bytes_of<uint64_t>(1)).add(6, bytes_of<uint8_t>(1)).error(),
      HasSubstr("exactly one"));
  EXPECT_THAT(Message(3).add_device().add(5, bytes_of<uint32_t>(1)).error(),
              HasSubstr("exactly one"));
}

TEST(NetlinkEvent, AttributesAreMissing) {
  EXPECT_THAT(Message(1).error(), HasSubstr("missing"));
  EXPECT_THAT(Message(1).add(1, bytes_of("x")).add(2, bytes_of<uint32_t>(7)).error(),
              HasSubstr("missing"));
  EXPECT_THAT(Message(1).add(1, bytes_of("x")).add(8, bytes_of<uint32_t>(7)).error(),
              HasSubstr("missing"));
  EXPECT_THAT(Message(1).add(2, bytes_of<uint32_t>(7)).add(8, bytes_of<uint32_t>(7)).error(),
              HasSubstr("missing"));
}

TEST(NetlinkEvent, AttributesOfAWrongSize) {
  EXPECT_THAT(Message(1).add_device().add(2, bytes_of<uint16_t>(7)).error(), HasSubstr("missing"));
  EXPECT_THAT(Message(1).add_device().add(8, bytes_of<uint64_t>(7)).error(), HasSubstr("missing"));
  EXPECT_THAT(Message(1).add_device().add(1, {}).error(), HasSubstr("missing"));
  EXPECT_THAT(Message(1).add_device().add(1, {'a', 'b', 'c', 'd'}).error(),
              HasSubstr("missing"));  // No terminating zero.
}

TEST(NetlinkEvent, OtherCommands) {
  for (const uint8_t command : {0, 4, 5, 6, 7, 255}) {
    EXPECT_THAT(Message(command).add_device().error(), HasSubstr("unknown event"));
  }
}

TEST(NetlinkEvent, LengthsThatLie) {
  EXPECT_FALSE(decode_event({}).has_value());
  EXPECT_FALSE(decode_event(Bytes(19)).has_value());
  Message message = Message(1).add_device();
  const auto whole = static_cast<uint32_t>(message.bytes().size());
  for (const uint32_t length : {0u, 15u, 19u, whole + 1, 0xffffffffu}) {
    message.set_length(length);
    EXPECT_FALSE(message.decode().has_value()) << length;
  }
  message.set_length(whole);
  for (const uint8_t length : {0, 3, 255}) {
    message.bytes()[20] = length;  // The first attribute's.
    EXPECT_THAT(message.error(), HasSubstr("wrong length")) << int{length};
  }
}

TEST(NetlinkEvent, EveryTruncation) {
  const Bytes whole = Message(3).add_device().add(5, bytes_of<uint64_t>(4096)).bytes();
  ASSERT_TRUE(decode_event(whole).has_value());
  for (size_t length = 0; length < whole.size(); ++length) {
    // A buffer of just this size, so that ASan sees what reads on.
    Bytes cut(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(length));
    EXPECT_FALSE(decode_event(cut).has_value()) << length;
    if (length < 4) continue;
    const auto claimed = static_cast<uint32_t>(length);
    std::memcpy(cut.data(), &claimed, sizeof(claimed));
    (void)decode_event(cut);
  }
}

TEST(NetlinkEvent, RandomDamage) {
  const auto seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  const Bytes whole = Message(3).add_device().add(4, bytes_of("rbd/p/j")).bytes();
  for (int i = 0; i < 50'000; ++i) {
    Bytes damaged = whole;
    for (int j = 0; j < 3; ++j) damaged[random() % damaged.size()] = static_cast<uint8_t>(random());
    if (const auto event = decode_event(damaged)) {
      EXPECT_LE(event->device.size(), damaged.size());
    }
  }
}

}  // namespace
}  // namespace tcmurbd::kernel
