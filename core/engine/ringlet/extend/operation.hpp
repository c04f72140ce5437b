// One request to the kernel, described as data, from its start to its final completion.
//
//   idle -> queued -> in_kernel -> done
//
//   1. From queued until done, an operation is neither moved nor destroyed. Done means that its
//   final completion has been dispatched.
//   2. Every start is answered by exactly one final completion (`more` is false).
//   3. A cancellation is a separate request: it hastens the final completion and never replaces it.
//      Until then the memory that the operation names belongs to the kernel.
//   4. Success wins: an operation that had completed when it was cancelled delivers its result.
//
// Because of rule 3, a read that timed out keeps its coroutine suspended a moment longer: returning
// immediately would let the caller free memory that the kernel may still fill.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/extend/assert.hpp>
#include <ringlet/extend/intrusive_list.hpp>

#include <cstdint>

namespace ringlet::extend {

class operation;

/// What an operation asks for: the system call of the same name, or the one in the comment. The
/// comments in `operation` list the fields it uses besides `fd`. Each opcode has one row in
/// opcode_table.hpp, which says how the engines perform it.
enum class opcode : std::uint8_t {
  // In flight until completed: engine::start().
  nop,
  accept,            // multishot: one completion per connection
  connect,           // by engine::call(): one try, for sockets that never wait or have O_NONBLOCK
  receive,           // recv(2) into a buffer that the engine lends; multishot: one per completion
  receive_datagram,  // recvmsg(2) into such a buffer, behind a datagram_header; always multishot
  recv,
  send,
  send_message,     // sendmsg(2); by engine::call(): what can be sent now, or -EAGAIN
  receive_message,  // recvmsg(2), likewise; the answer and the msghdr say what arrived
  read,
  write,
  poll,  // multishot; by engine::call(): what is ready now, or -EAGAIN
  // Answered immediately: engine::call().
  open_socket,       // socket(2)
  open_socket_pair,  // socketpair(2)
  open_pipe,         // pipe2(2)
  bind,
  listen,
  set_option,  // setsockopt(2)
  get_option,  // getsockopt(2); the value's length must fit exactly
  local_name,  // getsockname(2); `length` becomes the size of the name, which may not have fitted
  peer_name,   // getpeername(2), likewise
  shutdown,
  receive_now,  // recv(2) of what is there, or -EAGAIN
  splice,       // splice(2) between a socket and a pipe: what can be moved now, or -EAGAIN
  close,        // stays the last
};

/// What the engine reports about an operation.
struct completion {
  /// No buffer was used.
  static constexpr std::int32_t no_buffer = -1;

  operation* request = nullptr;
  /// A count or descriptor >= 0, or a negated errno.
  std::int32_t result = 0;
  /// The lent buffer that holds the data, or no_buffer. Check it also if result <= 0.
  std::int32_t buffer = no_buffer;
  /// The operation stays in flight and will complete again. Never inferred from anything else.
  bool more = false;
  /// A hint: the socket had more data when this was read.
  bool nonempty = false;
};

/// A request; see the rules at the head of this file. Starting one does not allocate.
class operation : public list_hook<> {
 public:
  enum class state : std::uint8_t { idle, queued, in_kernel, done };

  /// Called once per completion, on the engine's thread, outside the engine: it may start
  /// operations and wake contexts.
  using handler = void (*)(operation&, const completion&) noexcept;

  /// The offset that means the descriptor's own position, as for read(2) and write(2).
  static constexpr std::uint64_t current_position = ~std::uint64_t{0};

