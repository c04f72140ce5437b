// The operations that may have to wait, as system calls that do not.
#pragma once

#include <ringlet/detail/opcode_row.hpp>
#include <ringlet/extend/operation.hpp>

#include <cstdint>

namespace ringlet::detail {

// One function per opcode, for opcode_table.hpp. Each makes the call that `op` describes, unless it
// would wait. Returns a value >= 0, -EAGAIN when it would wait for the descriptor, or another
// negated errno; a connect that has to wait returns -EINPROGRESS.
//
// `known_to_poll` says that poll(2) tells the truth about the descriptor, which it does not about
// regular files. Where the kernel has no read or write that does not wait, nothing is tried without
// that.
attempt_function attempt_accept, attempt_connect, attempt_recv, attempt_send, attempt_send_message,
    attempt_read, attempt_write, attempt_poll;

/// Has all calls on a listener, of all who share it, return EAGAIN instead of waiting. Returns 0 or
/// a negated errno. Needed before an accept, which alone cannot be told not to wait.
std::int32_t stop_waiting(int listener) noexcept;

/// Makes the call of a read or write, and waits for it.
std::int32_t read_or_write(const extend::operation& op) noexcept;

}  // namespace ringlet::detail
