// unique_fd: the owner of one file descriptor.
//
//     unique_fd log(open(path, O_WRONLY | O_APPEND));
//     if (!log) throw_error(system_error_code(-errno), path);
//     dprintf(log.get(), "ready\n");
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/standard_descriptors.hpp>

#include <utility>

namespace ringlet {

/// Closes its descriptor on destruction. Movable; one that was moved from has none. On a thread
/// that runs a scheduler, the engine closes the descriptor, and a listener that waits for a free
/// one is notified. Elsewhere close(2) is called; what it returns is ignored, because the number is
/// free in any case.
///
/// Lifetime  Must outlive the use of get(). It does not wait for what the kernel is still doing
///           with the descriptor: streams and listeners do.
/// Thread    Any, one at a time.
class unique_fd {
 public:
  unique_fd() noexcept = default;
  /// Takes ownership of `fd`. A negative number, such as a failed open(2) returns, is none.
  explicit unique_fd(int fd) noexcept : fd_(fd) {}
  unique_fd(unique_fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  unique_fd& operator=(unique_fd&& other) noexcept {
    reset(std::exchange(other.fd_, -1));
    return *this;
  }
  ~unique_fd() { reset(); }

  /// Whether it has a descriptor.
  explicit operator bool() const noexcept { return fd_ >= 0; }
  /// The descriptor, which it keeps; a negative number if it has none.
  int get() const noexcept { return fd_; }
  /// Releases the descriptor: the caller closes it.
  [[nodiscard]] int release() noexcept { return std::exchange(fd_, -1); }
  /// Closes the held descriptor and takes ownership of `fd`.
  void reset(int fd = -1) noexcept;

 private:
  int fd_ = -1;
};

}  // namespace ringlet

namespace ringlet::detail {

/// Sets how this thread closes descriptors, if not by close(2); null resets it. A scheduler sets it
/// for its lifetime.
void set_descriptor_closer(void (*closer)(int fd) noexcept) noexcept;

}  // namespace ringlet::detail
