// Fills submission queue entries: one function per kind of request. See io_uring_enter(2).
#pragma once

#include <ringlet/extend/operation.hpp>

#include <cstdint>

struct io_uring_sqe;

namespace ringlet::extend {

struct uring_features;

}  // namespace ringlet::extend

namespace ringlet::detail {

/// The one group of provided buffers that a ring has so far.
inline constexpr std::uint16_t buffer_group = 0;

}  // namespace ringlet::detail

namespace ringlet::detail::tag {

inline constexpr std::uint64_t mask = 7;
inline constexpr std::uint64_t operation = 0;
inline constexpr std::uint64_t cancel = 1;
inline constexpr std::uint64_t wakeup = 2;
inline constexpr std::uint64_t ignored = 3;

}  // namespace ringlet::detail::tag

namespace ringlet::detail {

static_assert(alignof(extend::operation) > tag::mask, "its address leaves the tag free");

// One for each opcode that may be started; opcode_table.hpp says which for which.
void fill_nop(io_uring_sqe& entry, const extend::operation& op,
              const extend::uring_features& features) noexcept;
void fill_accept(io_uring_sqe& entry, const extend::operation& op,
                 const extend::uring_features& features) noexcept;
void fill_connect(io_uring_sqe& entry, const extend::operation& op,
                  const extend::uring_features& features) noexcept;
void fill_receive(io_uring_sqe& entry, const extend::operation& op,
                  const extend::uring_features& features) noexcept;
void fill_recv(io_uring_sqe& entry, const extend::operation& op,
               const extend::uring_features& features) noexcept;
void fill_send(io_uring_sqe& entry, const extend::operation& op,
               const extend::uring_features& features) noexcept;
void fill_send_message(io_uring_sqe& entry, const extend::operation& op,
                       const extend::uring_features& features) noexcept;
void fill_read(io_uring_sqe& entry, const extend::operation& op,
               const extend::uring_features& features) noexcept;
void fill_write(io_uring_sqe& entry, const extend::operation& op,
                const extend::uring_features& features) noexcept;
void fill_poll(io_uring_sqe& entry, const extend::operation& op,
               const extend::uring_features& features) noexcept;

/// Answered only when it fails: the completion of the operation tells the rest.
void fill_cancel(io_uring_sqe& entry, const extend::operation& target) noexcept;
/// Ends everything that is in flight on the ring.
void fill_cancel_all(io_uring_sqe& entry) noexcept;
/// Reports every write to the event descriptor.
void fill_wakeup(io_uring_sqe& entry, int fd) noexcept;

}  // namespace ringlet::detail
