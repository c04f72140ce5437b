// The waits that the calls of listeners return.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/extend/descriptor.hpp>
#include <ringlet/extend/wait.hpp>
#include <ringlet/result.hpp>

#include <coroutine>
#include <cstdint>
#include <string>
#include <utility>

namespace ringlet::detail {

class listener_state;

}  // namespace ringlet::detail

namespace ringlet::extend {

/// The base of waits for connections.
class accept_wait_base : public list_wait {
 public:
  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> caller) noexcept {
    return begin(caller.promise());
  }

  static constexpr bool is_external = true;
  bool try_now() noexcept;
  void watch() noexcept;
  void unwatch() noexcept;
  void on_cancel(cancel_reason reason) noexcept;
  void describe(std::string& out) const;
  static const wait_type type;

 protected:
  accept_wait_base(detail::listener_state& from, time_limit timeout) noexcept
      : list_wait(timeout), from_(&from) {}
  ~accept_wait_base() = default;

  result<descriptor::owner> take_made();
  descriptor::owner take_made_or_throw();

 private:
  friend class detail::listener_state;
  bool begin(frame_record& at) noexcept { return begin_alone(*this, at); }
  void deliver(descriptor::owner made) noexcept;
  void fail(std::int32_t error) noexcept;
  detail::listener_state* from_;
  std::int32_t answer_ = 0;
  descriptor::owner made_;
};

/// See tcp_listener::accept() and unix_listener::accept().
template <class Stream>
class [[nodiscard]] basic_accept_wait final : public accept_wait_base {
 public:
  basic_accept_wait(detail::listener_state& from, time_limit timeout) noexcept
      : accept_wait_base(from, timeout) {}

  result<Stream> take() {
    auto made = take_made();
    if (!made) return made.error();
    return descriptor_access::make<Stream>(std::move(*made));
  }
  Stream await_resume() { return descriptor_access::make<Stream>(take_made_or_throw()); }
};

/// See tcp_listener::close().
using close_listener_wait = close_wait;

}  // namespace ringlet::extend
