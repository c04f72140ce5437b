// What the library's waits share: the checkpoint at the beginning, the limit, and how a wait that
// ended early says why.
//
// A wait extends its base by hooks: functions that the base calls, by name, in the class that is
// awaited. A class declares the hooks below that it needs; the compiler says which one is missing
// or has the wrong form. A derived class must not redeclare any other name of a base; tools/tidy.py
// checks.
//
//   on_cancel  describe  holder        every wait, for its wait_type: see make_type()
//   try_now  watch  unwatch  type      a two_phase_wait
//   is_external  lingers  pass_on      a two_phase_wait for which the defaults are wrong
//   await_suspend  await_resume  take  called by co_await, and by as_result()
//   await_ready                        for a wait that is often over at once, and must be fast
//
// docs/writing_a_wait.md writes a wait step by step.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/wait_hooks.hpp>
#include <ringlet/error.hpp>
#include <ringlet/extend/assert.hpp>
#include <ringlet/extend/context.hpp>
#include <ringlet/extend/fiber_base.hpp>
#include <ringlet/extend/intrusive_list.hpp>
#include <ringlet/time_limit.hpp>

#include <cstdint>
#include <string>
#include <system_error>
#include <type_traits>

namespace ringlet::extend {

class selection;

/// The base of awaiters that suspend a fiber.
///
/// True of every wait of this library, and not repeated elsewhere:
///
///   Checkpoint    The wait first delivers a pending interruption, before it takes anything, even
///                 if it need not suspend. After 128 waits that need not suspend, the fiber yields.
///   Overlap       A fiber waits for one thing at a time.
///   Limit         A `time_limit` counts from the co_await. Calls that return a value throw
///                 timed_out; join() and event::wait() return false.
///   Cancellation  Throws `cancelled`, or the exception that the fiber was killed with. Success
///                 wins: a wait that had succeeded when it was cancelled returns its value, and the
///                 interruption stays pending for the next wait. A pending interruption takes
///                 precedence over closed and timed_out.
///   Lifetime      The awaiter lives in the frame of the caller and borrows its arguments: use it
///                 in the expression that makes it. `co_await` of a variable does not compile;
///                 `co_await std::move(wait)` does, for a wait that a program keeps together with
///                 its arguments. Awaiting it twice aborts.
///   Thread        That of the fiber. The fiber also resumes there, from its scheduler's run queue.
class wait_base {
 public:
  wait_base(const wait_base&) = delete;
  wait_base& operator=(const wait_base&) = delete;

  bool await_ready() const noexcept {
    RINGLET_ASSERT(fiber_ == nullptr, "a wait was awaited twice: make a new one for each co_await");
    return false;
  }
  /// For objects that are destroyed during the wait: true in a child of fork() if the wait belongs
  /// to the parent, and so will never end.
  bool is_left_behind() const noexcept { return fiber_->scheduler().is_left_behind(); }

  /// For the functions of a wait_type, which know that the wait is a Wait: the wait that a chain is
  /// suspended in, and the wait to describe. The chain stores a wait_base*, which need not be the
  /// address of the Wait.
  template <class Wait>
  static Wait& of(const context& suspended) noexcept {
    return static_cast<Wait&>(*static_cast<wait_base*>(suspended.current_wait().object));
  }
  template <class Wait>
  static const Wait& of(const void* object) noexcept {
    return static_cast<const Wait&>(*static_cast<const wait_base*>(object));
  }

  /// A hook with a default: appends what exactly is waited for, such as "fd 7".
  void describe(std::string&) const {}
  /// A hook with a default: the fiber that has to act before the wait can end; see wait_type.
  const fiber_base* holder() const noexcept { return nullptr; }

 protected:
  explicit wait_base(time_limit timeout) noexcept : limit_(timeout) {}

