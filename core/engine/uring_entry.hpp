// Fills submission queue entries: one function per kind of request. See io_uring_enter(2).
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/opcode_row.hpp>
#include <ringlet/extend/operation.hpp>

#include <cstdint>

namespace ringlet::detail {

/// The only group of provided buffers of a ring.
inline constexpr std::uint16_t buffer_group = 0;

/// The kind of a completion, in the lowest bits of its user_data. The other bits are the address of
/// an operation, which is aligned to 8 bytes.
namespace tag {

inline constexpr std::uint64_t mask = 7;
inline constexpr std::uint64_t operation = 0;
inline constexpr std::uint64_t cancel = 1;
inline constexpr std::uint64_t wakeup = 2;
inline constexpr std::uint64_t ignored = 3;

}  // namespace tag

static_assert(alignof(extend::operation) > tag::mask,
              "the tag needs the lowest bits of an operation's address");

// One for each opcode that may be started, for opcode_table.hpp.
fill_function fill_nop, fill_accept, fill_connect, fill_receive, fill_recv, fill_send,
    fill_send_message, fill_receive_message, fill_receive_datagram, fill_read, fill_write,
    fill_poll;

/// Completes only if it fails; if it succeeds, only the target completes.
void fill_cancel(io_uring_sqe& entry, const extend::operation& target) noexcept;
/// Ends everything that is in flight on the ring.
void fill_cancel_all(io_uring_sqe& entry) noexcept;
/// Reports every write to the event descriptor.
void fill_wakeup(io_uring_sqe& entry, int fd) noexcept;

}  // namespace ringlet::detail
