// The waits of memory_stream, and the bytes between its two ends.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/buffer.hpp>
#include <ringlet/extend/scheduler.hpp>
#include <ringlet/extend/wait.hpp>
#include <ringlet/result.hpp>

#include <array>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <system_error>

namespace ringlet {

class memory_stream;

}  // namespace ringlet

namespace ringlet::extend {

/// The two sides of one direction of bytes.
enum class pipe_side : std::uint8_t { reader, writer };

/// One direction: a ring of bytes, and the calls that wait at its two sides. It is destroyed when
/// both ends and all calls have released it.
class memory_pipe {
 public:
  /// A call that waits.
  class waiter {
   public:
    /// The other side has done something.
    virtual void on_change() noexcept = 0;
    /// The program closes this side: ends the wait.
    virtual void on_close() noexcept = 0;

   protected:
    ~waiter() = default;
  };
  /// How far a side is. An aborted side also tells the other one that bytes are lost.
  enum class life : std::uint8_t { open, ended, closed, aborted };

  /// Throws std::bad_alloc.
  memory_pipe(scheduler& owner, std::size_t capacity);

  /// Why a call on that side is refused: errc::closed or errc::partial_transfer.
  std::error_code refusal(pipe_side of) const noexcept;
  void enter(pipe_side of, waiter& call) noexcept;
  void leave(pipe_side of) noexcept;
  void set_partial(pipe_side of) noexcept { at(of).is_partial = true; }

  /// Moves as many bytes as possible; returns their number.
  std::size_t take(std::span<std::byte> memory) noexcept;
  std::size_t put(std::span<const std::byte> bytes) noexcept;
  std::size_t size() const noexcept { return size_; }
  /// Whether a read need not wait.
  bool is_readable() const noexcept {
    return size_ != 0 || at(pipe_side::writer).state != life::open;
  }
  /// What a read reports without bytes: no error for the end.
  std::error_code read_error() const noexcept;
  /// Whether a write has to give up.
  std::error_code write_error() const noexcept;

  /// Changes the life of one side, and notifies the other.
  void end(pipe_side of, life how) noexcept;
  void drop_bytes() noexcept { size_ = 0; }
  life life_of(pipe_side of) const noexcept { return at(of).state; }
  std::uint64_t count(pipe_side of) const noexcept { return at(of).count; }
  buffer_pool& buffers() const noexcept { return scheduler_.engine().buffers(); }

  void retain() noexcept { ++users_; }
  void release() noexcept {
    if (--users_ == 0) delete this;
  }

 private:
  struct end_state {
    waiter* call = nullptr;
    std::uint64_t count = 0;
    life state = life::open;
    bool is_partial = false;
  };

  ~memory_pipe() = default;
  end_state& at(pipe_side of) noexcept { return ends_[static_cast<std::size_t>(of)]; }
  const end_state& at(pipe_side of) const noexcept { return ends_[static_cast<std::size_t>(of)]; }
  void notify(pipe_side of) noexcept {
    if (at(of).call != nullptr) at(of).call->on_change();
  }

  scheduler& scheduler_;
  std::unique_ptr<std::byte[]> bytes_;
  std::size_t capacity_;
  std::size_t first_ = 0;  // where the oldest byte is
  std::size_t size_ = 0;
  int users_ = 0;
  std::array<end_state, 2> ends_;
};

/// The base of calls that move bytes.
class memory_wait : public wait_base, private memory_pipe::waiter {
 public:
  void on_cancel(cancel_reason reason) noexcept;

 protected:
  memory_wait(memory_pipe& on, pipe_side side, const time_limit& timeout) noexcept
      : wait_base(timeout), on_(on), side_(side) {
    on_.retain();
  }
  ~memory_wait();

  bool begin(const wait_type& type, frame_record& at) noexcept;
  /// For take(): ends the call. No error if it is complete. `cut`: whether it has moved bytes that
  /// a caller which gives up would lose.
  std::error_code finish(bool cut);
  /// Moves bytes; returns whether the call is complete. If it fails, sets error_ and returns true.
  virtual bool attempt() noexcept = 0;

  memory_pipe& on_;
  std::error_code error_;

