// SPDX-License-Identifier: Apache-2.0
// The admin socket of one client of librados (AdminSocket.cc): it reports what no function of
// librados returns. The socket has no name in the file system once it is open, so nothing is left
// of it if this process is killed, and nobody else can connect.
//
// Thread: any; several may ask.
#pragma once

#include <expected>
#include <string>

#include "common/unique_fd.h"

namespace tcmurbd::ceph {

class AdminSocket {
 public:
  // Makes a directory for the socket. If that fails, path() is empty, and librados opens none.
  AdminSocket();
  // Removes what is left if open() was not called.
  ~AdminSocket();
  AdminSocket(const AdminSocket&) = delete;
  AdminSocket& operator=(const AdminSocket&) = delete;

  // For librados' option admin_socket.
  std::string path() const { return directory_.empty() ? "" : directory_ + "/asok"; }
  // After rados_connect: keeps the socket, and removes its name.
  void open();
  // The reply to a command in JSON. The error is why there is none. BLOCKS, at most for some
  // seconds: worker thread.
  std::expected<std::string, std::string> ask(const std::string& command) const;

 private:
  void remove_names();

  std::string directory_;
  UniqueFd socket_;  // O_PATH.
};

}  // namespace tcmurbd::ceph
