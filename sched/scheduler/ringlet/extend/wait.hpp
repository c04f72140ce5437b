// What the library's waits share: the checkpoint at the beginning, the limit, and how a wait that
// ended early tells why.
//
// A wait extends its base by hooks: functions that the base calls by their name, in the class that
// is awaited. They are listed below, a class has those that it needs, and the compiler says which
// one is missing or has another form. Nothing else of a base is declared again in a derived class:
// tests/tidy.py looks.
//
//   on_cancel  describe                     of every wait, for its wait_type: see make_type()
//   try_now  watch  unwatch  type           of a two_phase_wait
//   is_external  lingers  pass_on              of a two_phase_wait that needs more than the
//   defaults await_suspend  await_resume  take       called by co_await, and by as_result()
//
// docs/writing_a_wait.md makes one, step by step.
#pragma once

#include <ringlet/detail/wait_hooks.hpp>
#include <ringlet/error.hpp>
#include <ringlet/extend/assert.hpp>
#include <ringlet/extend/context.hpp>
#include <ringlet/extend/fiber_base.hpp>
#include <ringlet/extend/intrusive_list.hpp>
#include <ringlet/time_limit.hpp>

#include <string>
#include <system_error>
#include <type_traits>

namespace ringlet::extend {

class selection;

/// The base of awaiters that suspend a fiber.
///
/// True of every wait of this library, and not repeated there:
///
///   Checkpoint    It first delivers a pending interruption, before it takes anything, also when it
///                 need not suspend; and after 128 waits that need not suspend it yields.
///   Overlap       A fiber waits for one thing at a time.
///   Limit         `time_limit` counts from the moment of the co_await. Calls that return a value
///   throw
///                 timed_out; join and wait return false.
///   Cancellation  What is thrown is `cancelled` or the exception that the fiber was killed with.
///                 Success wins: a wait that had succeeded when it was cancelled returns its value,
///                 and the interruption stays pending for the next wait. Instead of closed or
///                 timed_out it is the interruption that is thrown, if one has come.
///   Lifetime      The awaiter lives in the frame of the caller, and borrows what it was given:
///                 use it in the expression that makes it. `co_await` of a variable does not
///                 compile; `co_await std::move(wait)` does, for one that is kept on purpose, with
///                 everything that it was given. Awaiting it twice aborts.
///   Thread        That of the fiber, which also resumes there, from its scheduler's run queue.
class wait_base {
 public:
  wait_base(const wait_base&) = delete;
  wait_base& operator=(const wait_base&) = delete;

  bool await_ready() const noexcept {
    RINGLET_ASSERT(fiber_ == nullptr, "a wait was awaited twice: make a new one for each co_await");
    return false;
  }
  /// For objects that are destroyed while it waits: whether it belongs to the parent of this child
  /// of fork(), and so will never end.
  bool is_left_behind() const noexcept { return fiber_->scheduler().is_left_behind(); }

  /// The wait that a chain is suspended in, and the one that a description is asked of: for the
  /// functions of a wait_type, which know that it is a Wait. What the chain keeps is a wait_base*,
  /// which need not be where the Wait begins.
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

 protected:
  explicit wait_base(time_limit timeout) noexcept : limit_(timeout) {}

  /// The wait_type of a class, from its hooks: `void on_cancel(cancel_reason) noexcept`, which is
  /// called when the wait is to end early and has it end, now or later; and describe(), if it has
  /// one. `name` is what dump() prints.
  template <class Wait>
  static constexpr wait_type make_type(const char* name) noexcept {
    detail::explain_hooks<Wait>();
    if constexpr (std::is_same_v<decltype(&Wait::describe), decltype(&wait_base::describe)>) {
      return {name, &wait_base::cancel_as<Wait>, nullptr};
    } else {
      return {name, &wait_base::cancel_as<Wait>, &wait_base::describe_as<Wait>};
    }
  }

  // Inline is what every message of a server goes through, twice.

  /// Remembers the fiber. False when an interruption is pending: then `return
  /// continue_or_yield(at)`, and the resumption that follows throws. (So that a fiber which
  /// swallows `cancelled` in a loop still lets other fibers run.)
  bool enter(const frame_record& at) noexcept {
    fiber_ = static_cast<fiber_base*>(at.chain);
    if (!fiber_->interrupted()) [[likely]]
      return true;
    reason_ = cancel_reason::interrupted;
    fiber_->set_budget_aside();  // continue_or_yield() looks whether it is to be held
    return false;
  }
  /// Suspends: from here on on_cancel() may be called, and wake() must be called once.
  void suspend(const wait_type& type, frame_record& at) noexcept {
    fiber_->begin_wait(type, this, at);
    if (!limit_.is_forever()) arm_limit();
  }
  /// Ends the suspension.
  void wake() noexcept {
    if (!limit_.is_forever()) return disarm_limit_and_wake();
    fiber_->wake();
  }
  /// The same two for a wait that something other than a fiber or a timer of this scheduler ends:
  /// as long as it lasts; see external_waits.
  void suspend_external(const wait_type& type, frame_record& at) noexcept {
    suspend(type, at);
    fiber_->scheduler().external().begin();
  }
  void wake_external() noexcept {
    fiber_->scheduler().external().end();
    wake();
  }
  /// Returns to the caller without suspending if the budget allows it, else queues up once.
  bool continue_or_yield(frame_record& at) noexcept {
    return !fiber_->may_continue() && yield_for_budget(at);
  }

