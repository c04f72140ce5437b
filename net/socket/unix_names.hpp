// The addresses of both ends of a Unix socket.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/extend/operation.hpp>
#include <ringlet/unix_address.hpp>

#include <cstdint>

namespace ringlet::detail {

/// Asks for one of them: opcode::local_name or opcode::peer_name. Returns 0 or a negated errno.
template <class Socket>
std::int32_t unix_name(const Socket& on, extend::opcode kind, unix_address& found) noexcept {
  extend::operation op(kind, nullptr);
  op.data = found.data();
  op.length = unix_address::capacity;
  const std::int32_t answer = on.call(op);
  if (answer >= 0) found.set_size(op.length);
  return answer;
}

}  // namespace ringlet::detail
