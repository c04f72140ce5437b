// descriptor: an open file descriptor, and the reads and writes in flight on it.
//
// A descriptor is a closable: see there for its life cycle. Closing it ends the calls in flight
// with errc::closed.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/buffer.hpp>
#include <ringlet/detail/closable.hpp>
#include <ringlet/detail/frame_pool.hpp>
#include <ringlet/detail/retry.hpp>
#include <ringlet/extend/buffer_queue.hpp>
#include <ringlet/extend/operation_wait.hpp>
#include <ringlet/extend/scheduler.hpp>
#include <ringlet/extend/traffic_watch.hpp>

#include <sys/socket.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <system_error>
#include <utility>

namespace ringlet::extend {

/// A call that reads from a descriptor and may wait for bytes to arrive.
class arrival_waiter {
 public:
  /// Something has arrived, or the request has ended without data. Called once per await_arrival().
  virtual void on_arrival() noexcept = 0;
  /// The descriptor is being closed: ends the current wait of the call's fiber.
  virtual void on_close() noexcept = 0;

 protected:
  ~arrival_waiter() = default;
};

/// The state behind a stream. Thread: its scheduler's.
///
/// The descriptor is itself the operation that receives, into buffers of the engine. The operation
/// is multishot while the peer waits for answers, so one request serves many calls. Bytes that
/// arrive between two calls are kept for the next call.
///
/// If the peer sends in bulk, each request asks for only a few buffers: a multishot request would
/// fill up to 33 at once while other connections wait. One full buffer indicates bulk. It takes 16
/// smaller buffers to end it, because the socket runs empty now and then during bulk, too. A socket
/// that is neither IPv4 nor IPv6 gets one request per call: on a Unix stream that was shut down, a
/// multishot request may never report the end (seen with Linux 6.18).
class descriptor final : public detail::closable {
 public:
  enum class kind : std::uint8_t {
    /// A socket that only ringlet owns: shut down first, so that the peer notices immediately.
    connection,
    /// Closed but never shut down, because other processes may also use it.
    shared,
    /// Owned elsewhere: never closed.
    borrowed,
  };

  struct releaser {
    void operator()(descriptor* released) const noexcept { released->release(); }
  };
  using owner = std::unique_ptr<descriptor, releaser>;

  /// The address family of the socket, from SO_DOMAIN: all that matters is whether it is IPv4 or
  /// IPv6.
  enum class family : std::uint8_t { unknown, internet, other };

  /// Takes ownership of `fd` on the scheduler of this thread. If the family is unknown, the first
  /// receive request looks it up. Throws std::bad_alloc; `fd` then stays open.
  static owner make(int fd, kind what, family of = family::unknown);

  /// The same for a UDP socket. Each datagram arrives in a buffer of its own, in the layout of
  /// datagram_header. `form`: see there; it must live as long as the descriptor.
  static owner make_for_datagrams(int fd, const msghdr& form);

  static void* operator new(std::size_t size) { return detail::frames.allocate(size); }
  static void operator delete(void* memory, std::size_t size) noexcept {
    detail::frames.deallocate(memory, size);
  }

  /// Whether it is a socket that only ringlet owns.
  bool is_connection() const noexcept { return kind_ == kind::connection; }
  /// For dump(): "from 127.0.0.1:4711 (fd 7), 12 bytes in, 0 out, round trip 45 us, 0 retransmits"
  /// for a connected socket ("to" for writes), otherwise "fd 7".
  void describe(direction which, std::string& out) const;
  /// The number of bytes read or written so far.
  std::uint64_t& count(direction which) noexcept { return counts_[index(which)]; }
  /// Called when bytes were counted in a call that continues.
  void note_progress(direction which) noexcept {
    if (is_watched_) [[unlikely]]
      watch().on_progress(which);
  }
  /// Tells `watch` from now on what the calls do; null ends that. The watch must outlive the
  /// descriptor, or end it, unless on_gone() has been called. Precondition: not a UDP socket.
  void set_watch(traffic_watch* watch) noexcept {
    RINGLET_ASSERT(code == opcode::receive, "a watch was set on a UDP socket");
    data = watch;
    is_watched_ = watch != nullptr;
  }
  /// Whether an earlier call in that direction was cut short.
  bool is_partial(direction which) const noexcept { return (partial_ >> index(which) & 1) != 0; }
  void set_partial(direction which) noexcept {
    partial_ = static_cast<std::uint8_t>(partial_ | 1U << index(which));
  }

  /// A hint: the last read emptied the socket, so the next one should wait without trying first.
  bool is_drained() const noexcept { return last_seen_ == fill::drained; }
  void set_last_seen(bool nonempty) noexcept { last_seen_ = nonempty ? fill::more : fill::drained; }

