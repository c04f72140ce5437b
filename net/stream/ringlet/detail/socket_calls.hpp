// The calls on sockets that the kernel answers immediately. Each returns a value >= 0 or a negated
// errno.
//
// `Socket` is a type that makes calls on one descriptor: descriptor, listener_state or socket_on.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/address.hpp>
#include <ringlet/extend/engine.hpp>

#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdint>

namespace ringlet::detail::socket_calls {

/// A descriptor, and the engine that makes calls on it.
struct socket_on {
  std::int32_t call(extend::operation& op) const noexcept {
    op.fd = fd;
    return engine.call(op);
  }
  extend::engine& engine;
  int fd;
};

inline std::int32_t open_socket(extend::engine& engine, int family, int type,
                                int protocol) noexcept {
  extend::operation op(extend::opcode::open_socket, nullptr);
  op.socket = {static_cast<std::int16_t>(family), static_cast<std::int16_t>(type), protocol};
  return engine.call(op);
}

/// Opens a TCP socket of the address family of `end`.
inline std::int32_t open_tcp(extend::engine& engine, const address& end) noexcept {
  return open_socket(engine, end.is_ipv6() ? AF_INET6 : AF_INET, SOCK_STREAM, IPPROTO_TCP);
}

/// `Address` is address or unix_address.
template <class Socket, class Address>
std::int32_t bind(const Socket& on, Address where) noexcept {
  extend::operation op(extend::opcode::bind, nullptr);
  op.data = where.data();
  op.length = where.size();
  return on.call(op);
}

/// Tries once, for sockets that never wait.
template <class Socket, class Address>
std::int32_t connect_now(const Socket& on, Address peer) noexcept {
  extend::operation op(extend::opcode::connect, nullptr);
  op.data = peer.data();
  op.length = peer.size();
  return on.call(op);
}

template <class Socket>
std::int32_t listen(const Socket& on, int backlog) noexcept {
  extend::operation op(extend::opcode::listen, nullptr);
  op.listen.backlog = backlog;
  return on.call(op);
}

template <class Socket, class T>
std::int32_t option(const Socket& on, extend::opcode kind, int level, int name, T& value) noexcept {
  extend::operation op(kind, nullptr);
  op.option = {level, name};
  op.data = &value;
  op.length = sizeof value;
  return on.call(op);
}

template <class Socket>
std::int32_t name(const Socket& on, extend::opcode kind, address& found) noexcept {
  extend::operation op(kind, nullptr);
  op.data = found.data();
  op.length = address::capacity;
  return on.call(op);
}

template <class Socket, class T>
std::int32_t set_option(const Socket& on, int level, int name, T value) noexcept {
  return option(on, extend::opcode::set_option, level, name, value);
}

template <class Socket>
std::int32_t get_option(const Socket& on, int level, int name, int& value) noexcept {
  return option(on, extend::opcode::get_option, level, name, value);
}

template <class Socket>
std::int32_t local_name(const Socket& on, address& found) noexcept {
  return name(on, extend::opcode::local_name, found);
}

template <class Socket>
std::int32_t peer_name(const Socket& on, address& found) noexcept {
  return name(on, extend::opcode::peer_name, found);
}

template <class Socket>
std::int32_t shutdown(const Socket& on, int how) noexcept {
  extend::operation op(extend::opcode::shutdown, nullptr);
  op.shutdown.how = how;
  return on.call(op);
}

}  // namespace ringlet::detail::socket_calls
