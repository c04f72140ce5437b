// unique_fd: the owner of one file descriptor.
#pragma once

#include <ringlet/standard_descriptors.hpp>

#include <utility>

namespace ringlet {

/// Closes its descriptor on destruction. For descriptors with no operation in flight. A descriptor
/// that the kernel is still working on belongs to a descriptor object, which waits before it
/// closes.
///
/// On a thread that runs a scheduler, its engine closes the descriptor, and a listener that waits
/// for a free one is notified. On any other thread, and after run(), close(2) is called.
class unique_fd {
 public:
  unique_fd() noexcept = default;
  explicit unique_fd(int fd) noexcept : fd_(fd) {}
  unique_fd(unique_fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  unique_fd& operator=(unique_fd&& other) noexcept {
    reset(std::exchange(other.fd_, -1));
    return *this;
  }
  ~unique_fd() { reset(); }

  explicit operator bool() const noexcept { return fd_ >= 0; }
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
