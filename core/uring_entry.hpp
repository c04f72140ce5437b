// Fills submission queue entries: one function per kind of request. See io_uring_enter(2).
#pragma once

#include <ringlet/assert.hpp>
#include <ringlet/operation.hpp>

#include <poll.h>
#include <sys/socket.h>

#include <cstddef>
#include <cstring>

#include "uring_constants.hpp"
#include "uring_features.hpp"

namespace ringlet {

// The one group of provided buffers that a ring has.
inline constexpr std::uint16_t buffer_group = 0;

/// What a completion is about, in the lowest bits of its user_data. The rest is the address of an
/// operation, which is aligned to 8 bytes.
namespace tag {
inline constexpr std::uint64_t mask = 7;
inline constexpr std::uint64_t operation = 0;
inline constexpr std::uint64_t cancel = 1;
inline constexpr std::uint64_t bell = 2;
inline constexpr std::uint64_t ignored = 3;
}  // namespace tag
static_assert(alignof(operation) > tag::mask, "its address leaves the tag free");

inline std::uint8_t kernel_opcode(opcode code) noexcept {
  switch (code) {
    case opcode::nop:
      return IORING_OP_NOP;
    case opcode::accept:
      return IORING_OP_ACCEPT;
    case opcode::connect:
      return IORING_OP_CONNECT;
    case opcode::receive:
    case opcode::recv:
      return IORING_OP_RECV;
    case opcode::send:
      return IORING_OP_SEND;
    case opcode::send_message:
      return IORING_OP_SENDMSG;
    case opcode::read:
      return IORING_OP_READ;
    case opcode::write:
      return IORING_OP_WRITE;
    case opcode::poll:
      return IORING_OP_POLL_ADD;
    default:
      RINGLET_ASSERT(code > opcode::close, "an operation that is answered at once was started");
      RINGLET_ASSERT(false, "an operation was started that the uring engine does not know");
  }
}

/// A receive that stays until it has brought that many bytes in total or more, or for good with 0.
inline void fill_multishot_receive(io_uring_sqe& entry, std::uint32_t total) noexcept {
  entry.ioprio = IORING_RECV_MULTISHOT;
  // The field's name is `optlen` in headers of Linux 6.17 and later, and at the same place.
  static_assert(offsetof(io_uring_sqe, file_index) == 44);
  entry.file_index = total;
}

inline void fill_entry(io_uring_sqe& entry, const operation& op,
                       const uring_features& features) noexcept {
  std::memset(&entry, 0, sizeof entry);
  entry.opcode = kernel_opcode(op.code);
  entry.fd = op.fd;
  entry.addr = reinterpret_cast<std::uint64_t>(op.data);
  entry.len = op.length;
  entry.user_data = reinterpret_cast<std::uint64_t>(&op);
  switch (op.code) {
    case opcode::accept:
      entry.accept_flags = SOCK_CLOEXEC;
      entry.len = 0;
      if (op.multishot) entry.ioprio = IORING_ACCEPT_MULTISHOT;
      break;
    case opcode::connect:
      entry.off = op.length;
      entry.len = 0;
      break;
    case opcode::receive:
      entry.flags = IOSQE_BUFFER_SELECT;
      entry.buf_group = buffer_group;
      entry.len = 0;
      if (op.multishot && features.multishot_receive &&
          (op.length == 0 || features.limited_receive)) {
        fill_multishot_receive(entry, op.length);
      }
      [[fallthrough]];
    case opcode::recv:
      entry.msg_flags = static_cast<std::uint32_t>(op.flags);
      if (op.poll_first) entry.ioprio |= IORING_RECVSEND_POLL_FIRST;
      break;
    case opcode::send_message:
      entry.len = 1;
      [[fallthrough]];
    case opcode::send:
      entry.msg_flags = static_cast<std::uint32_t>(op.flags) | MSG_NOSIGNAL;
      break;
    case opcode::read:
    case opcode::write:
      entry.off = ~std::uint64_t{0};  // at the current position, as read(2) does
      break;
    case opcode::poll:
      entry.poll32_events = static_cast<std::uint32_t>(op.flags);
      entry.addr = 0;
      entry.len = op.multishot ? IORING_POLL_ADD_MULTI : 0;
      break;
    default:
      break;
  }
}

/// Answered only when it fails: the completion of the operation tells the rest.
inline void fill_cancel(io_uring_sqe& entry, const operation& target) noexcept {
  std::memset(&entry, 0, sizeof entry);
  entry.opcode = IORING_OP_ASYNC_CANCEL;
  entry.flags = IOSQE_CQE_SKIP_SUCCESS;
  entry.fd = -1;
  entry.addr = reinterpret_cast<std::uint64_t>(&target);
  entry.user_data = entry.addr | tag::cancel;
}

/// Ends everything that is in flight on the ring.
inline void fill_cancel_all(io_uring_sqe& entry) noexcept {
  std::memset(&entry, 0, sizeof entry);
  entry.opcode = IORING_OP_ASYNC_CANCEL;
  entry.fd = -1;
  entry.cancel_flags = IORING_ASYNC_CANCEL_ALL | IORING_ASYNC_CANCEL_ANY;
  entry.user_data = tag::ignored;
}

/// Reports every write to the event descriptor.
inline void fill_bell(io_uring_sqe& entry, int fd) noexcept {
  std::memset(&entry, 0, sizeof entry);
  entry.opcode = IORING_OP_POLL_ADD;
  entry.fd = fd;
  entry.poll32_events = POLLIN;
  entry.len = IORING_POLL_ADD_MULTI;
  entry.user_data = tag::bell;
}

}  // namespace ringlet
