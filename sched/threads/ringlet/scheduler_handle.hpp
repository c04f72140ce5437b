// scheduler_handle: a handle through which other threads reach a scheduler.
//
//     void sensor(scheduler_handle server) {  // a thread without a scheduler
//       for (;;) {
//         const int value = read_sensor();    // blocks
//         // Runs on the server's thread. A value that a full mailbox refuses is lost.
//         const post_result posted = server.post([value] { latest = value; });
//         if (posted == post_result::ended) return;
//         if (server.call(is_stopped)) return;  // waits for the answer
//       }
//     }
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/blocking_call.hpp>
#include <ringlet/detail/call_value.hpp>
#include <ringlet/detail/handle_calls.hpp>
#include <ringlet/detail/remote_call.hpp>
#include <ringlet/detail/remote_fiber_state.hpp>
#include <ringlet/extend/scheduler.hpp>
#include <ringlet/remote_fiber.hpp>
#include <ringlet/spawnable.hpp>
#include <ringlet/task.hpp>

#include <concepts>
#include <cstdint>
#include <memory>
#include <source_location>
#include <type_traits>
#include <utility>

namespace ringlet {

/// The outcome of a post. True if it was accepted: `if (!here.post(f)) ...`.
class [[nodiscard]] post_result {
 public:
  enum value : std::uint8_t {
    /// The function is in the mailbox and will run unless the scheduler ends first.
    accepted,
    /// The mailbox is full (options::posts_max): the scheduler does not keep up. Try again later,
    /// or slow down the sender.
    full,
    /// The scheduler has ended.
    ended,
  };
  constexpr post_result(value what) noexcept : what_(what) {}
  constexpr explicit operator bool() const noexcept { return what_ == accepted; }
  friend constexpr bool operator==(post_result a, post_result b) noexcept {
    return a.what_ == b.what_;
  }

 private:
  value what_;
};

/// A handle to a scheduler for other threads: plain ones, and those of other schedulers. Posted
/// functions run on the scheduler's thread, between fibers, in the order of posting. They must not
/// block; to wait for something, spawn a fiber. From a fiber, run_on() makes a call and waits for
/// its value.
///
/// As long as a handle exists, a scheduler with nothing to do waits for posts and is not
/// deadlocked. A handle may outlive the scheduler.
/// Thread    Any. One thread at a time may use a handle; copies are independent.
class scheduler_handle : public detail::handle_calls<scheduler_handle> {
 public:
  /// A handle to the scheduler of this thread; aborts outside of run().
  scheduler_handle();
  /// For other parts of the library.
  explicit scheduler_handle(std::shared_ptr<detail::handle_state> state);
  scheduler_handle(const scheduler_handle& other);
  scheduler_handle(scheduler_handle&& other) noexcept = default;
  scheduler_handle& operator=(scheduler_handle other) noexcept {
    std::swap(state_, other.state_);
    return *this;
  }
  ~scheduler_handle();

  /// Queues `f()` and wakes the scheduler if it sleeps. If the mailbox is full or the scheduler has
  /// ended, `f` is not queued, and the result tells which; a full mailbox leaves `f` unchanged. A
  /// scheduler that ends before `f` has run drops it. An exception that leaves `f` is reported like
  /// an unhandled error of a fiber. Throws std::bad_alloc.
  template <std::invocable F>
  post_result post(F&& f) const {
    static_assert(!detail::is_unawaited<std::invoke_result_t<std::decay_t<F>&>>,
                  "post() was given a function that makes a task or a wait, which would never run: "
                  "post a function that calls spawn()");
    place reserved(*this);
    if (!reserved) return reserved.refusal();
    auto work = std::make_unique<posted_function<std::decay_t<F>>>(std::forward<F>(f));
    if (!post_work(*work)) return post_result::ended;
    reserved.keep();
    [[maybe_unused]] const auto* taken = work.release();
    return post_result::accepted;
  }