 private:
  void on_change() noexcept override;
  void on_close() noexcept override { fiber_->cancel_wait(cancel_reason::closed); }

  pipe_side side_;
  bool has_claim_ = false;
  bool is_waiting_ = false;
  bool is_complete_ = false;
};

/// See memory_stream::receive().
class [[nodiscard]] memory_receive_wait final : public memory_wait {
 public:
  memory_receive_wait(memory_pipe& from, const time_limit& timeout) noexcept
      : memory_wait(from, pipe_side::reader, timeout) {}

  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> caller) noexcept {
    return begin(type, caller.promise());
  }
  result<buffer> take();
  buffer await_resume();

 private:
  bool attempt() noexcept override;
  static const wait_type type;
  buffer got_;
};

/// See memory_stream::read_some().
class [[nodiscard]] memory_read_some_wait final : public memory_wait {
 public:
  memory_read_some_wait(memory_pipe& from, std::span<std::byte> memory,
                        const time_limit& timeout) noexcept;

  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> caller) noexcept {
    return begin(type, caller.promise());
  }
  result<std::size_t> take();
  std::size_t await_resume();

 private:
  bool attempt() noexcept override;
  static const wait_type type;
  std::span<std::byte> memory_;
  std::size_t got_ = 0;
};

/// See memory_stream::read_exact().
class [[nodiscard]] memory_read_exact_wait final : public memory_wait {
 public:
  memory_read_exact_wait(memory_pipe& from, std::span<std::byte> memory,
                         const time_limit& timeout) noexcept
      : memory_wait(from, pipe_side::reader, timeout), memory_(memory) {}

  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> caller) noexcept {
    return begin(type, caller.promise());
  }
  result<void> take();
  void await_resume();

 private:
  bool attempt() noexcept override;
  static const wait_type type;
  std::span<std::byte> memory_;
  std::size_t got_ = 0;
};

/// See memory_stream::write_all().
class [[nodiscard]] memory_write_wait final : public memory_wait {
 public:
  memory_write_wait(memory_pipe& to, std::span<const std::byte> bytes,
                    const time_limit& timeout) noexcept
      : memory_wait(to, pipe_side::writer, timeout), current_(bytes) {}
  memory_write_wait(memory_pipe& to, std::span<const std::span<const std::byte>> parts,
                    const time_limit& timeout) noexcept
      : memory_wait(to, pipe_side::writer, timeout), parts_(parts) {}

  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> caller) noexcept {
    return begin(type, caller.promise());
  }
  result<void> take();
  void await_resume();

 private:
  bool attempt() noexcept override;
  bool has_more() noexcept;
  static const wait_type type;
  std::span<const std::byte> current_;
  std::span<const std::span<const std::byte>> parts_;  // after the current one
  bool is_begun_ = false;
};

/// See memory_stream::readable().
class [[nodiscard]] memory_readable_wait final : public two_phase_wait,
                                                 private memory_pipe::waiter {
 public:
  memory_readable_wait(memory_pipe& from, const time_limit& timeout) noexcept
      : two_phase_wait(timeout), on_(from) {
    on_.retain();
  }
  ~memory_readable_wait();

  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> caller) noexcept {
    return begin_alone(*this, caller.promise());
  }
  result<bool> take();
  bool await_resume();

  bool try_now() noexcept;
  void watch() noexcept { is_watching_ = true; }
  void unwatch() noexcept { is_watching_ = false; }
  void on_cancel(cancel_reason reason) noexcept;
  static const wait_type type;

 private:
  void on_change() noexcept override;
  void on_close() noexcept override { fiber_->cancel_wait(cancel_reason::closed); }

  memory_pipe& on_;
  std::error_code refusal_;
  bool has_claim_ = false;
  bool is_watching_ = false;
};

/// See memory_stream::close(). It never suspends.
class [[nodiscard]] memory_close_wait final : public wait_base {
 public:
  explicit memory_close_wait(memory_stream& closed) noexcept
      : wait_base(forever), closed_(&closed) {}

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
  bool begin(frame_record& at) noexcept;
  memory_stream* closed_;
};

}  // namespace ringlet::extend
