// Moving bytes from one socket to another through a pipe, so that they stay in the kernel.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/retry.hpp>
#include <ringlet/extend/descriptor.hpp>
#include <ringlet/extend/io_wait.hpp>
#include <ringlet/result.hpp>
#include <ringlet/unique_fd.hpp>

#include <coroutine>
#include <cstddef>
#include <cstdint>

namespace ringlet::extend {

/// The pipe through which splice(2) moves bytes between two sockets. It is filled once, and then
/// drained until it is empty. Destroying it closes it; bytes that are in it are then lost.
///
/// It holds 256 KiB in 64 places, or what the system allows: pipes count against a limit that all
/// processes of a user share (pipe(7), pipe-user-pages-soft). A place holds a piece of what has
/// arrived, usually a page, 32 KiB at most.
class splice_pipe {
 public:
  /// Makes the pipe. False if there is none to be had, or if the system refuses to splice into
  /// `to`: a seccomp filter may, and after the pipe was filled it would be too late.
  bool open(descriptor& to) noexcept;
  /// Moves what `from` has received into the pipe. Returns how much, or a negated errno, -EAGAIN if
  /// there is nothing, or nothing that can be spliced. Precondition: is_empty().
  std::int32_t fill(const descriptor& from) noexcept;
  /// Moves what `to` accepts now from the pipe. Returns how much, or a negated errno.
  std::int32_t drain(const descriptor& to) noexcept;

  bool is_empty() const noexcept { return left_ == 0; }
  /// Whether some of what it was filled with has been drained.
  bool is_begun() const noexcept { return is_begun_; }

 private:
  unique_fd begin_;  // is filled
  unique_fd end_;    // is drained
  std::uint32_t left_ = 0;
  bool is_begun_ = false;
};

/// Waits until a socket can be read, and fills the pipe from it. The result is the number of bytes,
/// or:
///
///   0          receive() has to tell: nothing has come in time, the stream has ended or failed,
///              the descriptor is closed, or what has arrived cannot be spliced (urgent data)
///   an error   the system refuses to splice, and nothing was taken
///
/// Precondition: no receive request is in flight and no received bytes wait to be taken; else the
/// result is 0. A cancelled wait has taken nothing.
class [[nodiscard]] splice_read_wait final : public io_wait<direction::read>,
                                             private arrival_waiter {
 public:
  splice_read_wait(descriptor& from, splice_pipe& filled, const time_limit& timeout) noexcept;

  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> caller) noexcept {
    return begin(caller.promise());
  }
  result<std::size_t> take();
  std::size_t await_resume();

 private:
  bool begin(frame_record& at) noexcept;
  void on_arrival() noexcept override {}
  void on_close() noexcept override { fiber_->cancel_wait(cancel_reason::closed); }
  static void on_completion(operation& op, const completion& done) noexcept;
  static const wait_type type;

  splice_pipe& pipe_;
  detail::poll_retries retries_;
};

/// Drains some of the pipe into a socket, at least one byte. Returns how many. If it is cancelled
/// after an earlier one of the same filling has succeeded, writes fail with errc::partial_transfer
/// from then on.
class [[nodiscard]] splice_write_wait final : public io_wait<direction::write> {
 public:
  splice_write_wait(descriptor& to, splice_pipe& drained, const time_limit& timeout) noexcept;

  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> caller) noexcept {
    return begin(caller.promise());
  }
  result<std::size_t> take();
  std::size_t await_resume();

 private:
  bool begin(frame_record& at) noexcept;
  static void on_completion(operation& op, const completion& done) noexcept;
  static const wait_type type;

  splice_pipe& pipe_;
  detail::poll_retries retries_;
};

}  // namespace ringlet::extend
