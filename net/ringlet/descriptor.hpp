// descriptor: an open file descriptor, and what is in flight on it.
//
// Life: open -> closing -> closed. Closing cancels what is in flight, lets it end with
// errc::closed, and only then closes the number, so that it cannot be reused while anything still
// refers to it. The object lives on the heap and outlives its owner for as long as the kernel works
// on it: a stream can be moved, closed and destroyed at any time.
#pragma once

#include <ringlet/frame_pool.hpp>
#include <ringlet/operation_wait.hpp>
#include <ringlet/scheduler.hpp>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

namespace ringlet {

class io_wait;
class close_wait;

/// The two ways that bytes flow. One wait each may be in flight.
enum class direction : std::uint8_t { read, write };

/// For streams; thread: its scheduler's.
class descriptor final : public scheduler_guest {
 public:
  enum class kind : std::uint8_t {
    /// A socket that ringlet alone owns: shut down first, so that the peer is told at once.
    connection,
    /// Closed, but never shut down: other processes may use it, too.
    shared,
    /// Somebody else's: never closed.
    borrowed,
  };

  struct releaser {
    void operator()(descriptor* released) const noexcept { released->release(); }
  };
  using owner = std::unique_ptr<descriptor, releaser>;

  /// Takes `fd`; belongs to the scheduler of this thread. Throws std::bad_alloc, fd still open.
  static owner make(int fd, kind what);

  static void* operator new(std::size_t size) { return detail::frames.allocate(size); }
  static void operator delete(void* memory, std::size_t size) noexcept {
    detail::frames.deallocate(memory, size);
  }

  /// The number, or -1 once it is closing.
  int fd() const noexcept { return closing_ ? -1 : fd_; }
  /// Bytes that have come out of it and gone into it.
  std::uint64_t& count(direction which) noexcept { return counts_[index(which)]; }
  /// Whether an earlier call in that direction was cut short.
  bool is_cut_short(direction which) const noexcept { return cut_short_[index(which)]; }
  void set_cut_short(direction which) noexcept { cut_short_[index(which)] = true; }
  /// A hint: the last receive emptied the socket, so the next one may wait at once.
  bool drained = false;

  /// An answer that comes at once; `op` is complete but for the descriptor. Returns its result, or
  /// -EBADF when closed.
  std::int32_t call(operation& op) noexcept;

  /// Cancels what is in flight, and closes when that has ended: true when it has already.
  bool close(close_wait* waiter) noexcept;
  /// Whether closing a connection leaves out the shutdown: its FIN would tell the peer of a proper
  /// end, before the reset that SO_LINGER with zero asks for.
  void set_reset_on_close(bool on) noexcept { kind_ = on ? kind::shared : kind::connection; }
  /// Gives the number away, unclosed. Aborts while something is in flight.
  int release_fd() noexcept;

  /// A wait of a fiber of `runner` begins, and ends.
  void enter(io_wait& wait, direction which, const ready_queue& runner) noexcept;
  void leave(direction which) noexcept;

 private:
  descriptor(scheduler& home, int fd, kind what) noexcept;
  ~descriptor() = default;

  static constexpr std::size_t index(direction which) noexcept {
    return static_cast<std::size_t>(which);
  }
  bool idle() const noexcept { return in_flight_[0] == nullptr && in_flight_[1] == nullptr; }
  void release() noexcept;
  void finish_close() noexcept;
  void on_shutdown() noexcept override;
  void on_scheduler_gone() noexcept override;

  scheduler* home_;
  int fd_;
  kind kind_;
  bool closing_ = false;
  bool released_ = false;
  bool cut_short_[2] = {};
  io_wait* in_flight_[2] = {};
  close_wait* closer_ = nullptr;
  std::uint64_t counts_[2] = {};
};

/// The base of waits for bytes: one per direction and descriptor.
class io_wait : public operation_wait {
 protected:
  io_wait(descriptor& on, direction which, opcode kind, handler completed, until limit) noexcept
      : operation_wait(kind, completed, limit), on_(&on), which_(which) {}

  /// For await_suspend: refuses what is closed or cut short, else starts.
  bool begin(const wait_type& type, frame_record& at) noexcept;
  /// Without an operation: for calls that have nothing to do.
  bool begin_nothing(frame_record& at) noexcept;
  /// For take(): the wait is over when it is destroyed, and then the descriptor may be, too.
  class leaving {
   public:
    explicit leaving(io_wait& wait) noexcept : wait_(wait) {}
    leaving(const leaving&) = delete;
    leaving& operator=(const leaving&) = delete;
    ~leaving() {
      if (std::exchange(wait_.entered_, false)) wait_.on_->leave(wait_.which_);
    }

   private:
    io_wait& wait_;
  };
  /// From the handler, first: true when the kernel asked to try again, and all is done about it.
  bool try_again(const completion& done) noexcept;
  /// Ends the wait.
  void finish() noexcept;
  std::error_code failure();

  descriptor* on_;
  direction which_;

 private:
  bool refuse(frame_record& at) noexcept;
  void retry(std::int32_t result) noexcept;

  errc refusal_ = {};  // why it was not begun, if it was not
  bool entered_ = false;
};

/// See tcp_stream::close().
class [[nodiscard]] close_wait : public wait_base {
 public:
  explicit close_wait(descriptor* closed) noexcept : wait_base(forever), closed_(closed) {}

  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> caller) noexcept {
    return begin(caller.promise());
  }
  result<void> take() {
    rethrow_interruption();
    return {};
  }
  void await_resume() { rethrow_interruption(); }

 private:
  friend class descriptor;
  bool begin(frame_record& at) noexcept;
  descriptor* closed_;
};

inline void descriptor::enter(io_wait& wait, direction which, const ready_queue& runner) noexcept {
  RINGLET_ASSERT(home_ != nullptr, "a stream was used after its scheduler had ended");
  RINGLET_ASSERT(home_ == &runner, "a stream was used by a fiber of another scheduler");
  RINGLET_ASSERT(which != direction::read || in_flight_[0] == nullptr,
                 "a second read was begun while one was in flight on the same stream");
  RINGLET_ASSERT(which != direction::write || in_flight_[1] == nullptr,
                 "a second write was begun while one was in flight on the same stream");
  in_flight_[index(which)] = &wait;
}

inline void descriptor::leave(direction which) noexcept {
  in_flight_[index(which)] = nullptr;
  if (closing_ && idle()) finish_close();
}

inline bool io_wait::begin(const wait_type& type, frame_record& at) noexcept {
  if (on_->fd() < 0 || on_->is_cut_short(which_)) [[unlikely]] {
    return refuse(at);
  }
  fd = on_->fd();
  if (!at.chain->interrupted()) {
    on_->enter(*this, which_, at.chain->home());
    entered_ = true;
  }
  return operation_wait::begin(type, at);
}

inline bool io_wait::try_again(const completion& done) noexcept {
  if (done.result != -EAGAIN && done.result != -EINTR && code != opcode::poll) [[likely]] {
    return false;
  }
  retry(done.result);
  return true;
}

inline void io_wait::finish() noexcept {
  // The shutdown(2) that begins a close may answer before the cancellation does: as the end of the
  // stream or a broken pipe, which are not the peer's doing.
  if (on_->fd() < 0 && answer <= 0) answer = -ECANCELED;
  operation_wait::finish();
}

}  // namespace ringlet
