// SPDX-License-Identifier: Apache-2.0
// What a TCMU device's dev_config names: rbd/POOL[/NAMESPACE]/IMAGE[@SNAP][;OPTION=VALUE]...
// as ceph-iscsi, targetcli and people write it. Pure, any thread.
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

  // "pool/ns/image@snap", for people.
  std::string to_string() const;
  bool operator==(const ImageSpec&) const = default;
};

// `dev_config` with or without its leading "rbd/". Errors name what is wrong and the option that
// was not known. Accepts and ignores tcmur_cmd_time_out=N (tcmu-runner's, stripped by that).
std::expected<ImageSpec, std::string> parse_dev_config(std::string_view dev_config);

}  // namespace tcmurbd
