// One system call per opcode, made so that it does not wait.
// SPDX-License-Identifier: MIT
#include "attempt.hpp"

#include <ringlet/extend/datagram_header.hpp>

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string_view>

#include "nonblocking.hpp"

namespace ringlet::detail {
using namespace extend;
namespace {

// How much a writable descriptor accepts without waiting. A pipe accepts PIPE_BUF bytes, one page
// (pipe(7)). A terminal accepts 256 characters in one piece, because its driver reports it as
// writable while fewer than that are queued, and a pseudo-terminal reserves that many at a time.
// The driver splits a write at characters that output processing changes; the rest may have to
// wait.
constexpr std::size_t terminal_piece = 256;

std::size_t size_of_next_piece(std::string_view text) noexcept {
  const std::size_t processed = text.substr(0, terminal_piece).find_first_of("\n\r\t\b");
  if (processed == std::string_view::npos) return std::min(text.size(), terminal_piece);
  return std::max<std::size_t>(processed, 1);
}

// Repeats a call while signals interrupt it.
template <class Call>
std::int32_t repeat_interrupted(Call call) noexcept {
  for (;;) {
    const ssize_t result = call();
    if (result >= 0) return static_cast<std::int32_t>(result);
    if (errno != EINTR) return -errno;
  }
}

std::int32_t poll_now(int fd, short events) noexcept {
  if (fd < 0) return -EBADF;
  pollfd asked{fd, events, 0};
  const std::int32_t ready = repeat_interrupted([&] { return ::poll(&asked, 1, 0); });
  if (ready < 0) return ready;
  if (asked.revents & POLLNVAL) return -EBADF;
  return ready == 0 ? -EAGAIN : asked.revents;
}

// A read or write, with RWF_NOWAIT. The offset -1 means the descriptor's own position.
std::int32_t read_or_write_now(const operation& op) noexcept {
  const iovec part{op.data, op.length};
  const auto offset = static_cast<off_t>(op.file.offset);
  return repeat_interrupted([&] {
    return op.code == opcode::read ? ::preadv2(op.fd, &part, 1, offset, RWF_NOWAIT)
                                   : ::pwritev2(op.fd, &part, 1, offset, RWF_NOWAIT);
  });
}

std::int32_t read_when_ready(const operation& op) noexcept {
  const std::int32_t ready = poll_now(op.fd, POLLIN);
  return ready < 0 ? ready : read_or_write(op);
}

std::int32_t write_when_ready(const operation& op) noexcept {
  const std::int32_t ready = poll_now(op.fd, POLLOUT);
  if (ready < 0) return ready;
  struct stat what = {};
  if (::fstat(op.fd, &what) != 0) return -errno;
  const std::string_view text(static_cast<const char*>(op.data), op.length);
  const std::size_t size = S_ISCHR(what.st_mode) ? size_of_next_piece(text)
                                                 : std::min<std::size_t>(text.size(), PIPE_BUF);
  return repeat_interrupted([&] { return ::write(op.fd, op.data, size); });
}

// Whether the descriptor does not support RWF_NOWAIT: terminals, files on most file systems, and
// pipes before Linux 6.4 do not.
bool has_no_such_call(std::int32_t result) noexcept {
  return result == -EOPNOTSUPP || result == -ENOSYS || result == -EINVAL;
}

}  // namespace

std::int32_t attempt_accept(operation& op, bool) noexcept {
  return repeat_interrupted([&] { return ::accept4(op.fd, nullptr, nullptr, SOCK_CLOEXEC); });
}

std::int32_t attempt_connect(operation& op, bool) noexcept {
  const nonblocking during(op.fd);
  if (during.error() != 0) return -during.error();
  int error = EINPROGRESS;
  // A second call reports the progress of the first; over loopback the connection is complete by
  // then.
  for (int call = 0; call < 2 && error == EINPROGRESS; ++call) {
    const int connected = ::connect(op.fd, static_cast<const sockaddr*>(op.data), op.length);
    error = connected < 0 ? errno : 0;
  }
  return error == EALREADY || error == EINTR ? -EINPROGRESS : -error;
}

std::int32_t attempt_recv(operation& op, bool) noexcept {
  const int flags = op.transfer.flags | MSG_DONTWAIT;
  return repeat_interrupted([&] { return ::recv(op.fd, op.data, op.length, flags); });
}

std::int32_t attempt_send(operation& op, bool) noexcept {
  const int flags = op.transfer.flags | MSG_DONTWAIT | MSG_NOSIGNAL;
  return repeat_interrupted([&] { return ::send(op.fd, op.data, op.length, flags); });
}

std::int32_t attempt_send_message(operation& op, bool) noexcept {
  const int flags = op.transfer.flags | MSG_DONTWAIT | MSG_NOSIGNAL;
  return repeat_interrupted(
      [&] { return ::sendmsg(op.fd, static_cast<const msghdr*>(op.data), flags); });
}

std::int32_t attempt_receive_message(operation& op, bool) noexcept {
  const int flags = op.transfer.flags | MSG_DONTWAIT;
  return repeat_interrupted([&] { return ::recvmsg(op.fd, static_cast<msghdr*>(op.data), flags); });
}

std::int32_t receive_datagram_into(const operation& op, std::span<std::byte> memory) noexcept {
  datagram_layout layout(*static_cast<const msghdr*>(op.data), memory);
  const int flags = op.receive.flags | MSG_DONTWAIT;
  const std::int32_t size =
      repeat_interrupted([&] { return ::recvmsg(op.fd, &layout.message(), flags); });
  return size < 0 ? size : layout.finish(size);
}

std::int32_t attempt_read(operation& op, bool known_to_poll) noexcept {
  const std::int32_t result = read_or_write_now(op);
  if (!has_no_such_call(result)) return result;
  return known_to_poll ? read_when_ready(op) : -EAGAIN;
}

std::int32_t attempt_write(operation& op, bool known_to_poll) noexcept {
  const std::int32_t result = read_or_write_now(op);
  if (!has_no_such_call(result)) return result;
  return known_to_poll ? write_when_ready(op) : -EAGAIN;
}

std::int32_t attempt_poll(operation& op, bool) noexcept {
  return poll_now(op.fd, static_cast<short>(op.poll.events));
}

std::int32_t stop_waiting(int listener) noexcept {
  const int flags = ::fcntl(listener, F_GETFL);
  if (flags < 0) return -errno;
  if ((flags & O_NONBLOCK) != 0) return 0;
  return ::fcntl(listener, F_SETFL, flags | O_NONBLOCK) < 0 ? -errno : 0;
}

std::int32_t read_or_write(const operation& op) noexcept {
  const bool reads = op.code == opcode::read;
  if (op.file.offset == operation::current_position) {
    return repeat_interrupted([&] {
      return reads ? ::read(op.fd, op.data, op.length) : ::write(op.fd, op.data, op.length);
    });
  }
  const auto offset = static_cast<off_t>(op.file.offset);
  return repeat_interrupted([&] {
    return reads ? ::pread(op.fd, op.data, op.length, offset)
                 : ::pwrite(op.fd, op.data, op.length, offset);
  });
}

}  // namespace ringlet::detail
