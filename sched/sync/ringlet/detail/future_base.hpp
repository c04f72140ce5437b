// future_base: what a promise and its futures share, without the value.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/affinity.hpp>
#include <ringlet/detail/waiting_count.hpp>
#include <ringlet/extend/fiber_base.hpp>
#include <ringlet/extend/intrusive_list.hpp>
#include <ringlet/extend/wait.hpp>
#include <ringlet/extend/wake_list.hpp>
#include <ringlet/outcome.hpp>

#include <atomic>
#include <cstdint>
#include <exception>
#include <memory>
#include <source_location>
#include <string>

namespace ringlet::extend {

class future_wait;

}  // namespace ringlet::extend

namespace ringlet::detail {

class future_base;

/// A function to call when a future is ready. It holds a future, and so keeps the rest alive.
class future_callback : public extend::done_watcher, public extend::list_hook<future_callback> {
 public:
  virtual ~future_callback() = default;

 protected:
  future_callback() noexcept : extend::done_watcher(&future_callback::on_turn_ended) {}
  virtual void call() = 0;
  virtual future_base& target() const noexcept = 0;

 private:
  friend class future_base;
  static void on_turn_ended(extend::done_watcher& late) noexcept;
  /// Calls it, reports what it throws, and deletes it.
  static void run(future_callback& called) noexcept;
  /// Whether it was added when the future was ready, so that the scheduler calls it.
  bool is_late() const noexcept { return extend::done_watcher::linked(); }
  void leave() noexcept;

  callback_id id_ = {};
};

class future_base {
 public:
  future_base(const future_base&) = delete;
  future_base& operator=(const future_base&) = delete;

  bool is_ready() const noexcept { return state_ != state::pending; }
  bool has_value() const noexcept { return state_ == state::value; }
  /// The exception instead of a value, or null; it then counts as handled. May allocate.
  std::exception_ptr error();
  /// Throws that exception.
  [[noreturn]] void throw_error();

  // The promise's part. False if it is ready already.

  bool try_set_error(std::exception_ptr error) noexcept;
  /// The fiber that it follows was killed.
  void set_cancelled() noexcept { settle(state::cancelled); }
  /// Nothing will come any more; does nothing if it is ready.
  void break_promise() noexcept;
  /// The fiber whose value or error it is about to have: for messages.
  void set_origin(const extend::fiber_base& ended) noexcept {
    fiber_ = ended.id();
    place_ = ended.spawned_at();
  }

  callback_id add_callback(std::unique_ptr<future_callback> added);
  bool remove_callback(callback_id id) noexcept;

  void add_reference() noexcept { references_.fetch_add(1, std::memory_order_relaxed); }
  void drop_reference() noexcept {
    if (references_.fetch_sub(1, std::memory_order_acq_rel) == 1) release();
  }

 protected:
  explicit future_base(const std::source_location& made_at) noexcept : place_(made_at) {}
  virtual ~future_base() = default;

  void check_thread() noexcept {
    owner_.check("a future was used on a thread that is not its scheduler's");
  }
  /// The value has been stored.
  void set_value() noexcept { settle(state::value); }

 private:
  friend class extend::future_wait;
  friend class future_callback;

  enum class state : std::uint8_t { pending, value, error, cancelled, broken };

  void settle(state how) noexcept;
  void release() noexcept;
  void report(std::exception_ptr error) const noexcept;
  /// "future of main.cpp:12", or "future of fiber 3".
  std::string label() const;

  std::atomic<std::uint32_t> references_ = 1;
  affinity owner_;
  state state_ = state::pending;
  std::atomic<bool> observed_ = false;
  waiting_count count_;
  std::exception_ptr error_;
  std::uint64_t fiber_ = 0;     // that it has followed; 0 for none
  std::source_location place_;  // where the promise was made, or that fiber spawned
  std::uint64_t callback_ids_ = 0;
  extend::intrusive_list<future_callback, future_callback> callbacks_;  // late ones come last
  extend::wait_list waiters_;
  extend::wake_list woken_;
};

}  // namespace ringlet::detail
