// unique_fd: the owner of one file descriptor.
#pragma once

#include <utility>

namespace ringlet {

/// Closes its descriptor when it goes. For descriptors that no operation is in flight on; what the
/// kernel is still working on belongs to a descriptor object, which waits before it closes.
///
/// On a thread that runs a scheduler its engine closes, and a listener that waits for a free number
/// is told. On any other thread, and after run(), it is close(2).
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
  /// Gives the descriptor away: the caller closes it.
  [[nodiscard]] int release() noexcept { return std::exchange(fd_, -1); }
  /// Closes what is held and holds `fd` from now on.
  void reset(int fd = -1) noexcept;

 private:
  int fd_ = -1;
};

namespace detail {

/// How this thread closes descriptors, if not by close(2); null takes that back. A scheduler sets
/// it for as long as it lives.
void set_descriptor_closer(void (*closer)(int fd) noexcept) noexcept;

}  // namespace detail

/// Done by run(), too, before it opens anything: where one of the descriptors 0, 1, 2 is missing,
/// opens one there that can neither be read (0) nor written (1, 2). Otherwise the next socket would
/// get that number, and become what others take for standard input or output. It does not last: a
/// program that closes one of them while it runs may find a socket there.
void reserve_standard_descriptors() noexcept;

}  // namespace ringlet
