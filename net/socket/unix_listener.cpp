// Opening a listening Unix socket.
// SPDX-License-Identifier: MIT
#include <ringlet/detail/socket_calls.hpp>
#include <ringlet/fiber.hpp>
#include <ringlet/unix_listener.hpp>

#include <utility>

#include "listener_state.hpp"
#include "socket_file.hpp"
#include "unix_names.hpp"

namespace ringlet {
using namespace extend;
using namespace detail;

unix_listener unix_listener::bind(std::string_view where, const unix_listen_options& options) {
  return bind(unix_address::parse(where), options);
}

unix_listener unix_listener::bind(const unix_address& where, const unix_listen_options& options) {
  extend::engine& engine = current_scheduler().engine();
  const auto must = [&](std::int32_t answer) {
    if (answer >= 0) return answer;
    throw_error(system_error_code(answer), ("cannot listen on " + where.to_string()).c_str());
  };
  unique_fd socket(must(socket_calls::open_socket(engine, AF_UNIX, SOCK_STREAM, 0)));
  const int fd = socket.get();
  unix_listener made(std::move(socket), descriptor::family::other);
  socket_binder binder(engine);
  socket_file file = binder.bind(fd, where, {SOCK_STREAM, options.permissions});
  must(socket_calls::listen(socket_calls::socket_on{engine, fd}, options.backlog));
  made.state_->own(std::move(file));
  return made;
}

unix_listener::unix_listener(unique_fd fd)
    : unix_listener(std::move(fd), descriptor::family::unknown) {}

unix_listener::unix_listener(unique_fd fd, descriptor::family of)
    : state_(new listener_state(std::move(fd), of)) {}

void unix_listener::releaser::operator()(listener_state* released) const noexcept {
  released->release();
}

unix_address unix_listener::local_address() const {
  unix_address found;
  const std::int32_t answer = unix_name(checked(), opcode::local_name, found);
  if (answer < 0) throw_error(system_error_code(answer), "local_address");
  return found;
}

void unix_listener::stop() noexcept { checked().stop(); }

close_listener_wait unix_listener::close() noexcept { return close_listener_wait(state_.get()); }

int unix_listener::native_handle() const noexcept { return checked().fd(); }

}  // namespace ringlet