  /// Makes the wait_type of a class from its hooks: `void on_cancel(cancel_reason) noexcept`, which
  /// must end the wait early, now or later, and describe(), if the class has it. dump() prints
  /// `name`.
  template <class Wait>
  static constexpr wait_type make_type(const char* name) noexcept {
    detail::explain_hooks<Wait>();
    wait_type made{name, &wait_base::cancel_as<Wait>, nullptr, nullptr};
    if constexpr (!std::is_same_v<decltype(&Wait::describe), decltype(&wait_base::describe)>) {
      made.describe = &wait_base::describe_as<Wait>;
    }
    if constexpr (!std::is_same_v<decltype(&Wait::holder), decltype(&wait_base::holder)>) {
      made.holder = &wait_base::holder_as<Wait>;
    }
    return made;
  }

  // The functions that every message of a server calls twice are inline.

  /// Remembers the fiber. False if an interruption is pending: then `return continue_or_yield(at)`,
  /// and the resumption that follows throws. (So a fiber that swallows `cancelled` in a loop still
  /// lets other fibers run.)
  bool enter(const frame_record& at) noexcept {
    fiber_ = static_cast<fiber_base*>(at.chain);
    if (!fiber_->interrupted()) [[likely]]
      return true;
    reason_ = cancel_reason::interrupted;
    fiber_->set_budget_aside();  // continue_or_yield() checks whether it must be held
    return false;
  }
  /// Suspends. From now on on_cancel() may be called, and wake() must be called once.
  void suspend(const wait_type& type, frame_record& at) noexcept {
    fiber_->begin_wait(type, this, at);
    if (!limit_.is_forever()) arm_limit();
  }
  /// Ends the suspension.
  void wake() noexcept {
    if (!limit_.is_forever()) return disarm_limit_and_wake();
    fiber_->wake();
  }
  /// The same two for a wait that something other than a fiber or a timer of this scheduler ends.
  /// While it lasts, it counts in external_waits.
  void suspend_external(const wait_type& type, frame_record& at) noexcept {
    suspend(type, at);
    fiber_->scheduler().external().begin();
  }
  void wake_external() noexcept {
    fiber_->scheduler().external().end();
    wake();
  }
  /// Returns to the caller without suspending if the budget allows it; otherwise queues the fiber.
  bool continue_or_yield(frame_record& at) noexcept {
    return !fiber_->may_continue() && yield_for_budget(at);
  }

  /// Called first when a wait has ended: throws if an interruption ended it.
  void rethrow_interruption() {
    if (reason_ == cancel_reason::interrupted) fiber_->throw_interruption();
  }
  /// For an on_cancel() that takes effect later: keeps the first reason. (An interruption is also
  /// pending in the context, and is thrown whatever the reason here.)
  void remember(cancel_reason reason) noexcept {
    if (reason_ == cancel_reason::none) reason_ = reason;
  }
  /// The error of a wait that ended without success: errc::closed or errc::timed_out. Throws
  /// instead if an interruption ended it or has arrived since. No error if nothing ended it early.
  std::error_code cancellation_error();

  /// For a wait that finds out after enter() that it must throw an interruption.
  bool throw_at(frame_record& at) noexcept;

  fiber_base* fiber_ = nullptr;
  time_limit limit_;
  cancel_reason reason_ = cancel_reason::none;

 private:
  template <class Wait>
  static void cancel_as(context& who, cancel_reason reason) noexcept {
    of<Wait>(who).on_cancel(reason);
  }
  template <class Wait>
  static void describe_as(const void* object, std::string& out) {
    of<Wait>(object).describe(out);
  }
  template <class Wait>
  static const context* holder_as(const void* object) noexcept {
    return of<Wait>(object).holder();
  }