  /// Whether there are received bytes, an end of stream or an error that no call has taken yet.
  bool has_arrived() const noexcept { return !arrived_.empty() || end_arrived_; }
  /// If the end of the stream or an error is next, takes it: sets `result` to 0 or the negated
  /// errno, and returns true.
  bool take_end(std::int32_t& result) noexcept;
  /// Keeps an error for the next call. For a read that received the error but could not report it
  /// because its fiber was cancelled: the kernel reports an error only once.
  void keep_error(std::int32_t error) noexcept;
  /// Takes the oldest buffer, if any: sets its number and the number of bytes in it.
  bool take_buffer(std::int32_t& id, std::int32_t& size) noexcept;
  /// The pool of those buffers. Precondition: the scheduler has not ended.
  buffer_pool& buffers() const noexcept { return scheduler_->engine().buffers(); }
  /// Copies the oldest bytes to the front of `memory`. Returns their number.
  std::size_t copy_arrived(std::span<std::byte> memory) noexcept {
    return arrived_.empty() ? 0 : arrived_.copy_to(memory, scheduler_->engine().buffers());
  }
  /// Whether a receive request is in flight.
  bool is_receiving() const noexcept { return operation::in_flight(); }
  /// Whether the last request ended because all buffers of the engine were in use.
  bool found_no_buffer() const noexcept {
    return !is_receiving() && answer == -ENOBUFS && !closing_;
  }
  /// Precondition: found_no_buffer(). Receives into private memory of the pool, without waiting.
  /// False if there is nothing to receive. Otherwise either `memory` holds `size` bytes (of a
  /// datagram, in that layout), or it is null and `size` is 0 (end of stream) or a negated errno.
  bool receive_privately(std::byte*& memory, std::int32_t& size) noexcept;
  /// Notifies the reading call of the next arrival; starts a request if there is none.
  void await_arrival() noexcept;
  /// Undoes await_arrival() if `waiter` is the call that reads. The request continues, and its
  /// bytes are kept for the next call.
  void stop_awaiting(const arrival_waiter& waiter) noexcept {
    if (reader_ == &waiter) is_awaited_ = false;
  }
  bool is_awaited_by(const arrival_waiter& waiter) const noexcept {
    return is_awaited_ && reader_ == &waiter;
  }
  /// Precondition: found_no_buffer(). Whether there is something to receive.
  bool has_something_to_receive() noexcept;
  /// Cancels the request. The waiter is notified when it has ended, unless something arrives first.
  void cancel_receiving() noexcept { scheduler_->engine().cancel(*this); }

  /// Makes a call that the kernel answers immediately. `op` is complete except for its descriptor.
  /// Returns the result, or -EBADF if this descriptor is closed.
  std::int32_t call(operation& op) const noexcept;

  /// Closes with a reset, without waiting. Turns a close in progress into a reset.
  void abort() noexcept;
  /// Whether closing skips the shutdown. With SO_LINGER and timeout 0, the FIN of a shutdown would
  /// tell the peer of a regular end before the reset.
  void set_reset_on_close(bool on) noexcept { kind_ = on ? kind::shared : kind::connection; }
  /// Releases the descriptor number without closing it. Aborts if anything is in flight, including
  /// the request of an earlier receive(), or if received bytes have not been taken.
  int release_fd() noexcept;

  /// Called when a read begins, when a write of the fiber `writer` begins, and when either ends.
  void enter(arrival_waiter& reader) noexcept;
  void enter(context& writer) noexcept;
  template <direction Which>
  void leave() noexcept;

 private:
  // At most this many received buffers may wait to be taken; one more cancels the request. The
  // kernel may deliver more before it sees the cancellation: up to 33 in each of the two passes of
  // a turn.
  static constexpr std::size_t arrived_max = 4;
  // Datagrams are small, and cost more to receive: what two passes of a turn deliver.
  static constexpr std::size_t datagrams_max = 66;
  static constexpr std::uint8_t bulk_ends_after = 16;

  /// What the last read told about the socket: emptied, or more to read.
  enum class fill : std::uint8_t { unknown, drained, more };

  descriptor(extend::scheduler& scheduler, int fd, kind what, family of) noexcept;
  ~descriptor() override;

