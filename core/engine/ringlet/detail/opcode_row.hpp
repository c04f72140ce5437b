// What is known about an opcode: one row of the table in opcode_table.hpp.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/extend/operation.hpp>

#include <cstdint>

struct io_uring_sqe;

namespace ringlet::extend {

struct uring_features;

}  // namespace ringlet::extend

namespace ringlet::detail {

/// Which member of the operation's union an opcode uses.
enum class operation_fields : std::uint8_t {
  none,
  transfer,
  receive,
  file,
  poll,
  socket,
  pipe,
  listen,
  option,
  shutdown,
  splice,
};

/// What `data` and `length` of an operation refer to.
enum class operation_memory : std::uint8_t {
  none,
  given,    // the kernel reads it
  filled,   // the kernel writes it
  message,  // a msghdr, and the memory it refers to, which the kernel reads or writes
};

/// What the scripted engine of the tests answers by default.
enum class scripted_answer : std::uint8_t {
  success,
  would_wait,
  descriptor,   // a new number
  descriptors,  // two new numbers, in the operation's memory
  address,      // of the loopback interface
  family,       // of an internet socket, if that is the option; else zero
};

// The types of the functions in a row.
using fill_function = void(io_uring_sqe& entry, const extend::operation& op,
                           const extend::uring_features& features) noexcept;
using attempt_function = std::int32_t(extend::operation& op, bool known_to_poll) noexcept;
using call_function = std::int32_t(extend::operation& op) noexcept;

struct opcode_row {
  extend::opcode code;
  const char* name;
  operation_fields fields = operation_fields::none;
  operation_memory memory = operation_memory::none;
  /// Whether the opcode uses operation::multishot and poll_first.
  bool multishot = false;
  bool poll_first = false;

  /// The uring engine: fills the submission queue entry. Null for an opcode that is answered
  /// immediately, which must not be started.
  fill_function* fill = nullptr;
  /// The epoll engine: makes the call unless it would wait (attempt.hpp), and what to wait for:
  /// POLLIN, POLLOUT. Null for nop and for what fills lent buffers: the engine performs those
  /// itself.
  attempt_function* attempt = nullptr;
  std::uint8_t readiness = 0;
  /// Both engines: makes a call that the kernel answers immediately (direct_call.hpp). Null if it
  /// may have to wait.
  call_function* call = nullptr;
  scripted_answer scripted = scripted_answer::success;

  constexpr bool may_start() const noexcept { return fill != nullptr; }
  constexpr bool may_call() const noexcept { return call != nullptr; }
};

/// Null if there is no such opcode.
const opcode_row* find_row(extend::opcode code) noexcept;

/// Such as "accept", for messages.
const char* name_of(extend::opcode code) noexcept;

}  // namespace ringlet::detail
