// socket_file: the file of a bound Unix socket, from bind() until it is removed.
//
// A server that was killed leaves its file behind, and the next bind() fails with EADDRINUSE. A
// file is stale if it is a socket to which connecting is refused. A server between its bind(2) and
// listen(2) looks the same, so bind() and listen() of ringlet happen under a lock: a socket bound
// to an abstract name that contains the path's directory and file name. The kernel frees it when
// the process ends. A program that cannot get the lock removes no
// file.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/socket_calls.hpp>
#include <ringlet/unique_fd.hpp>
#include <ringlet/unix_address.hpp>

#include <sys/types.h>

#include <cstdint>
#include <string>

namespace ringlet::detail {

/// What distinguishes a file from another one with the same path: inode numbers are used again.
struct file_identity {
  std::uint64_t device = 0;
  std::uint64_t inode = 0;
  std::int64_t born = 0;  // in nanoseconds; 0 if the file system does not know

  friend bool operator==(const file_identity&, const file_identity&) noexcept = default;
};

/// Removes its file when it is destroyed, if that is still the file that it bound. Does nothing in
/// a child of fork(), and for abstract names.
class socket_file {
 public:
  socket_file() noexcept = default;
  /// The file to which a socket of this process has just been bound.
  explicit socket_file(const unix_address& where);
  socket_file(socket_file&& other) noexcept;
  socket_file& operator=(socket_file&& other) noexcept;
  ~socket_file() { remove(); }

  void remove() noexcept;

 private:
  std::string path_;  // empty: there is nothing to remove
  file_identity identity_;
  pid_t owner_ = 0;
};

/// How a Unix socket is bound.
struct bind_request {
  int type;         // SOCK_STREAM or SOCK_DGRAM
  int permissions;  // of the file; -1: as umask(2) says
};

/// Binds sockets, and removes stale files. Exists until the socket listens.
class socket_binder {
 public:
  explicit socket_binder(extend::engine& engine) noexcept : engine_(engine) {}

  /// Throws the errors of bind(2): address_in_use for a file of another type, a socket that is in
  /// use, and a stale one that another program is about to remove.
  socket_file bind(int fd, const unix_address& where, const bind_request& how);

 private:
  std::int32_t probe(const unix_address& where, int type) noexcept;
  std::int32_t remove_stale(const unix_address& where, int type) noexcept;
  void lock(const unix_address& where);

  extend::engine& engine_;
  unique_fd lock_;
};

}  // namespace ringlet::detail