  static constexpr std::size_t index(direction which) noexcept {
    return static_cast<std::size_t>(which);
  }
  inline void check_thread() const noexcept;
  [[noreturn, gnu::cold]] void refuse_thread() const noexcept;
  bool has_callers() const noexcept { return reader_ != nullptr || writer_ != nullptr; }
  static void on_received(operation& op, const completion& done) noexcept;
  static void on_datagram(operation& op, const completion& done) noexcept;
  /// Keeps the buffer of a completion for the next call. False if it has none, or none with bytes
  /// that a call could still take.
  bool keep_buffer(const completion& done) noexcept;
  /// Keeps the end of the stream, or an error, for the next call.
  void note_end(const completion& done) noexcept;
  std::int32_t receive_now_into(std::byte* memory) noexcept;
  void describe_traffic(std::string& out) const;
  bool has_too_much(std::size_t most) const noexcept;
  bool is_internet() noexcept {
    if (family_ == family::unknown) [[unlikely]]
      find_family();
    return family_ == family::internet;
  }
  void find_family() noexcept;
  void on_left(direction which) noexcept;
  // A stream receives into buffers of the engine: its request leaves `data` free.
  traffic_watch& watch() const noexcept { return *static_cast<traffic_watch*>(data); }
  void end_watch() noexcept {
    if (std::exchange(is_watched_, false)) watch().on_gone();
  }
  /// Called when `size` bytes have arrived in one buffer.
  void note_arrival(std::uint32_t size) noexcept {
    if (size == buffers().size()) [[unlikely]] {
      if (bulk_left_ == 0) buffers().join_bulk();
      bulk_left_ = bulk_ends_after;
    } else if (bulk_left_ != 0) {
      if (--bulk_left_ == 0) buffers().leave_bulk();
    }
  }
  void end_bulk() noexcept {
    if (scheduler_ != nullptr && bulk_left_ != 0) buffers().leave_bulk();
    bulk_left_ = 0;
  }
  bool is_limited() const noexcept { return receive.limit != 0; }
  const char* thread_rule() const noexcept override;
  bool owns_number() const noexcept override { return kind_ != kind::borrowed; }
  bool is_idle() const noexcept override { return !has_callers() && !is_receiving(); }
  void begin_close() noexcept override;
  void drop_untaken() noexcept override;
  void on_shutdown() noexcept override;

  // In the order that takes the least memory.
  kind kind_;
  bool end_arrived_ = false;  // the end of the stream or an error, in `answer`
  std::uint8_t partial_ = 0;  // a bit for each direction
  bool is_watched_ = false;
  fill last_seen_ = fill::unknown;
  family family_;
  buffer_queue arrived_;
  std::uint8_t bulk_left_ = 0;        // smaller buffers left until bulk ends
  bool is_awaited_ = false;           // by reader_
  arrival_waiter* reader_ = nullptr;  // the call that reads
  context* writer_ = nullptr;         // the fiber whose call writes
  std::uint64_t counts_[2] = {};
};

/// Access to the descriptor of a stream, for readers and for waits that make streams. Stream
/// classes declare it a friend.
struct descriptor_access {
  template <class Stream>
  static auto of(const Stream& stream) noexcept -> decltype(stream.checked()) {
    return stream.checked();
  }
  template <class Stream>
  static Stream make(descriptor::owner made) noexcept {
    return Stream(std::move(made));
  }
};

inline void descriptor::enter(arrival_waiter& reader) noexcept {
  check_thread();
  RINGLET_ASSERT(reader_ == nullptr,
                 "a second read was begun while one was in flight on the same stream");
  reader_ = &reader;
  if (is_watched_) [[unlikely]]
    watch().on_begin(direction::read);
}

inline void descriptor::enter(context& writer) noexcept {
  check_thread();
  RINGLET_ASSERT(writer_ == nullptr,
                 "a second write was begun while one was in flight on the same stream");
  writer_ = &writer;
  if (is_watched_) [[unlikely]]
    watch().on_begin(direction::write);
}

inline void descriptor::check_thread() const noexcept {
  // Both are null if the stream's scheduler has ended and this thread runs none. In a child of
  // fork() only the thread's is null, although it may still be inside a fiber of the parent.
  if (scheduler_ == current_scheduler_or_null() && scheduler_ != nullptr) [[likely]]
    return;
  refuse_thread();
}

template <direction Which>
void descriptor::leave() noexcept {
  if constexpr (Which == direction::read) {
    reader_ = nullptr;
  } else {
    writer_ = nullptr;
  }
  if (is_watched_ || closing_) [[unlikely]]
    on_left(Which);
}

inline void descriptor::await_arrival() noexcept {
  is_awaited_ = true;
  if (is_receiving()) return;
  if (bulk_left_ == 0) [[likely]] {
    receive.limit = 0;
    multishot = last_seen_ != fill::more && is_internet();
  } else {
    receive.limit = buffers().bulk_share() * buffers().size();
    multishot = is_limited() && is_internet();
  }
  poll_first = is_drained();
  scheduler_->engine().start(*this);
}

}  // namespace ringlet::extend
