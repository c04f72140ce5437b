// nonblocking: O_NONBLOCK on a descriptor during one call.
//
// The flag belongs to the open file, which other processes may share, and requests of io_uring that
// are submitted while it is set fail instead of waiting. So it is set only for calls that have no
// flag of their own, on sockets that ringlet has made or owns alone, and removed before the thread
// submits anything.
// SPDX-License-Identifier: MIT
#pragma once

#include <fcntl.h>

#include <cerrno>

namespace ringlet::detail {

class nonblocking {
 public:
  explicit nonblocking(int fd) noexcept : fd_(fd), flags_(::fcntl(fd, F_GETFL)) {
    if (flags_ < 0) {
      error_ = errno;
    } else if ((flags_ & O_NONBLOCK) == 0) {
      changes_ = ::fcntl(fd, F_SETFL, flags_ | O_NONBLOCK) == 0;
      if (!changes_) error_ = errno;
    }
  }
  ~nonblocking() {
    if (changes_) ::fcntl(fd_, F_SETFL, flags_);
  }
  nonblocking(const nonblocking&) = delete;
  nonblocking& operator=(const nonblocking&) = delete;

  /// Why the flag could not be set, or 0. The call would wait.
  int error() const noexcept { return error_; }

 private:
  int fd_;
  int flags_;
  int error_ = 0;
  bool changes_ = false;
};

}  // namespace ringlet::detail
