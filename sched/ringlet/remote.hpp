// remote: how other threads reach a scheduler.
#pragma once

#include <ringlet/scheduler.hpp>

#include <concepts>
#include <functional>
#include <memory>
#include <type_traits>
#include <utility>

namespace ringlet {

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

  /// Queues `f()` and wakes the scheduler if it sleeps. Returns false when the scheduler has ended.
  /// One that ends after the post, but before `f` had its turn, drops it. An exception that leaves
  /// `f` is reported like that of a fiber nobody looks at.
  template <std::invocable F>
  bool post(F&& f) const {
    auto work = std::make_unique<posted_function<std::decay_t<F>>>(std::forward<F>(f));
    if (!post_work(*work)) return false;
    [[maybe_unused]] const auto* taken = work.release();
    return true;
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
