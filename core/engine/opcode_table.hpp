// The table of opcodes. A new opcode takes an enumerator, a row here, and the functions that the
// row names: one that fills an entry for the uring engine (uring_entry), one that makes the call
// for the epoll engine (attempt), or one that makes a call that is answered immediately
// (direct_call).
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/opcode_row.hpp>
#include <ringlet/extend/assert.hpp>

#include <poll.h>

#include <cstddef>
#include <iterator>

#include "attempt.hpp"
#include "direct_call.hpp"
#include "uring_entry.hpp"

namespace ringlet::detail {

using extend::opcode;

// clang-format off
inline constexpr opcode_row opcode_table[] = {
    {.code = opcode::nop, .name = "nop", .fill = &fill_nop},
    {.code = opcode::accept, .name = "accept", .multishot = true, .fill = &fill_accept,
     .attempt = &attempt_accept, .readiness = POLLIN},
    {.code = opcode::connect, .name = "connect", .memory = operation_memory::given,
     .fill = &fill_connect, .attempt = &attempt_connect, .readiness = POLLOUT,
     .call = &call_connect},
    {.code = opcode::receive, .name = "receive", .fields = operation_fields::receive,
     .multishot = true, .poll_first = true, .fill = &fill_receive, .readiness = POLLIN},
    {.code = opcode::receive_datagram, .name = "receive_datagram",
     .fields = operation_fields::receive, .memory = operation_memory::message, .multishot = true,
     .poll_first = true, .fill = &fill_receive_datagram, .readiness = POLLIN},
    {.code = opcode::recv, .name = "recv", .fields = operation_fields::transfer,
     .memory = operation_memory::filled, .poll_first = true, .fill = &fill_recv,
     .attempt = &attempt_recv, .readiness = POLLIN},
    {.code = opcode::send, .name = "send", .fields = operation_fields::transfer,
     .memory = operation_memory::given, .fill = &fill_send, .attempt = &attempt_send,
     .readiness = POLLOUT},
    {.code = opcode::send_message, .name = "send_message", .fields = operation_fields::transfer,
     .memory = operation_memory::message, .fill = &fill_send_message,
     .attempt = &attempt_send_message, .readiness = POLLOUT, .call = &call_send_message},
    {.code = opcode::receive_message, .name = "receive_message",
     .fields = operation_fields::transfer, .memory = operation_memory::message, .poll_first = true,
     .fill = &fill_receive_message, .attempt = &attempt_receive_message, .readiness = POLLIN,
     .call = &call_receive_message, .scripted = scripted_answer::would_wait},
    {.code = opcode::read, .name = "read", .fields = operation_fields::file,
     .memory = operation_memory::filled, .fill = &fill_read, .attempt = &attempt_read,
     .readiness = POLLIN},
    {.code = opcode::write, .name = "write", .fields = operation_fields::file,
     .memory = operation_memory::given, .fill = &fill_write, .attempt = &attempt_write,
     .readiness = POLLOUT},
    {.code = opcode::poll, .name = "poll", .fields = operation_fields::poll, .multishot = true,
     .fill = &fill_poll, .attempt = &attempt_poll, .readiness = POLLIN | POLLOUT,
     .call = &call_poll, .scripted = scripted_answer::would_wait},
    {.code = opcode::open_socket, .name = "open_socket", .fields = operation_fields::socket,
     .call = &call_socket, .scripted = scripted_answer::descriptor},
    {.code = opcode::open_socket_pair, .name = "open_socket_pair",
     .fields = operation_fields::socket, .memory = operation_memory::filled,
     .call = &call_socketpair, .scripted = scripted_answer::descriptors},
    {.code = opcode::open_pipe, .name = "open_pipe", .fields = operation_fields::pipe,
     .memory = operation_memory::filled, .call = &call_pipe,
     .scripted = scripted_answer::descriptors},
    {.code = opcode::bind, .name = "bind", .memory = operation_memory::given, .call = &call_bind},
    {.code = opcode::listen, .name = "listen", .fields = operation_fields::listen,
     .call = &call_listen},
    {.code = opcode::set_option, .name = "set_option", .fields = operation_fields::option,
     .memory = operation_memory::given, .call = &call_setsockopt},
    {.code = opcode::get_option, .name = "get_option", .fields = operation_fields::option,
     .memory = operation_memory::filled, .call = &call_getsockopt,
     .scripted = scripted_answer::family},
    {.code = opcode::local_name, .name = "local_name", .memory = operation_memory::filled,
     .call = &call_getsockname, .scripted = scripted_answer::address},
    {.code = opcode::peer_name, .name = "peer_name", .memory = operation_memory::filled,
     .call = &call_getpeername, .scripted = scripted_answer::address},
    {.code = opcode::shutdown, .name = "shutdown", .fields = operation_fields::shutdown,
     .call = &call_shutdown},
    {.code = opcode::receive_now, .name = "receive_now", .fields = operation_fields::transfer,
     .memory = operation_memory::filled, .readiness = POLLIN, .call = &call_receive_now,
     .scripted = scripted_answer::would_wait},
    {.code = opcode::splice, .name = "splice", .fields = operation_fields::splice,
     .call = &call_splice, .scripted = scripted_answer::would_wait},
    {.code = opcode::close, .name = "close", .call = &call_close},
};
// clang-format on

constexpr const opcode_row& row_of(opcode code) noexcept {
  return opcode_table[static_cast<std::size_t>(code)];
}

/// Whether the operation fills buffers that the engine lends.
constexpr bool fills_lent_buffer(opcode code) noexcept {
  return row_of(code).fields == operation_fields::receive;
}

// The opcodes that may be started come first, so that one comparison identifies them. Their number
// is not counted here, because g++ 12 with -fsanitize=undefined does not take the comparison of a
// function with null for a constant (GCC bug 71962): opcode_table_test.cpp counts them.
inline constexpr std::size_t startable_count = static_cast<std::size_t>(opcode::poll) + 1;

constexpr bool is_in_order() noexcept {
  for (std::size_t i = 0; i < std::size(opcode_table); ++i) {
    if (static_cast<std::size_t>(opcode_table[i].code) != i) return false;
  }
  return true;
}
static_assert(std::size(opcode_table) == static_cast<std::size_t>(opcode::close) + 1 &&
                  is_in_order(),
              "each opcode has its row, in the order of the enumeration");

/// Aborts with the broken rule.
[[noreturn, gnu::cold]] void refuse_start(opcode code) noexcept;
[[noreturn, gnu::cold]] void refuse_call(opcode code) noexcept;

/// engine::start() calls this first, so row_of() has a row for every operation in flight.
inline void check_start(opcode code) noexcept {
  if (static_cast<std::size_t>(code) >= startable_count) [[unlikely]]
    refuse_start(code);
}

/// For engine::call().
inline std::int32_t make_call(extend::operation& op) noexcept {
  const opcode_row* const row = find_row(op.code);
  if (row == nullptr || !row->may_call()) [[unlikely]]
    refuse_call(op.code);
  return row->call(op);
}

}  // namespace ringlet::detail
