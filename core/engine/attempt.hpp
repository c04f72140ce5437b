// Makes the calls of operations that may have to wait, without waiting.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/opcode_row.hpp>
#include <ringlet/extend/operation.hpp>

#include <cstddef>
#include <cstdint>
#include <span>

namespace ringlet::detail {

// One function per opcode, for opcode_table.hpp. Each makes the call that `op` describes, unless it
// would wait. Returns a value >= 0, -EAGAIN if the call would wait for the descriptor, or another
// negated errno. A connect that would wait returns -EINPROGRESS.
//
// `known_to_poll` means that poll(2) is reliable for the descriptor; for regular files it is not.
// Without it, a read or write returns -EAGAIN untried if the kernel has no non-waiting form of it
// for the descriptor.
attempt_function attempt_accept, attempt_connect, attempt_recv, attempt_send, attempt_send_message,
    attempt_receive_message, attempt_read, attempt_write, attempt_poll;

/// Sets O_NONBLOCK on a listener, so that calls on it return EAGAIN instead of waiting, in every
/// process that shares it. Returns 0 or a negated errno. Needed before an accept, because
/// accept4(2) has no flag for that.
std::int32_t stop_waiting(int listener) noexcept;

/// Receives a datagram into a buffer, in the layout of datagram_header. Returns what that
/// documents, -EAGAIN, or another negated errno.
std::int32_t receive_datagram_into(const extend::operation& op,
                                   std::span<std::byte> memory) noexcept;

/// Makes the call of a read or write, and waits for it.
std::int32_t read_or_write(const extend::operation& op) noexcept;

}  // namespace ringlet::detail
