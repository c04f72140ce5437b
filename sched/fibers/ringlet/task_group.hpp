// task_group, with_group: fibers that do not outlive the call that started them.
//
//     task<> serve(queue<job>& jobs) {            // outside, because the fibers use it
//       co_await with_group([&](task_group& workers) -> task<> {
//         for (int i = 0; i < 4; ++i) workers.spawn(work, std::ref(jobs));
//         co_await feed(jobs);
//         jobs.close();
//       });                                       // returns when all workers have ended
//     }
//
// Lifetimes. The arguments of with_group() outlive all fibers of the group. Locals of the body
// outlive the fibers only if the body is interrupted: by a kill, a limit, a scope around it, the
// failure of a fiber, cancel(), a signal, or a deadlock. Then the fibers are cancelled immediately,
// and the body resumes only when they have ended; its wait then throws `cancelled`. (A wait that
// had already succeeded delivers its result first.) But a body that returns, or throws an exception
// of its own, destroys its locals before the fibers end. So declare what fibers share outside of
// the group, or pass it to with_group(f, args...).
//
// The same is true of when_all(), when_any() and pool::map(), of nested groups, and of groups in
// greenlets. spawn(), fiber_set and pool promise nothing about the call that started the fiber.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/life_mark.hpp>
#include <ringlet/detail/open_group.hpp>
#include <ringlet/detail/returned.hpp>
#include <ringlet/detail/spawns_calls.hpp>
#include <ringlet/error.hpp>
#include <ringlet/extend/intrusive_list.hpp>
#include <ringlet/extend/wait.hpp>
#include <ringlet/fiber.hpp>
#include <ringlet/spawn_after.hpp>
#include <ringlet/task.hpp>

#include <concepts>
#include <coroutine>
#include <cstdint>
#include <exception>
#include <functional>
#include <source_location>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace ringlet {

/// Thrown by with_group() when a fiber or the body has failed. Holds all errors, including the
/// body's, in the order in which they occurred.
class group_error : public std::exception {
 public:
  /// For the library; there is at least one error.
  explicit group_error(std::vector<std::exception_ptr> errors);

  /// All errors, in the order in which they occurred; at least one.
  const std::vector<std::exception_ptr>& errors() const noexcept { return errors_; }
  /// The number of errors and the message of each.
  const char* what() const noexcept override { return text_.c_str(); }

 private:
  std::vector<std::exception_ptr> errors_;
  std::string text_;
};

/// What the failure of a fiber does to its group.
enum class group_failure : std::uint8_t {
  /// The failure cancels the rest, and with_group() throws it.
  cancel_all,
  /// The rest continue. The failure is reported, with the fiber's name, like any unhandled
  /// error; see options::on_unhandled_error. For independent fibers, such as those of a server's
  /// connections.
  report,
};

/// Options of with_group().
struct group_options {
  /// What the failure of a fiber does.
  group_failure on_failure = group_failure::cancel_all;
};

/// The fibers of one with_group() call; see with_group().
/// Lifetime  That of the call. Using the group after that call has returned aborts, unless its
///           memory has been reused by then.
/// Thread    That of the fiber that called it.
/// Memory    One block for each fiber, besides the fiber.
class task_group : public detail::open_group,
                   public detail::spawns_calls<task_group>,
                   public detail::spawns_later<task_group> {
 public:
  /// Like the free spawn(). The fiber belongs to the group; in a cancelled group it never begins.
  template <class T>
  fiber<T> spawn(task<T> root, std::source_location where = std::source_location::current()) {
    check_open();
    auto* const state =
        new detail::fiber_state<T>(starter_.scheduler(), around(), std::move(root), where);
    const fiber<T> made(*state);
    add(*state);
    return made;
  }
  using detail::spawns_calls<task_group>::spawn;

  /// Cancels the body and all fibers of the group, at every wait. with_group() then returns without
  /// an error; if the body was to return a value and has not, it throws errc::fiber_cancelled.
  /// Idempotent.
  void cancel() noexcept;
  /// Whether the group has been cancelled, in any way.
  using open_group::is_cancelled;
  using open_group::size;

  // Not for programs: for with_group() and its kin.

  /// Whether the failure of a fiber cancels the group, or is an outcome like any other.
  enum class failures : bool { end_the_group, are_outcomes };
  /// Opens a group in the running fiber.
  explicit task_group(failures policy = failures::end_the_group);
  ~task_group();

  /// Called before and after the body, in the fiber that runs it.
  void begin_body() { body_.emplace(starter_); }
  /// See begin_body().
  void end_body() noexcept { body_.reset(); }
  /// Called in between, in the handler of an exception of the body. Returns the exception if it
  /// also ends the caller and must be rethrown unchanged; null if it is a failure like those of
  /// fibers, or no failure.
  std::exception_ptr on_body_thrown() noexcept;

  /// Waits until all fibers have ended. When the wait is interrupted, it cancels the group and
  /// keeps waiting. Returns whether it was interrupted.
  class [[nodiscard]] end_wait : public extend::wait_base {
   public:
    explicit end_wait(task_group& group) noexcept : extend::wait_base(forever), group_(&group) {}
    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> caller) noexcept {
      return begin(caller.promise());
    }
    bool await_resume() const noexcept { return reason_ != extend::cancel_reason::none; }

    void on_cancel(extend::cancel_reason reason) noexcept;
    void describe(std::string& out) const;

   private:
    friend class task_group;
    bool begin(extend::frame_record& at) noexcept;
    static const extend::wait_type type;
    task_group* group_;
  };

  /// Whether a fiber or the body has failed.
  bool has_failed() const noexcept { return failed_count_ != 0 || body_error_ != nullptr; }
  /// Throws a group_error if anything has failed. Afterwards all errors count as handled.
  void throw_errors();

 private:
  struct member;

  void check_open() const noexcept {
    RINGLET_ASSERT(open_.is_set(),
                   "a task_group was used after its with_group() had returned: nothing that lives "
                   "longer may keep a reference to it");
  }
  void add(extend::fiber_base& child);
  void on_ended(member& ended) noexcept;

  end_wait* waiter_ = nullptr;
  extend::intrusive_list<extend::done_watcher> failed_;  // members kept for their errors
  std::exception_ptr body_error_;
  std::uint32_t failed_count_ = 0;
  std::uint32_t failed_before_body_ = 0;
  failures policy_;
  bool has_refused_ = false;  // a fiber, because the group was cancelled
  detail::life_mark open_;    // uses padding
};

}  // namespace ringlet

