// Opening a listening socket, and waiting for connections.
#include <ringlet/detail/socket_calls.hpp>
#include <ringlet/detail/throw_invalid.hpp>
#include <ringlet/detail/value_or_throw.hpp>
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

const wait_type accept_wait::type = make_type<accept_wait>("accept");

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

close_listener_wait tcp_listener::close() noexcept { return close_listener_wait(state_.get()); }

int tcp_listener::native_handle() const noexcept { return checked().fd(); }

bool accept_wait::try_now() noexcept {
  if (from_->fd() < 0) {
    reason_ = cancel_reason::closed;
    answer_ = -ECANCELED;
    return true;
  }
  static_cast<void>(from_->scheduler());  // checks the thread
  made_ = from_->take_staged();
  return made_ != nullptr;
}

void accept_wait::watch() noexcept { from_->enqueue(*this); }

void accept_wait::unwatch() noexcept {
  if (!linked()) return;
  unlink();
  from_->on_waiter_gone();
}

void accept_wait::deliver(descriptor::owner made) noexcept {
  made_ = std::move(made);
  unlink();
  conclude_external();
}

void accept_wait::fail(std::int32_t error) noexcept {
  answer_ = error;
  unlink();
  conclude_external();
}

void accept_wait::on_cancel(cancel_reason reason) noexcept {
  reason_ = reason;
  fail(-ECANCELED);
  from_->on_waiter_gone();
}

result<tcp_stream> accept_wait::take() {
  if (const std::error_code error = cancellation_error()) return error;
  if (answer_ < 0) return system_error_code(answer_);
  return tcp_stream(std::move(made_));
}

tcp_stream accept_wait::await_resume() {
  return detail::value_or_throw(take(), type.name, "the socket does not listen");
}

void accept_wait::describe(std::string& out) const { out += "fd " + std::to_string(from_->fd()); }

}  // namespace ringlet
