// One system call per opcode. After EINTR recv(2) and splice(2) are repeated; close(2) never is.
// SPDX-License-Identifier: MIT
#include "direct_call.hpp"

#include <ringlet/detail/without_sigpipe.hpp>

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

#include "attempt.hpp"
#include "nonblocking.hpp"

namespace ringlet::detail {
using namespace extend;
namespace {

std::int32_t answer(ssize_t value) noexcept {
  return value < 0 ? -errno : static_cast<std::int32_t>(value);
}

std::int32_t splice_now(int from, int to, std::size_t most) noexcept {
  for (;;) {
    const ssize_t count =
        ::splice(from, nullptr, to, nullptr, most, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    if (count >= 0 || errno != EINTR) return answer(count);
  }
}

sockaddr* address_of(const operation& op) noexcept { return static_cast<sockaddr*>(op.data); }

}  // namespace

std::int32_t call_connect(operation& op) noexcept {
  return answer(::connect(op.fd, address_of(op), op.length));
}

std::int32_t call_send_message(operation& op) noexcept { return attempt_send_message(op, false); }

std::int32_t call_receive_message(operation& op) noexcept {
  return attempt_receive_message(op, false);
}

std::int32_t call_poll(operation& op) noexcept { return attempt_poll(op, false); }

std::int32_t call_socket(operation& op) noexcept {
  const auto [family, type, protocol] = op.socket;
  return answer(::socket(family, type | SOCK_CLOEXEC, protocol));
}

std::int32_t call_socketpair(operation& op) noexcept {
  const auto [family, type, protocol] = op.socket;
  return answer(::socketpair(family, type | SOCK_CLOEXEC, protocol, static_cast<int*>(op.data)));
}

std::int32_t call_pipe(operation& op) noexcept {
  auto* ends = static_cast<int*>(op.data);
  const int made = ::pipe2(ends, O_CLOEXEC);
  if (made == 0 && op.pipe.size != 0) ::fcntl(ends[0], F_SETPIPE_SZ, op.pipe.size);
  return answer(made);
}

std::int32_t call_bind(operation& op) noexcept {
  return answer(::bind(op.fd, address_of(op), op.length));
}

std::int32_t call_listen(operation& op) noexcept {
  return answer(::listen(op.fd, op.listen.backlog));
}

std::int32_t call_setsockopt(operation& op) noexcept {
  return answer(::setsockopt(op.fd, op.option.level, op.option.name, op.data, op.length));
}

std::int32_t call_getsockopt(operation& op) noexcept {
  socklen_t length = op.length;
  return answer(::getsockopt(op.fd, op.option.level, op.option.name, op.data, &length));
}

std::int32_t call_getsockname(operation& op) noexcept {
  return answer(::getsockname(op.fd, address_of(op), &op.length));
}

std::int32_t call_getpeername(operation& op) noexcept {
  return answer(::getpeername(op.fd, address_of(op), &op.length));
}

std::int32_t call_shutdown(operation& op) noexcept {
  return answer(::shutdown(op.fd, op.shutdown.how));
}

std::int32_t call_receive_now(operation& op) noexcept {
  for (;;) {
    const ssize_t count = ::recv(op.fd, op.data, op.length, op.transfer.flags | MSG_DONTWAIT);
    if (count >= 0 || errno != EINTR) return answer(count);
  }
}

// SPLICE_F_NONBLOCK is about the pipe only: without O_NONBLOCK, the call waits for a socket that is
// empty or full (seen with Linux 6.18). And no flag keeps a socket from raising SIGPIPE.
std::int32_t call_splice(operation& op) noexcept {
  const nonblocking during(op.fd);
  if (during.error() != 0) return -during.error();
  const auto [pipe, fills_pipe] = op.splice;
  if (fills_pipe) return splice_now(op.fd, pipe, op.length);
  const without_sigpipe guard;
  return splice_now(pipe, op.fd, op.length);
}

std::int32_t call_close(operation& op) noexcept {
  // The number is free even if close(2) reports an error, so it is never repeated.
  const int closed = ::close(op.fd);
  return closed < 0 && errno == EINTR ? 0 : answer(closed);
}

}  // namespace ringlet::detail
