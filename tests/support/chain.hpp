// Running tasks on core alone: a context without a fiber, a loop without a scheduler, and waits
// that end when the test says so.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/extend/context.hpp>
#include <ringlet/task.hpp>

#include <coroutine>
#include <exception>
#include <type_traits>
#include <utility>

namespace ringlet::test {
using namespace extend;

/// Resumes ready contexts until there are none.
[[gnu::noinline]] inline void run_ready(ready_queue& queue) {
  queue.set_stack_base(__builtin_frame_address(0));
  while (!queue.empty()) queue.resume(queue.first());
}

/// A task on a bare context, queued at once.
template <class T = void>
class chain final : public context {
 public:
  chain(ready_queue& queue, task<T> root)
      : context(queue, queue.root_scope()), root_(std::move(root)) {
    set_root(*root_.promise_to_start());
    wake();
  }

  bool done() const noexcept { return done_; }
  bool failed() const noexcept { return done_ && root_.promise().error() != nullptr; }
  /// Returns the task's value; rethrows its exception.
  T take() {
    RINGLET_ASSERT(done_, "the test took the result of a chain that has not ended");
    return root_.promise().take();
  }

 private:
  void on_root_done() noexcept override { done_ = true; }

  task<T> root_;
  bool done_ = false;
};

/// Runs a task that needs no other context to its end; returns its value.
template <class T>
T run_alone(task<T> root) {
  ready_queue queue;
  chain<T> only(queue, std::move(root));
  run_ready(queue);
  return only.take();
}

/// Queues its context behind all ready ones.
struct yield_wait {
  bool await_ready() const noexcept { return false; }
  template <class Promise>
  void await_suspend(std::coroutine_handle<Promise> caller) noexcept {
    frame_record& at = caller.promise();
    at.chain->begin_wait(ready_wait, this, at);
    at.chain->wake();
  }
  void await_resume() const noexcept {}
};

/// Waits until the test calls end(), or until an interruption, which it throws. If end() came first
/// the wait has succeeded, as with the library's waits.
class manual_wait {
 public:
  bool await_ready() const noexcept { return false; }
  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> caller) noexcept {
    frame_record& at = caller.promise();
    who_ = at.chain;
    interrupted_ = who_->interrupted();
    if (!interrupted_) who_->begin_wait(type, this, at);
    return !interrupted_;
  }
  void await_resume() {
    if (interrupted_) who_->throw_interruption();
  }

  /// Ends the wait of that context with success.
  static void end(context& who) noexcept { who.wake(); }
  static bool is_in(const context& who) noexcept { return who.current_wait().type == &type; }

 private:
  static void cancel(context& who, cancel_reason) noexcept {
    static_cast<manual_wait*>(who.current_wait().object)->interrupted_ = true;
    who.wake();
  }
  static inline const wait_type type{"manual", &cancel, nullptr};

  context* who_ = nullptr;
  bool interrupted_ = false;
};

/// A wait that need not suspend and obeys the budget, as the library's waits do.
struct ready_now {
  bool await_ready() const noexcept { return false; }
  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> caller) noexcept {
    frame_record& at = caller.promise();
    if (at.chain->may_continue()) return false;
    at.chain->begin_wait(ready_wait, this, at);
    at.chain->wake();
    return true;
  }
  void await_resume() const noexcept {}
};

}  // namespace ringlet::test