  struct transfer_fields {
    std::int32_t flags;  // MSG_PEEK and the like
  };
  struct receive_fields {
    std::uint32_t limit;         // multishot: ends after that many bytes; 0: no limit
    std::uint16_t flags;         // flags of recv(2) that fit
    std::uint16_t buffer_group;  // a group of the engine's buffers; only 0 exists
  };
  struct file_fields {
    std::uint64_t offset;  // of the first byte in a file, or current_position
  };
  struct poll_fields {
    std::int32_t events;  // POLLIN and the like
  };
  struct socket_fields {
    std::int16_t family;
    std::int16_t type;
    std::int32_t protocol;
  };
  struct pipe_fields {
    std::int32_t size;  // how many bytes it should hold, if the system allows that; 0: its default
  };
  struct listen_fields {
    std::int32_t backlog;
  };
  struct option_fields {
    std::int32_t level;
    std::int32_t name;
  };
  struct shutdown_fields {
    std::int32_t how;  // SHUT_RD, SHUT_WR or SHUT_RDWR
  };
  struct splice_fields {
    std::int32_t pipe;  // the end of a pipe; `fd` is the socket, and `length` the most to move
    bool fills_pipe;    // whether bytes move from the socket to the pipe
  };

  operation(opcode kind, handler completed) noexcept : on_completion(completed) { become(kind); }
  operation(const operation&) = delete;
  operation& operator=(const operation&) = delete;
  ~operation() {
    RINGLET_ASSERT(!in_flight(), "an operation was destroyed while it was in flight");
  }

  /// Changes the opcode. The fields of the new kind start as zero or current_position; fields that
  /// all kinds share keep their values. Precondition: not in flight.
  void become(opcode kind) noexcept {
    code = kind;
    file.offset = kind == opcode::read || kind == opcode::write ? current_position : 0;
  }

  bool in_flight() const noexcept { return (life_ & is_in_flight) != 0; }
  state current_state() const noexcept {
    if (!in_flight()) return (life_ & was_started) == 0 ? state::idle : state::done;
    return (life_ & is_in_kernel) == 0 ? state::queued : state::in_kernel;
  }
  bool cancel_requested() const noexcept { return (life_ & is_cancelled) != 0; }

  handler on_completion;
  /// The memory that the call reads or fills: bytes (recv, receive_now, send, read, write), an
  /// address (connect, bind, local_name, peer_name), the value of an option, the two descriptors of
  /// open_socket_pair and open_pipe, the msghdr of send_message and receive_message, or the form of
  /// receive_datagram (see datagram_header.hpp). A receive leaves it to its owner. It is not
  /// part of the union, so that a read can turn into a poll and back.
  void* data = nullptr;
  /// Fields that only some opcodes use.
  union {
    transfer_fields transfer;  // recv, receive_now, send, send_message, receive_message
    receive_fields receive;    // receive, receive_datagram (without the limit)
    file_fields file;          // read, write
    poll_fields poll;          // poll
    socket_fields socket;      // open_socket, open_socket_pair
    pipe_fields pipe;          // open_pipe
    listen_fields listen;      // listen
    option_fields option;      // set_option, get_option
    shutdown_fields shutdown;  // shutdown
    splice_fields splice;      // splice
  };
  /// The size of that memory in bytes.
  std::uint32_t length = 0;
  std::int32_t fd = -1;
  /// The answer: a count or descriptor >= 0, or a negated errno.
  std::int32_t answer = 0;
  /// Changed by become().
  opcode code;
  /// accept, receive, receive_datagram, poll: complete repeatedly until cancelled or failed.
  bool multishot = false;
  /// receive, receive_datagram, recv, receive_message: do not try before the socket is readable. A
  /// hint: it saves a futile try.
  bool poll_first = false;

 private:
  friend class engine;
  // The state and whether it was cancelled, as bits, so that each step is one instruction.
  static constexpr std::uint8_t is_in_flight = 1;
  static constexpr std::uint8_t was_started = 2;
  static constexpr std::uint8_t is_in_kernel = 4;
  static constexpr std::uint8_t is_cancelled = 8;
  std::uint8_t life_ = 0;
};

// The engine reads all of it once at the start and writes it once at the end. Each connection has
// one, and coroutine frames have one for each call that waits.
static_assert(sizeof(operation) <= 56, "an operation is less than a cache line");

}  // namespace ringlet::extend