  /// What an ended wait does first: throws when an interruption ended it.
  void rethrow_interruption() {
    if (reason_ == cancel_reason::interrupted) fiber_->throw_interruption();
  }
  /// For an on_cancel() that takes effect later: the first reason is the one to be told. (An
  /// interruption is pending in the context, too; it is thrown whatever is remembered here.)
  void remember(cancel_reason reason) noexcept {
    if (reason_ == cancel_reason::none) reason_ = reason;
  }
  /// What a wait ends with that has not got what it waited for: errc::closed or errc::timed_out;
  /// throws instead when an interruption ended it, or has come since. No error when nothing ended
  /// it early.
  std::error_code cancellation_error();

  /// For a wait that finds out later than in enter() that an interruption is to be thrown instead.
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

  bool yield_for_budget(frame_record& at) noexcept;
  // Most waits have no limit, and need not save registers for these calls.
  void arm_limit() noexcept;
  void disarm_limit_and_wake() noexcept;
};

/// A wait in two phases: watching takes nothing, and the side that has what it waits for hands it
/// over in one step. So it may be one of several of which the first wins; see select().
///
/// A derived class says how by hooks: `bool try_now()`, true when it is over without having to
/// wait; `void watch()`, after which it is handed over once, by conclude(); `void unwatch()`, which
/// takes that back when it has not come to it; and its `type`. What cannot be taken back at once,
/// because the kernel works on it, lingers; the select() then waits for its end, which is told by
/// conclude(), too.
class two_phase_wait : public wait_base {
 public:
  // Hooks with defaults.

  /// Whether something other than a fiber or a timer of this scheduler can end it.
  static constexpr bool is_external = false;
  /// Whether something of it is in flight after unwatch(). For external ones.
  bool lingers() const noexcept { return false; }
  /// Called after unwatch(), when all of the select() are given up: may end other waits, such as of
  /// those that it had kept out.
  void pass_on() noexcept {}

 protected:
  using wait_base::wait_base;
  ~two_phase_wait() = default;

  /// For await_suspend of a wait that stands alone.
  template <class Wait>
  static bool begin_alone(Wait& self,
                          frame_record& at) noexcept(detail::tries_without_throwing<Wait>());
  /// Ends the wait; the other waits of its select() are given up.
  void conclude() noexcept {
    if (of_ != nullptr) return win();
    wake();
  }
  /// The same for an external wait.
  void conclude_external() noexcept {
    if (of_ != nullptr) return win();
    wake_external();
  }

 private:
  friend class selection;
  // Would wake the fiber of a select() without its knowledge.
  using wait_base::wake;
  using wait_base::wake_external;
  void win() noexcept;
  selection* of_ = nullptr;  // null when it stands alone
};

template <class Wait>
bool two_phase_wait::begin_alone(Wait& self, frame_record& at) noexcept(
    detail::tries_without_throwing<Wait>()) {
  if constexpr (!detail::two_phase_hooks<Wait>) {
    detail::explain_two_phase_hooks<Wait>();
  } else {
    two_phase_wait& base = self;
    if (!base.enter(at) || self.try_now()) return base.continue_or_yield(at);
    if constexpr (Wait::is_external) {
      base.suspend_external(Wait::type, at);
    } else {
      base.suspend(Wait::type, at);
    }
    self.watch();
  }
  return true;
}

/// A wait in a list of waits that are ended in their order by the side that has what they wait for.
class list_wait : public two_phase_wait, public list_hook<> {
 public:
  /// Takes it out of its list and resumes its fiber. Aborts on another thread than the fiber's.
  void complete() noexcept;
  void unwatch() noexcept { unlink(); }
  /// Leaves the list.
  void on_cancel(cancel_reason reason) noexcept {
    reason_ = reason;
    complete();
  }

  /// For the destructor of what they wait for. It aborts with that rule when there are any; but
  /// when an exception is unwinding the owner, which is not to be hidden by an abort, they end with
  /// errc::closed, and the broken rule is reported like a failure that no fiber looked at.
  static void end_orphans(intrusive_list<list_wait>& left, const char* rule) noexcept;

 protected:
  using two_phase_wait::two_phase_wait;
  ~list_wait() = default;
};

using wait_list = intrusive_list<list_wait>;

}  // namespace ringlet::extend

namespace ringlet::detail {

/// For the destructors of objects with waits, first: in a child of fork() the waits of the parent's
/// fibers are taken out.
void drop_waits_left_behind(extend::wait_list& waits) noexcept;

}  // namespace ringlet::detail