  bool yield_for_budget(frame_record& at) noexcept;
  // Not inline: most waits have no limit, and then need not save registers for these calls.
  void arm_limit() noexcept;
  void disarm_limit_and_wake() noexcept;
};

/// A wait in two phases: watching takes nothing, and the other side hands over the result in one
/// step. So the wait can be one of several of which the first wins; see select().
///
/// Hooks of a derived class: `bool try_now()` returns true if the wait is over without suspending.
/// After `void watch()` the result is handed over once, by conclude(). `void unwatch()` undoes
/// watch(); it does nothing if the wait is not watched, or has been handed its result. `type` is
/// its wait_type. A wait that cannot be undone immediately, because the kernel works on it,
/// lingers: the select() then waits for its end, which also comes by conclude().
class two_phase_wait : public wait_base {
 public:
  // Hooks with defaults.

  /// Whether something other than a fiber or a timer of this scheduler can end it. A wait for which
  /// only its object tells counts itself in external_waits while it is watched.
  static constexpr bool is_external = false;
  /// Whether something is still in flight after unwatch().
  bool lingers() const noexcept { return false; }
  /// Called after unwatch(), when the select() gives up all its waits. May end other waits, such as
  /// those that this one had blocked.
  void pass_on() noexcept {}

 protected:
  using wait_base::wait_base;
  ~two_phase_wait() = default;

  /// For await_suspend of a wait that is not part of a select().
  template <class Wait>
  static bool begin_alone(Wait& self,
                          frame_record& at) noexcept(detail::tries_without_throwing<Wait>());
  /// Ends the wait. The select() that it is part of gives up its other waits.
  void conclude() noexcept {
    if (of_ != nullptr) return win();
    wake();
  }
  /// The same for an external wait.
  void conclude_external() noexcept {
    if (of_ != nullptr) return win();
    wake_external();
  }
  /// Whether it is no part of a select(), where other waits may end what this one waits for.
  bool is_alone() const noexcept { return of_ == nullptr; }

 private:
  friend class selection;
  // Hidden, because they would wake the fiber of a select() without ending the select().
  using wait_base::wake;
  using wait_base::wake_external;
  void win() noexcept;
  std::uint32_t place_;      // in that select(), if there is one; uses padding
  selection* of_ = nullptr;  // null outside of a select()
};

template <class Wait>
bool two_phase_wait::begin_alone(Wait& self, frame_record& at) noexcept(
    detail::tries_without_throwing<Wait>()) {
  if constexpr (!detail::two_phase_hooks<Wait>) {
    detail::explain_two_phase_hooks<Wait>();
  } else {
    two_phase_wait& base = self;
    if (!base.enter(at) || self.try_now()) return base.continue_or_yield(at);
    if constexpr (!detail::tries_without_throwing<Wait>()) {
      // It has called a function of the program, which may have killed the fiber.
      if (base.fiber_->interrupted()) return base.throw_at(at);
    }
    if constexpr (Wait::is_external) {
      base.suspend_external(Wait::type, at);
    } else {
      base.suspend(Wait::type, at);
    }
    self.watch();
  }
  return true;
}

/// A wait in a list. The other side ends the waits of the list in order.
class list_wait : public two_phase_wait, public list_hook<> {
 public:
  /// Leaves the list and resumes the fiber. Aborts on any thread but the fiber's.
  void complete() noexcept;
  void unwatch() noexcept { unlink(); }
  /// Keeps the reason, leaves the list and ends the wait.
  void on_cancel(cancel_reason reason) noexcept {
    reason_ = reason;
    complete();
  }

  /// For the destructor of the object that the waits wait for: aborts with `rule` if there are any.
  /// While an exception unwinds the owner, an abort would hide it; then the waits end with
  /// errc::closed, and the broken rule is reported like an unhandled error.
  static void end_orphans(intrusive_list<list_wait>& left, const char* rule) noexcept;

 protected:
  using two_phase_wait::two_phase_wait;
  ~list_wait() = default;
};

using wait_list = intrusive_list<list_wait>;

}  // namespace ringlet::extend

namespace ringlet::detail {

/// Destructors of objects with waits call this first: in a child of fork() it removes the waits of
/// the parent's fibers.
void drop_waits_left_behind(extend::wait_list& waits) noexcept;

}  // namespace ringlet::detail
