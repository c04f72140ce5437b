// Opening a listening TCP socket.
// SPDX-License-Identifier: MIT
#include <ringlet/detail/socket_calls.hpp>
#include <ringlet/detail/throw_invalid.hpp>
#include <ringlet/fiber.hpp>
#include <ringlet/tcp_listener.hpp>

#include <netinet/tcp.h>

#include <cerrno>

#include "listener_state.hpp"
#include "why_invalid.hpp"

namespace ringlet {
using namespace extend;
using namespace detail;

namespace {

void set_or_throw(const detail::socket_calls::socket_on& on, int level, int name, int value) {
  const std::int32_t answer = detail::socket_calls::set_option(on, level, name, value);
  if (answer >= 0) return;
  const std::string call = "setsockopt of level " + std::to_string(level) + ", option " +
                           std::to_string(name) + " to " + std::to_string(value);
  detail::throw_error(system_error_code(answer), call,
                      "the value is out of range, or the socket is of another kind");
}

}  // namespace

tcp_listener tcp_listener::bind(std::string_view host_and_port, const listen_options& options) {
  return bind(address::parse(host_and_port), options);
}

tcp_listener tcp_listener::bind(const address& where, const listen_options& options) {
  extend::engine& engine = current_scheduler().engine();
  address target = where;
  const auto must = [&](std::int32_t answer) {
    if (answer >= 0) return answer;
    detail::throw_error(system_error_code(answer), "cannot listen on " + target.to_string(),
                        why_invalid(target, options.ipv6_only));
  };
  unique_fd socket(must(detail::socket_calls::open_tcp(engine, target)));
  const detail::socket_calls::socket_on made{engine, socket.get()};
  if (options.reuse_address) set_or_throw(made, SOL_SOCKET, SO_REUSEADDR, 1);
  if (options.reuse_port) set_or_throw(made, SOL_SOCKET, SO_REUSEPORT, 1);
  if (target.is_ipv6()) set_or_throw(made, IPPROTO_IPV6, IPV6_V6ONLY, options.ipv6_only);
  must(detail::socket_calls::bind(made, target));
  must(detail::socket_calls::listen(made, options.backlog));
  return tcp_listener(std::move(socket), descriptor::family::internet);
}

tcp_listener::tcp_listener(unique_fd fd)
    : tcp_listener(std::move(fd), descriptor::family::unknown) {}

tcp_listener::tcp_listener(unique_fd fd, descriptor::family of)
    : state_(new listener_state(std::move(fd), of)) {
  // Accepted sockets inherit it, which saves a system call for each. Errors are ignored: an adopted
  // socket may be of a family without this option.
  detail::socket_calls::set_option(*state_, IPPROTO_TCP, TCP_NODELAY, 1);
}

void tcp_listener::releaser::operator()(listener_state* released) const noexcept {
  released->release();
}

address tcp_listener::local_address() const {
  address found;
  const std::int32_t answer = detail::socket_calls::local_name(checked(), found);
  if (answer < 0) throw_error(system_error_code(answer), "local_address");
  return found;
}

void tcp_listener::stop() noexcept { checked().stop(); }

close_listener_wait tcp_listener::close() noexcept { return close_listener_wait(state_.get()); }

int tcp_listener::native_handle() const noexcept { return checked().fd(); }

}  // namespace ringlet
