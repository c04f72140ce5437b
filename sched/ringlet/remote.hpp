// remote: how other threads reach a scheduler.
#pragma once

#include <ringlet/scheduler.hpp>
#include <ringlet/task.hpp>

#include <atomic>
#include <concepts>
#include <cstdint>
#include <functional>
#include <memory>
#include <type_traits>
#include <utility>

namespace ringlet {

/// What became of a post. True when it was accepted: `if (!here.post(f)) ...`.
class post_result {
 public:
  enum value : std::uint8_t {
    /// It is in the mailbox, and has its turn unless the scheduler ends before.
    accepted,
    /// The mailbox is full (options::posts_max): the scheduler does not keep up. Try again later,
    /// or have the sender slow down.
    full,
    /// The scheduler has ended, and takes nothing any more.
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

/// A handle to a scheduler for other threads: what is posted runs on the scheduler's thread,
/// between fibers, in the order of its posting. It must not block; to wait for something, spawn a
/// fiber.
///
/// As long as a handle is alive, a scheduler with nothing to do waits for posts and is not
/// deadlocked. A handle may outlive the scheduler. Thread: any; one handle is used by one thread at
/// a time, copies freely.
class remote {
 public:
  /// A handle to the scheduler of this thread; aborts outside of run().
  remote();
  remote(const remote& other);
  remote(remote&& other) noexcept = default;
  remote& operator=(remote other) noexcept {
    std::swap(state_, other.state_);
    return *this;
  }
  ~remote();

  /// Queues `f()` and wakes the scheduler if it sleeps. When the mailbox is full or the scheduler
  /// has ended, `f` is not queued, and the result tells which; a full mailbox leaves `f` as it was.
  /// A scheduler that ends after the post, but before `f` had its turn, drops it. An exception that
  /// leaves `f` is reported like that of a fiber that is not looked at. Throws std::bad_alloc.
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
  struct posted_function : posted_work {
    explicit posted_function(F f) : posted_work{nullptr, &run_and_delete}, function(std::move(f)) {}
    static void run_and_delete(posted_work& self) noexcept {
      const std::unique_ptr<posted_function> owner(static_cast<posted_function*>(&self));
      run_posted(owner->function);
    }
    F function;
  };

  // A place in the mailbox, given back unless it is kept.
  class place {
   public:
    explicit place(const remote& of);
    place(const place&) = delete;
    place& operator=(const place&) = delete;
    ~place() {
      if (state_ != nullptr) state_->posts.fetch_sub(1, std::memory_order_relaxed);
    }
    explicit operator bool() const noexcept { return state_ != nullptr; }
    post_result refusal() const noexcept { return refusal_; }
    void keep() noexcept { state_ = nullptr; }

   private:
    scheduler::remote_state* state_ = nullptr;
    post_result refusal_ = post_result::accepted;
  };

  /// A post has its turn, and leaves its place. False when it is to be dropped.
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
  bool post_work(posted_work& work) const;

  std::shared_ptr<scheduler::remote_state> state_;
};

}  // namespace ringlet
