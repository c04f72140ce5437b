// retry: the answers that are none, and what is asked instead.
#pragma once

#include <ringlet/extend/operation.hpp>

#include <poll.h>

#include <cerrno>
#include <cstdint>

namespace ringlet::detail {

/// Whether nothing was done, and the same request may succeed the next time.
constexpr bool asks_to_retry(std::int32_t result) noexcept {
  return result == -EAGAIN || result == -EINTR;
}

/// The same for a request for bytes, which may have become the poll below.
inline bool asks_to_retry(const extend::operation& op, std::int32_t result) noexcept {
  return asks_to_retry(result) || op.code == extend::opcode::poll;
}

/// Makes of such a request the one to be started next. `plain` is opcode::read or opcode::write,
/// the direction of the bytes.
inline void prepare_retry(extend::operation& op, std::int32_t result,
                          extend::opcode plain) noexcept {
  if (op.code == extend::opcode::poll) {
    // It is ready, or it cannot be waited for: the call itself will tell.
    op.become(plain);
  } else if (op.code != plain) {
    op.poll_first = true;
  } else if (result == -EAGAIN) {
    // Another user of the descriptor has set O_NONBLOCK, and older kernels then give up instead of
    // waiting for a terminal or a pipe.
    op.become(extend::opcode::poll);
    op.poll.events = plain == extend::opcode::read ? POLLIN : POLLOUT;
  }
}

}  // namespace ringlet::detail