namespace ringlet {

/// What with_group() calls: `f(group, args...)` returns a task.
template <class F, class... Args>
concept group_body = std::invocable<F&, task_group&, Args&...> &&
    detail::is_task<std::invoke_result_t<F&, task_group&, Args&...>>;

}  // namespace ringlet

namespace ringlet::detail {

template <class F, class... Args>
concept makes_no_group_task = std::invocable<F&, task_group&, Args&...> && !group_body<F, Args...>;

template <class F, class... Args>
using group_value = typename std::invoke_result_t<F&, task_group&, Args&...>::value_type;
// `f` and `args` live in the expression that awaits. A server has one such frame for each
// connection, so it should be small.
template <class R, task_group::failures Policy = task_group::failures::end_the_group, class F,
          class... Args>
task<R> run_group(F& f, Args&... args) {
  task_group group(Policy);
  std::exception_ptr outer;  // what ends the caller, too
  returned<R> value;
  bool interrupted = false;
  group.begin_body();
  try {
    if constexpr (std::is_void_v<R>) {
      co_await std::invoke(f, group, args...);
    } else {
      value.return_value(co_await std::invoke(f, group, args...));
    }
  } catch (...) {
    outer = group.on_body_thrown();
  }
  group.end_body();
  if (outer || group.has_failed()) group.cancel();
  do {  // code that sees the last one end may spawn another before this fiber runs
    if (co_await task_group::end_wait(group)) interrupted = true;
  } while (group.size() != 0);
  if (outer) std::rethrow_exception(outer);
  if (interrupted) extend::current().throw_interruption();
  group.throw_errors();
  if constexpr (!std::is_void_v<R>) {
    if (!value.has_value()) throw_error(errc::fiber_cancelled, "with_group");
    co_return value.take();
  }
}

}  // namespace ringlet::detail

namespace ringlet {

/// Calls `f(group, args...)`, which returns a task, and awaits that task and every fiber spawned in
/// the group, by the body or by the fibers. Returns the value of the body. When with_group()
/// returns or throws, no fiber of the group is alive.
///
/// The first failure, of a fiber or of the body, cancels the rest, at every wait. In a cancelled
/// group, new fibers never begin: spawn() returns a fiber that has ended. While the body is in a
/// shield, an interruption of the body does not cancel the group, so the body can still work with
/// its fibers; groups opened inside the shield run as usual.
///
/// Errors    When all have ended, group_error with all errors. A killed fiber has not failed. An
///           exception that the caller is killed with counts as the body's error.
///           errc::fiber_cancelled if cancel() ended a body that was to return a value.
/// Cancellation  A kill of the caller, or a cancelled scope around it, cancels the group, waits for
///           the fibers, and then propagates. The value is lost. The errors of fibers and body that
///           it hides are reported; see options::on_unhandled_error.
/// Lifetime  `f` and `args` are borrowed, so await the call in the same expression. The head of
///           this file describes the other lifetimes.
/// Thread    That of the calling fiber.
/// Memory    The frame of the call.
template <class F, class... Args>
requires group_body<F, Args...>
auto with_group(F&& f, Args&&... args) {
  detail::check_temporary<F>();
  (detail::check_temporary<Args>(), ...);
  using value = detail::group_value<F, Args...>;
  return borrowing_task<value>(detail::run_group<value>(f, args...));
}

/// The same with options. With group_failure::report, an exception of the body cancels the fibers
/// and is rethrown unchanged.
template <class F, class... Args>
requires group_body<F, Args...>
auto with_group(group_options options, F&& f, Args&&... args) {
  detail::check_temporary<F>();
  (detail::check_temporary<Args>(), ...);
  using value = detail::group_value<F, Args...>;
  return borrowing_task<value>(
      options.on_failure == group_failure::cancel_all
          ? detail::run_group<value>(f, args...)
          : detail::run_group<value, task_group::failures::are_outcomes>(f, args...));
}

// For a body that returns no task. The deduced return type forces the static_assert that says so.
template <class F, class... Args>
requires detail::makes_no_group_task<F, Args...>
auto with_group(F&&, Args&&...) {
  static_assert(!detail::makes_no_group_task<F, Args...>,
                "the function that with_group() calls must return a task: write -> task<> and use "
                "co_await or co_return in it");
}
template <class F, class... Args>
requires detail::makes_no_group_task<F, Args...>
auto with_group(group_options, F&& f, Args&&... args) { with_group(f, args...); }

}  // namespace ringlet
