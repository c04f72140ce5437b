// The waits that the calls of tcp_listener return.
#pragma once

#include <ringlet/extend/descriptor.hpp>
#include <ringlet/extend/wait.hpp>
#include <ringlet/result.hpp>

#include <coroutine>
#include <cstdint>
#include <string>

namespace ringlet {

class tcp_stream;

}  // namespace ringlet

namespace ringlet::detail {

class listener_state;

}  // namespace ringlet::detail

namespace ringlet::extend {

/// See tcp_listener::accept().
class [[nodiscard]] accept_wait : public list_wait {
 public:
  accept_wait(detail::listener_state& from, time_limit timeout) noexcept
      : list_wait(timeout), from_(&from) {}

  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> caller) noexcept {
    return begin(caller.promise());
  }
  result<tcp_stream> take();
  tcp_stream await_resume();

  static constexpr bool is_external = true;
  bool try_now() noexcept;
  void watch() noexcept;
  void unwatch() noexcept;
  void on_cancel(cancel_reason reason) noexcept;
  void describe(std::string& out) const;
  static const wait_type type;

 private:
  friend class detail::listener_state;
  bool begin(frame_record& at) noexcept { return begin_alone(*this, at); }
  void deliver(descriptor::owner made) noexcept;
  void fail(std::int32_t error) noexcept;
  detail::listener_state* from_;
  std::int32_t answer_ = 0;
  descriptor::owner made_;
};

/// See tcp_listener::close().
using close_listener_wait = close_wait;

}  // namespace ringlet::extend
