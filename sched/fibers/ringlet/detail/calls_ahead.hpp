// The calls that an imap() has made before its reader asked for them.
//
// Each is in the list of all, in the order of the items, and from its end on in that of those which
// have ended, in the order of their ends: so the next one is found in the same time however many
// there are. The memory of a call is from the frame pool.
#pragma once

#include <ringlet/extend/intrusive_list.hpp>
#include <ringlet/extend/wait.hpp>
#include <ringlet/fiber.hpp>
#include <ringlet/result.hpp>
#include <ringlet/time_limit.hpp>

#include <coroutine>
#include <cstddef>
#include <memory>
#include <string>

namespace ringlet::detail {

/// Thread: that of its scheduler.
class calls_ahead {
 public:
  /// Whether they are read in the order of the items, or of their ends.
  explicit calls_ahead(bool in_order) noexcept : in_order_(in_order) {}
  calls_ahead(const calls_ahead&) = delete;
  calls_ahead& operator=(const calls_ahead&) = delete;
  /// Kills those that have not ended.
  ~calls_ahead();

  std::size_t size() const noexcept { return size_; }
  bool empty() const noexcept { return size_ == 0; }

  /// Adds what `spawn` returns, a fiber<T>. What may fail comes before the call.
  template <class Spawn>
  void add(Spawn spawn) {
    call_owner added = make_call();
    const auto made = spawn();
    keep(std::move(added), made.state());
  }

  class next_wait;
  /// Waits until there is one to be read. There must be calls.
  next_wait next() noexcept;
  /// Takes it out, after next().
  template <class T>
  fiber<T> pop() noexcept {
    return fiber<T>(static_cast<fiber_state<T>&>(take_out()));
  }

 private:
  struct call;
  struct call_deleter {
    void operator()(call* deleted) const noexcept;
  };
  using call_owner = std::unique_ptr<call, call_deleter>;

  static call_owner make_call();
  void keep(call_owner added, extend::fiber_base& fiber) noexcept;
  void on_ended(call& ended) noexcept;
  call* next_ended() noexcept;
  extend::fiber_base& take_out() noexcept;

  extend::intrusive_list<call, calls_ahead> all_;
  extend::intrusive_list<extend::done_watcher> ended_;
  next_wait* reader_ = nullptr;
  std::size_t size_ = 0;
  bool in_order_;
};

/// See calls_ahead::next().
class [[nodiscard]] calls_ahead::next_wait : public extend::wait_base {
 public:
  explicit next_wait(calls_ahead& of) noexcept : extend::wait_base(forever), of_(&of) {}

  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> caller) noexcept {
    return begin(caller.promise());
  }
  result<void> take() {
    rethrow_interruption();
    return {};
  }
  void await_resume() { rethrow_interruption(); }

  void on_cancel(extend::cancel_reason reason) noexcept;
  void describe(std::string& out) const;

 private:
  friend class calls_ahead;
  bool begin(extend::frame_record& at) noexcept;
  static const extend::wait_type type;

  calls_ahead* of_;
};

inline calls_ahead::next_wait calls_ahead::next() noexcept { return next_wait(*this); }

}  // namespace ringlet::detail
