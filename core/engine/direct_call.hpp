// Operations that the kernel answers immediately, as plain system calls: one function per opcode,
// for opcode_table.hpp. Each returns a value >= 0 or a negated errno.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/opcode_row.hpp>

namespace ringlet::detail {

call_function call_connect, call_send_message, call_receive_message, call_poll, call_socket,
    call_socketpair, call_pipe, call_bind, call_listen, call_setsockopt, call_getsockopt,
    call_getsockname, call_getpeername, call_shutdown, call_receive_now, call_splice, call_close;

}  // namespace ringlet::detail
