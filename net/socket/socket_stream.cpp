// The calls of connected sockets that the kernel answers immediately.
// SPDX-License-Identifier: MIT
#include <ringlet/detail/socket_calls.hpp>
#include <ringlet/detail/throw_invalid.hpp>
#include <ringlet/socket_stream.hpp>

namespace ringlet {
using namespace extend;
using namespace detail;

socket_stream::socket_stream(unique_fd fd, descriptor::family of)
    : state_(descriptor::make(fd.get(), descriptor::kind::connection, of)) {
  [[maybe_unused]] const int owned_now = fd.release();
}

void socket_stream::check(std::int32_t answer, const std::string& call, const char* why) const {
  if (answer >= 0) return;
  const bool is_open = checked().fd() >= 0;
  const std::error_code code = is_open ? system_error_code(answer) : make_error_code(errc::closed);
  detail::throw_error(code, call, why);
}

void socket_stream::shutdown_write() {
  check(detail::socket_calls::shutdown(checked(), SHUT_WR), "shutdown_write",
        "the socket is in another state, or of another kind");
}

unique_fd socket_stream::release() {
  if (checked().fd() < 0) throw_error(errc::closed, "release");
  return unique_fd(checked().release_fd());
}

void socket_stream::set_option(int level, int name, int value, const char* what) {
  check(detail::socket_calls::set_option(checked(), level, name, value),
        what + ("(" + std::to_string(value)) + ')',
        "the value is out of range, or the socket is of another kind");
}

void socket_stream::set_receive_buffer(int bytes) {
  set_option(SOL_SOCKET, SO_RCVBUF, bytes, "set_receive_buffer");
}

void socket_stream::set_send_buffer(int bytes) {
  set_option(SOL_SOCKET, SO_SNDBUF, bytes, "set_send_buffer");
}

}  // namespace ringlet
