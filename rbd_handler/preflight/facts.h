// SPDX-License-Identifier: Apache-2.0
// What the probes found on a gateway, for the checks. Plain values; pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace tcmurbd::preflight {

struct SettingsFacts {
  std::string path{};
  bool exists = false;
  std::string error{};  // Empty: they are valid.
};

enum class ModuleState : uint8_t { kAbsent, kLoadable, kLoaded };

struct KernelFacts {
  std::string release{};                      // As uname -r.
  ModuleState module = ModuleState::kAbsent;  // target_core_user.
  bool configfs = false;                      // Mounted at /sys/kernel/config.
};

// A process that serves TCMU devices and is not tcmu-rbd.
struct OtherDaemon {
  int pid = 0;
  std::string name{};
};

// The running tcmu-rbd by its own account.
struct DaemonFacts {
  int64_t pid = 0;
  std::string version{};
  struct Lun {
    std::string name{};
    std::string state{};
    std::string writes{};  // The name of its WritesState; empty: it does not serve.
    std::vector<std::string> warnings{};
  };
  std::vector<Lun> luns{};
};

struct LimitFacts {
  bool of_daemon = false;  // Of the running daemon, or of this shell.
  uint64_t instances = 0;  // Client instances that were asked for.
  std::string shortage{};  // Empty: there is room for them.
};

// A TCMU device of any handler. Attributes are absent if they cannot be read.
struct DeviceFacts {
  std::string name{};        // "user_0/disk"
  std::string dev_config{};  // "rbd/pool/image;id=x"
  std::string subtype{};
  std::string spec_error{};  // Of a device of subtype rbd whose dev_config is wrong.
  std::optional<int64_t> tmr_notification{};  // Absent: the kernel has none.
  bool keep_buffers = false;                  // action/free_kept_buf exists.
  std::optional<int64_t> block_bytes{};
  std::optional<int64_t> max_blocks{};  // hw_max_sectors
  std::optional<int64_t> data_area_mb{};
  std::optional<int64_t> bytes{};  // dev_size
  // Commands that a session may have in flight, the most of all portal groups that export it.
  // Absent: not exported, or by a fabric without that limit.
  std::optional<int64_t> depth{};
  std::string reservation{};  // Empty: none is held.
  uint64_t registrations = 0;
};

// A Ceph user as one ceph.conf has it.
struct ClientFacts {
  std::string name{};     // "client.iscsi"
  std::string address{};  // Of this command's own instance: "10.0.0.1:0/37".
  bool assumed = false;   // No device uses it: it is what a device without id= would use.
  std::string error{};    // Empty: connected.
  std::optional<bool> may_blocklist{};
  std::string blocklist_error{};  // Why that is not known.
};

// A process in the cluster's service map under the name that tcmu-runner and tcmu-rbd share.
struct ServiceFacts {
  std::string id{};  // "gw1:rbd/disk"
  bool ours = false;
};

struct ImageFacts {
  std::string name{};    // "pool/image"
  std::string client{};  // "client.iscsi"
  std::string device{};  // "user_0/disk"; empty: no device serves it.
  std::optional<int64_t> device_bytes{};
  std::string error{};    // Why it cannot be looked at; all below is empty then.
  std::string refusal{};  // Why the daemon would refuse it.
  uint64_t bytes = 0;
  bool head = true;  // Not a snapshot.
  bool exclusive_lock = false;
  bool primary = true;
  std::string write_error{};  // Why the user cannot write to the pool.
  // Clients that watch the image: gateways of this project, and the addresses of all others.
  uint64_t gateways = 0;
  std::vector<std::string> strangers{};
};

struct Facts {
  std::string host{};  // As in the service map.
  SettingsFacts settings{};
  KernelFacts kernel{};
  std::vector<OtherDaemon> other_daemons{};
  std::optional<DaemonFacts> daemon{};
  std::string daemon_error{};  // Why there is none.
  LimitFacts limits{};
  std::vector<DeviceFacts> devices{};
  std::string devices_error{};  // Why they cannot be listed.
  std::vector<ClientFacts> clients{};
  std::vector<ImageFacts> images{};
  std::optional<std::vector<ServiceFacts>> services{};  // Absent: the service map is not readable.
};

}  // namespace tcmurbd::preflight
