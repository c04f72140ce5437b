// One system call per kind of operation; close(2) and recv(2) are retried as their pages allow.
#include "direct_call.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

#include "epoll_attempt.hpp"

namespace ringlet {
namespace {

std::int32_t answer(ssize_t value) noexcept {
  return value < 0 ? -errno : static_cast<std::int32_t>(value);
}

std::int32_t receive_now(const operation& op) noexcept {
  for (;;) {
    const ssize_t count = ::recv(op.fd, op.data, op.length, op.flags | MSG_DONTWAIT);
    if (count >= 0 || errno != EINTR) return answer(count);
  }
}

std::int32_t close_descriptor(int fd) noexcept {
  // The number is free even when close(2) reports an error: never again.
  const int closed = ::close(fd);
  return closed < 0 && errno == EINTR ? 0 : answer(closed);
}

}  // namespace

std::int32_t direct_call(operation& op) noexcept {
  auto* const address = static_cast<sockaddr*>(op.data);
  socklen_t length = op.length;
  switch (op.code) {
    case opcode::open_socket:
      return answer(::socket(op.fd, static_cast<int>(op.length) | SOCK_CLOEXEC, op.flags));
    case opcode::bind:
      return answer(::bind(op.fd, address, length));
    case opcode::listen:
      return answer(::listen(op.fd, static_cast<int>(op.length)));
    case opcode::set_option:
      return answer(::setsockopt(op.fd, op.flags, op.detail, op.data, length));
    case opcode::get_option:
      return answer(::getsockopt(op.fd, op.flags, op.detail, op.data, &length));
    case opcode::local_name:
      return answer(::getsockname(op.fd, address, &length));
    case opcode::peer_name:
      return answer(::getpeername(op.fd, address, &length));
    case opcode::shutdown:
      return answer(::shutdown(op.fd, op.flags));
    case opcode::receive_now:
      return receive_now(op);
    case opcode::poll:
      return attempt(op, false);
    case opcode::close:
      return close_descriptor(op.fd);
    default:
      RINGLET_ASSERT(op.code > opcode::close,
                     "an operation that takes time was made as a direct call");
      RINGLET_ASSERT(false, "a call was made that the engine does not know");
  }
}

}  // namespace ringlet
