// Makes two Unix sockets that are connected to each other.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/error.hpp>
#include <ringlet/extend/operation.hpp>
#include <ringlet/extend/scheduler.hpp>
#include <ringlet/fiber.hpp>
#include <ringlet/unique_fd.hpp>

#include <sys/socket.h>

#include <array>
#include <cstdint>
#include <utility>

namespace ringlet::detail {

/// `type`: SOCK_STREAM or SOCK_DGRAM.
inline std::pair<unique_fd, unique_fd> open_socket_pair(std::int16_t type) {
  std::array<int, 2> made{-1, -1};
  extend::operation op(extend::opcode::open_socket_pair, nullptr);
  op.socket = {AF_UNIX, type, 0};
  op.data = made.data();
  op.length = sizeof made;
  const std::int32_t answer = extend::current_scheduler().engine().call(op);
  if (answer < 0) ringlet::throw_error(system_error_code(answer), "pair");
  return {unique_fd(made[0]), unique_fd(made[1])};
}

}  // namespace ringlet::detail
