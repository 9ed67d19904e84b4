// SPDX-License-Identifier: Apache-2.0
// The dev_config of a TCMU device: rbd/POOL[/NAMESPACE]/IMAGE[@SNAP][;OPTION=VALUE]... as written
// by ceph-iscsi, targetcli and users. Pure, any thread.
#pragma once

#include <chrono>
#include <expected>
#include <optional>
#include <string>
#include <string_view>

namespace tcmurbd {

struct ImageSpec {
  std::string pool;
  std::string name_space{};  // Empty: the default namespace.
  std::string image;
  std::string snapshot{};   // Empty: the image's head, read-write.
  std::string conf_path{};  // conf=: empty = CEPH_CONF or /etc/ceph/ceph.conf.
  std::string user{};       // id=: CephX user without "client."; empty = admin.
  // osd_op_timeout= (seconds, 0 = none): the SCSI command's deadline. Absent: the config's default.
  std::optional<std::chrono::seconds> command_deadline{};

  // "pool/ns/image@snap", for messages.
  std::string to_string() const;
  bool operator==(const ImageSpec&) const = default;
};

// `dev_config` with or without its leading "rbd/". Errors name the problem and the option.
// tcmur_cmd_time_out=N (of tcmu-runner) is accepted and ignored.
std::expected<ImageSpec, std::string> parse_dev_config(std::string_view dev_config);

}  // namespace tcmurbd