  /// `spawn(f, args...)` starts a fiber on the scheduler, which calls `f(args...)`; `f` returns a
  /// task. Returns a remote_fiber. `f` and `args` are copied or moved, used and destroyed there:
  /// pass std::ref() only to what that thread may use. If a fiber of another scheduler starts it,
  /// it is one of the fibers that the main task of that scheduler waits for when it is killed; and
  /// that scheduler ends later than the new fiber. dump() shows where the call was made; with seven
  /// or more arguments, only that spawn() made it.
  ///
  /// Errors  errc::closed if the scheduler has ended; std::errc::resource_unavailable_try_again if
  /// its mailbox is full; std::bad_alloc. While one of the two schedulers ends its fibers, the new
  /// fiber is cancelled from the start, as with ringlet::spawn().
  using detail::handle_calls<scheduler_handle>::spawn;

  /// `call(f, args...)` calls `f(args...)` on the scheduler, blocks this thread until that has
  /// returned, and returns its value or rethrows its exception. If `f` returns a task, it runs as a
  /// fiber; any other function is called between fibers, and must not block. For threads without a
  /// scheduler: on others it aborts; see run_on().
  ///
  /// Errors  The exception of `f`. errc::closed if the scheduler ends, or has ended, before the
  /// call is made; errc::fiber_cancelled if the fiber was killed. A full mailbox does not refuse
  /// it.
  using detail::handle_calls<scheduler_handle>::call;

  // For other parts of the library.

  /// spawn() and call() with the place of the call.
  template <class F, class... Args>
  auto spawn_from(const std::source_location& where, F&& f, Args&&... args) const {
    using value = typename detail::call_value<
        std::invoke_result_t<std::decay_t<F>, std::decay_t<Args>...>>::type;
    using state = detail::remote_spawn<value, std::decay_t<F>, std::decay_t<Args>...>;
    place reserved(*this);
    if (!reserved) throw_refused(reserved.refusal());
    auto& made = *new state(state_, where, std::forward<F>(f), std::forward<Args>(args)...);
    remote_fiber<value> handle(made);
    if (!made.send()) throw_refused(post_result::ended);
    reserved.keep();
    return handle;
  }

  template <class F, class... Args>
  auto call_from(const std::source_location& where, F&& f, Args&&... args) const {
    detail::blocking_call<std::decay_t<F>, std::decay_t<Args>...> made(where, std::forward<F>(f),
                                                                       std::forward<Args>(args)...);
    made.make(target());
    return made.take();
  }

  detail::call_target target() const noexcept {
    RINGLET_ASSERT(state_ != nullptr, "a moved-from scheduler_handle was used");
    return {nullptr, state_};
  }

 private:
  template <class F>
  struct posted_function : extend::posted_work {
    explicit posted_function(F f)
        : extend::posted_work{nullptr, &run_and_delete}, function(std::move(f)) {}
    static void run_and_delete(extend::posted_work& self) noexcept {
      const std::unique_ptr<posted_function> owner(static_cast<posted_function*>(&self));
      run_posted(owner->function);
    }
    F function;
  };

  // A reserved place in the mailbox, released unless it is kept.
  class place {
   public:
    explicit place(const scheduler_handle& of);
    place(const place&) = delete;
    place& operator=(const place&) = delete;
    ~place() {
      if (state_ != nullptr) state_->posts.fetch_sub(1, std::memory_order_relaxed);
    }
    explicit operator bool() const noexcept { return state_ != nullptr; }
    post_result refusal() const noexcept { return refusal_; }
    void keep() noexcept { state_ = nullptr; }

   private:
    detail::handle_state* state_ = nullptr;
    post_result refusal_ = post_result::accepted;
  };

  /// Called when a post is about to run: releases its place. False if it must be dropped.
  static bool may_run() noexcept;
  static void report(std::exception_ptr error) noexcept;
  [[noreturn]] void throw_refused(post_result why) const;
  template <class F>
  static void run_posted(F& function) noexcept {
    if (!may_run()) return;
    try {
      function();
    } catch (...) {
      report(std::current_exception());
    }
  }
  bool post_work(extend::posted_work& work) const;

  std::shared_ptr<detail::handle_state> state_;
};

}  // namespace ringlet
