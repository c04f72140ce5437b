// What the library's waits share: the checkpoint at the beginning, the limit, and how a wait that
// ended early tells why.
#pragma once

#include <ringlet/assert.hpp>
#include <ringlet/context.hpp>
#include <ringlet/error.hpp>
#include <ringlet/intrusive_list.hpp>
#include <ringlet/until.hpp>

#include <coroutine>
#include <system_error>

namespace ringlet {

class fiber_base;
class selection;

/// The base of awaiters that suspend a fiber.
///
/// True of every wait of this library, and not repeated there:
///
///   Checkpoint    It first delivers a pending interruption, before it takes anything, also when it
///                 need not suspend; and after 128 waits that need not suspend it yields.
///   Overlap       A fiber waits for one thing at a time.
///   Limit         `until` counts from the moment of the co_await. Calls that return a value throw
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
  inline bool is_left_behind() const noexcept;

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

 protected:
  explicit wait_base(until limit) noexcept : limit_(limit) {}

  /// Remembers the fiber. False when an interruption is pending: then `return
  /// continue_or_yield(at)`, and the resumption that follows throws. (So that a fiber which
  /// swallows `cancelled` in a loop still lets other fibers run.)
  bool enter(const frame_record& at) noexcept;
  /// Suspends: from here on the type's cancel may be called, and wake() must be called once.
  void suspend(const wait_type& type, frame_record& at) noexcept;
  /// Ends the suspension.
  void wake() noexcept;
  /// The same two for a wait that something other than a fiber or a timer of this scheduler ends:
  /// as long as it lasts there is hope; see scheduler::add_hope().
  void suspend_with_hope(const wait_type& type, frame_record& at) noexcept;
  void wake_with_hope() noexcept;
  /// Returns to the caller without suspending if the budget allows it, else queues up once.
  bool continue_or_yield(frame_record& at) noexcept;

  /// What an ended wait does first: throws when an interruption ended it.
  void rethrow_interruption();
  /// For a cancel that takes effect later: the first reason is the one to be told. (An interruption
  /// is pending in the context, too; it is thrown whatever is remembered here.)
  void remember(cancel_reason reason) noexcept {
    if (reason_ == cancel_reason::none) reason_ = reason;
  }
  /// What a wait ends with that has not got what it waited for: errc::closed or errc::timed_out;
  /// throws instead when an interruption ended it, or has come since. No error when nothing ended
  /// it early.
  std::error_code cancellation_error();

  /// For a wait that finds out later than in enter() that an interruption is to be thrown instead.
  bool throw_at(frame_record& at) noexcept;
  bool yield_for_budget(frame_record& at) noexcept;
  // Most waits have no limit, and need not save registers for these calls.
  void arm_limit() noexcept;
  void disarm_limit_and_wake() noexcept;

  fiber_base* fiber_ = nullptr;
  until limit_;
  cancel_reason reason_ = cancel_reason::none;
};

/// A wait in two phases: watching takes nothing, and the side that has what it waits for hands it
/// over in one step. So it may be one of several of which the first wins; see select().
///
/// A derived class says how, in public: `bool try_now()`, true when it is over without having to
/// wait; `void watch()`, after which it is handed over once; `void unwatch()`, which takes that
/// back when it has not come to it; and its `type`. What cannot be taken back at once, because the
/// kernel works on it, lingers; the select() then waits for its end, which is told by wake(), too.
class two_phase_wait : public wait_base {
 public:
  /// Whether something other than a fiber or a timer of this scheduler can end it.
  static constexpr bool has_hope = false;
  /// Whether something of it is in flight after unwatch(). For those that have hope.
  bool lingers() const noexcept { return false; }
  /// Called after unwatch(), when all of the select() are given up: may end other waits, such as of
  /// those that it had kept out.
  void pass_on() noexcept {}

 protected:
  using wait_base::wait_base;
  ~two_phase_wait() = default;

  /// For await_suspend of a wait that stands alone.
  template <class Wait>
  static bool begin_alone(Wait& self, frame_record& at) noexcept(noexcept(self.try_now()));
  /// Ends the wait; the other waits of its select() are given up.
  void wake() noexcept;
  void wake_with_hope() noexcept;

 private:
  friend class selection;
  void win() noexcept;
  selection* of_ = nullptr;  // null when it stands alone
};

/// A wait in a list of waits that are ended in their order by the side that has what they wait for.
class list_wait : public two_phase_wait, public list_hook<> {
 public:
  /// Takes it out of its list and resumes its fiber. Aborts on another thread than the fiber's.
  void complete() noexcept;
  void unwatch() noexcept { unlink(); }

  /// For the destructor of what they wait for. It aborts with that rule when there are any; but
  /// when an exception is unwinding the owner, which is not to be hidden by an abort, they end with
  /// errc::closed, and the broken rule is reported like a failure that no fiber looked at.
  static void end_orphans(intrusive_list<list_wait>& left, const char* rule) noexcept;

 protected:
  using two_phase_wait::two_phase_wait;
  ~list_wait() = default;

  /// Leaves the list when asked to end early.
  static void cancel(context& who, cancel_reason reason) noexcept;
};

using wait_list = intrusive_list<list_wait>;

namespace detail {

/// For the destructors of objects with waits, first: in a child of fork() the waits of the parent's
/// fibers are taken out.
void drop_waits_left_behind(wait_list& waits) noexcept;

}  // namespace detail

}  // namespace ringlet
