// Unix stream sockets: connecting, pairs, and who the peer is.
// SPDX-License-Identifier: MIT
#include <ringlet/detail/socket_calls.hpp>
#include <ringlet/detail/throw_invalid.hpp>
#include <ringlet/unix_stream.hpp>

#include "socket_pair.hpp"
#include "unix_names.hpp"

namespace ringlet {
using namespace extend;
using namespace detail;

const wait_type unix_connect_wait::type = make_type<unix_connect_wait>("connect");

unix_stream::unix_stream(unique_fd fd)
    : socket_stream(std::move(fd), descriptor::family::unknown) {}

std::pair<unix_stream, unix_stream> unix_stream::pair() {
  auto [one, other] = open_socket_pair(SOCK_STREAM);
  unix_stream first(std::move(one));
  return {std::move(first), unix_stream(std::move(other))};
}

unix_address unix_stream::local_address() const {
  unix_address found;
  check(unix_name(checked(), opcode::local_name, found), "local_address", "it is not a socket");
  return found;
}

unix_address unix_stream::peer_address() const {
  unix_address found;
  check(unix_name(checked(), opcode::peer_name, found), "peer_address", "it is not a socket");
  return found;
}

peer_credentials unix_stream::credentials() const {
  ucred found{};
  const std::int32_t answer =
      detail::socket_calls::option(checked(), opcode::get_option, SOL_SOCKET, SO_PEERCRED, found);
  check(answer, "credentials", "it is not a socket");
  return {found.pid, found.uid, found.gid};
}

result<unix_stream> unix_connect_wait::take() {
  if (const std::error_code error = connect_error()) return error;
  return unix_stream(std::move(socket_));
}

unix_stream unix_connect_wait::await_resume() {
  auto taken = take();
  if (!taken) {
    detail::throw_error(taken.error(), "connect to " + peer_.to_string(),
                        "this is not the address of a Unix socket");
  }
  return std::move(*taken);
}

void unix_connect_wait::describe(std::string& out) const { out += "to " + peer_.to_string(); }

}  // namespace ringlet
