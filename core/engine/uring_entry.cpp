// Fills the fields of each kind of entry; io_uring_enter(2) describes them.
// SPDX-License-Identifier: MIT
#include "uring_entry.hpp"

#include <poll.h>
#include <sys/socket.h>

#include <cstddef>
#include <cstring>

#include "uring_constants.hpp"
#include "uring_features.hpp"

namespace ringlet::detail {
using namespace extend;
namespace {

inline void begin(io_uring_sqe& entry, const operation& op, std::uint8_t kernel_opcode) noexcept {
  std::memset(&entry, 0, sizeof entry);
  entry.opcode = kernel_opcode;
  entry.fd = op.fd;
  entry.user_data = reinterpret_cast<std::uint64_t>(&op);
}

inline void begin_with_memory(io_uring_sqe& entry, const operation& op,
                              std::uint8_t kernel_opcode) noexcept {
  begin(entry, op, kernel_opcode);
  entry.addr = reinterpret_cast<std::uint64_t>(op.data);
  entry.len = op.length;
}

// Makes a receive multishot. It ends when it has delivered `total` bytes or more; with 0 it has no
// limit.
void let_receive_stay(io_uring_sqe& entry, std::uint32_t total) noexcept {
  entry.ioprio = IORING_RECV_MULTISHOT;
  // Headers of Linux 6.17 and later call the field at this offset `optlen`.
  static_assert(offsetof(io_uring_sqe, file_index) == 44);
  entry.file_index = total;
}

}  // namespace

void fill_nop(io_uring_sqe& entry, const operation& op, const uring_features&) noexcept {
  begin(entry, op, IORING_OP_NOP);
}

void fill_accept(io_uring_sqe& entry, const operation& op, const uring_features&) noexcept {
  begin(entry, op, IORING_OP_ACCEPT);
  entry.accept_flags = SOCK_CLOEXEC;
  if (op.multishot) entry.ioprio = IORING_ACCEPT_MULTISHOT;
}

void fill_connect(io_uring_sqe& entry, const operation& op, const uring_features&) noexcept {
  begin(entry, op, IORING_OP_CONNECT);
  entry.addr = reinterpret_cast<std::uint64_t>(op.data);
  entry.off = op.length;
}

void fill_receive(io_uring_sqe& entry, const operation& op,
                  const uring_features& features) noexcept {
  begin(entry, op, IORING_OP_RECV);
  entry.flags = IOSQE_BUFFER_SELECT;
  entry.buf_group = op.receive.buffer_group;
  entry.msg_flags = op.receive.flags;
  if (op.multishot && features.multishot_receive &&
      (op.receive.limit == 0 || features.limited_receive)) {
    let_receive_stay(entry, op.receive.limit);
  }
  if (op.poll_first) entry.ioprio |= IORING_RECVSEND_POLL_FIRST;
}

void fill_receive_datagram(io_uring_sqe& entry, const operation& op,
                           const uring_features&) noexcept {
  begin(entry, op, IORING_OP_RECVMSG);
  entry.flags = IOSQE_BUFFER_SELECT;
  entry.buf_group = op.receive.buffer_group;
  entry.addr = reinterpret_cast<std::uint64_t>(op.data);
  entry.len = 1;
  entry.msg_flags = op.receive.flags;
  if (op.multishot) entry.ioprio = IORING_RECV_MULTISHOT;
  if (op.poll_first) entry.ioprio |= IORING_RECVSEND_POLL_FIRST;
}

void fill_recv(io_uring_sqe& entry, const operation& op, const uring_features&) noexcept {
  begin_with_memory(entry, op, IORING_OP_RECV);
  entry.msg_flags = static_cast<std::uint32_t>(op.transfer.flags);
  if (op.poll_first) entry.ioprio = IORING_RECVSEND_POLL_FIRST;
}

void fill_send(io_uring_sqe& entry, const operation& op, const uring_features&) noexcept {
  begin_with_memory(entry, op, IORING_OP_SEND);
  entry.msg_flags = static_cast<std::uint32_t>(op.transfer.flags) | MSG_NOSIGNAL;
}

void fill_send_message(io_uring_sqe& entry, const operation& op, const uring_features&) noexcept {
  begin(entry, op, IORING_OP_SENDMSG);
  entry.addr = reinterpret_cast<std::uint64_t>(op.data);
  entry.len = 1;
  entry.msg_flags = static_cast<std::uint32_t>(op.transfer.flags) | MSG_NOSIGNAL;
}

void fill_receive_message(io_uring_sqe& entry, const operation& op,
                          const uring_features&) noexcept {
  begin(entry, op, IORING_OP_RECVMSG);
  entry.addr = reinterpret_cast<std::uint64_t>(op.data);
  entry.len = 1;
  entry.msg_flags = static_cast<std::uint32_t>(op.transfer.flags);
  if (op.poll_first) entry.ioprio = IORING_RECVSEND_POLL_FIRST;
}

void fill_read(io_uring_sqe& entry, const operation& op, const uring_features&) noexcept {
  begin_with_memory(entry, op, IORING_OP_READ);
  entry.off = op.file.offset;
}

void fill_write(io_uring_sqe& entry, const operation& op, const uring_features&) noexcept {
  begin_with_memory(entry, op, IORING_OP_WRITE);
  entry.off = op.file.offset;
}

void fill_poll(io_uring_sqe& entry, const operation& op, const uring_features&) noexcept {
  begin(entry, op, IORING_OP_POLL_ADD);
  entry.poll32_events = static_cast<std::uint32_t>(op.poll.events);
  if (op.multishot) entry.len = IORING_POLL_ADD_MULTI;
}

void fill_cancel(io_uring_sqe& entry, const operation& target) noexcept {
  std::memset(&entry, 0, sizeof entry);
  entry.opcode = IORING_OP_ASYNC_CANCEL;
  entry.flags = IOSQE_CQE_SKIP_SUCCESS;
  entry.fd = -1;
  entry.addr = reinterpret_cast<std::uint64_t>(&target);
  entry.user_data = entry.addr | tag::cancel;
}

void fill_cancel_all(io_uring_sqe& entry) noexcept {
  std::memset(&entry, 0, sizeof entry);
  entry.opcode = IORING_OP_ASYNC_CANCEL;
  entry.fd = -1;
  entry.cancel_flags = IORING_ASYNC_CANCEL_ALL | IORING_ASYNC_CANCEL_ANY;
  entry.user_data = tag::ignored;
}

void fill_wakeup(io_uring_sqe& entry, int fd) noexcept {
  std::memset(&entry, 0, sizeof entry);
  entry.opcode = IORING_OP_POLL_ADD;
  entry.fd = fd;
  entry.poll32_events = POLLIN;
  entry.len = IORING_POLL_ADD_MULTI;
  entry.user_data = tag::wakeup;
}

}  // namespace ringlet::detail
