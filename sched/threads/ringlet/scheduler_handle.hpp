// scheduler_handle: a handle through which other threads reach a scheduler.
#pragma once

#include <ringlet/extend/scheduler.hpp>
#include <ringlet/task.hpp>

#include <concepts>
#include <cstdint>
#include <memory>
#include <type_traits>
#include <utility>

namespace ringlet {

/// The outcome of a post. True if it was accepted: `if (!here.post(f)) ...`.
class post_result {
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

/// A handle to a scheduler for other threads. Posted functions run on the scheduler's thread,
/// between fibers, in the order of posting. They must not block; to wait for something, spawn a
/// fiber.
///
/// As long as a handle exists, a scheduler with nothing to do waits for posts and is not
/// deadlocked. A handle may outlive the scheduler.
/// Thread    Any. One thread at a time may use a handle; copies are independent.
class scheduler_handle {
 public:
  /// A handle to the scheduler of this thread; aborts outside of run().
  scheduler_handle();
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
