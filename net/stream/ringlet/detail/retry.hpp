// retry: results that ask to try again, and the request to make then.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/extend/operation.hpp>

#include <poll.h>

#include <cerrno>
#include <cstdint>

namespace ringlet::detail {

/// Whether nothing was done and the same request may succeed next time.
constexpr bool asks_to_retry(std::int32_t result) noexcept {
  return result == -EAGAIN || result == -EINTR;
}

/// The same for a read or write, which prepare_retry() may have turned into a poll.
inline bool asks_to_retry(const extend::operation& op, std::int32_t result) noexcept {
  return asks_to_retry(result) || op.code == extend::opcode::poll;
}

/// For polls that wait. Changing the modes of a terminal (stty, or a shell that brings a job to the
/// foreground) ends its polls with EINVAL (seen with Linux 6.18). If the error is permanent, the
/// repeated polls fail immediately.
class poll_retries {
 public:
  /// Whether the poll with that result is to be started again.
  bool wants(std::int32_t result) noexcept {
    if (result != -EINVAL || left_ == 0) return asks_to_retry(result);
    --left_;
    return true;
  }

 private:
  std::uint8_t left_ = 16;
};

/// Turns such a request into the one to start next. `plain` gives the direction of the bytes:
/// opcode::read or opcode::write.
inline void prepare_retry(extend::operation& op, std::int32_t result,
                          extend::opcode plain) noexcept {
  if (op.code == extend::opcode::poll) {
    // The descriptor is ready, or cannot be polled: the read or write itself will tell.
    op.become(plain);
  } else if (op.code != plain) {
    op.poll_first = true;
  } else if (result == -EAGAIN) {
    // Another user of the descriptor has set O_NONBLOCK. Older kernels then fail with EAGAIN
    // instead of waiting for a terminal or a pipe.
    op.become(extend::opcode::poll);
    op.poll.events = plain == extend::opcode::read ? POLLIN : POLLOUT;
  }
}

}  // namespace ringlet::detail
