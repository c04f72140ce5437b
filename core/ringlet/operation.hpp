// One request to the kernel, described as data, from its start to its final completion.
//
//   idle -> queued -> in_kernel -> done
//
//   1. From queued until done it neither moves nor dies. Done means that its final completion has
//      been dispatched.
//   2. Every start is answered by exactly one final completion (`more` is false).
//   3. A cancellation is a request of its own: it hastens the final completion and never replaces
//      it. Until then the memory that the operation names is the kernel's.
//   4. Success wins: an operation that had completed when it was cancelled delivers its result.
//
// Rule 3 is why a read that timed out keeps its coroutine suspended a moment longer: returning at
// once would let the caller free memory that the kernel is about to fill.
#pragma once

#include <ringlet/assert.hpp>
#include <ringlet/intrusive_list.hpp>

#include <cstdint>

namespace ringlet {

class operation;

/// What an operation asks for, named after its system call.
enum class opcode : std::uint8_t {
  // In flight until completed: engine::start().
  nop,
  accept,        // of a listener; multishot: one completion a connection
  connect,       // data, length: the peer
  receive,       // recv(2) into a buffer that the engine lends; multishot: one each completion,
                 // and with a length, the one that brings the total to it is the last
  recv,          // recv(2) into data, length
  send,          // send(2) of data, length
  send_message,  // sendmsg(2) of the msghdr at data
  read,          // read(2) at the current position
  write,         // write(2) at the current position
  poll,          // flags: POLLIN and the like; multishot; by call(): what is so now, or -EAGAIN
  // Answered at once: engine::call().
  open_socket,  // fd: family, length: type, flags: protocol
  bind,
  listen,      // length: backlog
  set_option,  // flags: level, detail: name; data, length: value
  get_option,  // the same; the value's length must fit exactly
  local_name,  // data, length: room for a sockaddr
  peer_name,
  shutdown,     // flags: SHUT_RD, SHUT_WR or SHUT_RDWR
  receive_now,  // recv(2) into data, length, if there is something
  close,
};

/// What the engine reports of an operation.
struct completion {
  /// No buffer was used.
  static constexpr std::int32_t no_buffer = -1;

  operation* request = nullptr;
  /// A count or descriptor >= 0, or a negated errno.
  std::int32_t result = 0;
  /// The lent buffer that holds the data, or no_buffer. Also to be looked at when result <= 0.
  std::int32_t buffer = no_buffer;
  /// The operation lives on and will complete again. Never inferred from anything else.
  bool more = false;
  /// A hint: the socket had more data when this was read.
  bool nonempty = false;
};

/// A request; rules at the head of this file. Starting one allocates nothing.
class operation : public list_hook<> {
 public:
  enum class state : std::uint8_t { idle, queued, in_kernel, done };

  /// Called once per completion, on the engine's thread, outside the engine: it may start
  /// operations and wake contexts.
  using handler = void (*)(operation&, const completion&) noexcept;

  operation(opcode kind, handler completed) noexcept : on_completion(completed), code(kind) {}
  operation(const operation&) = delete;
  operation& operator=(const operation&) = delete;
  ~operation() {
    RINGLET_ASSERT(!in_flight(), "an operation was destroyed while it was in flight");
  }

  bool in_flight() const noexcept { return state_ == state::queued || state_ == state::in_kernel; }
  state current_state() const noexcept { return state_; }
  bool cancel_requested() const noexcept { return cancel_requested_; }

  handler on_completion;
  void* data = nullptr;
  std::uint32_t length = 0;
  std::int32_t flags = 0;
  std::int32_t fd = -1;
  /// The answer: a count or descriptor >= 0, or a negated errno.
  std::int32_t answer = 0;
  std::uint16_t detail = 0;
  opcode code;
  /// accept, receive, poll: complete repeatedly until cancelled or failed.
  bool multishot = false;
  /// receive, recv: do not try before the socket is readable (a hint that saves a futile try).
  bool poll_first = false;

 private:
  friend class engine;
  state state_ = state::idle;
  bool cancel_requested_ = false;
};

// The engine reads all of it once at the start and writes it once at the end.
static_assert(sizeof(operation) <= 64, "an operation fits a cache line");

}  // namespace ringlet
