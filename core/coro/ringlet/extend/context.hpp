// context: what the code that runs a chain of coroutine calls knows about it. The base of a fiber.
//
// It answers three questions. What is the chain waiting for? The wait, one at a time. Must the next
// wait end immediately? The interruptions: kills (delivered once each) and cancelled scopes
// (delivered at every wait inside). Where is the chain queued when it can continue? Its ready
// queue.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/cancelled.hpp>
#include <ringlet/extend/assert.hpp>
#include <ringlet/extend/frame_record.hpp>
#include <ringlet/extend/scope.hpp>
#include <ringlet/extend/wait_record.hpp>

#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <utility>

namespace ringlet {

template <class T>
class task;

}  // namespace ringlet

namespace ringlet::detail {

struct final_awaiter;

}  // namespace ringlet::detail

namespace ringlet::extend {

class context;
class ready_queue;

}  // namespace ringlet::extend

namespace ringlet::detail {

/// The stack address below which chains of this thread are cut. Not in the ready queue, because
/// every call and return of a task reads it: initial-exec makes that one instruction.
extern thread_local constinit std::uintptr_t stack_floor __attribute__((tls_model("initial-exec")));

}  // namespace ringlet::detail

namespace ringlet::extend {

/// The base of a fiber; see the head of this file. Thread: that of its ready queue.
class context {
 public:
  /// `around` is the root scope of `queue`, or a scope inside it.
  context(ready_queue& queue, scope& around) noexcept
      : context(queue, around, around.ends_waits()) {}
  context(const context&) = delete;
  context& operator=(const context&) = delete;

  ready_queue& queue() const noexcept { return *queue_; }
  const wait_record& current_wait() const noexcept { return wait_; }

  /// Makes `root` the coroutine that the first resumption starts. Until then the context waits for
  /// its turn; the queue's push() queues it.
  inline void set_root(frame_record& root) noexcept;

  /// What a wait checks first, before it takes anything: true if an interruption must be delivered
  /// (by throw_interruption()) instead of waiting.
  bool interrupted() const noexcept { return interrupted_; }
  /// Throws the oldest kill, or else `cancelled` from the outermost cancelled scope.
  [[noreturn, gnu::cold]] void throw_interruption();

  /// Whether a wait that need not suspend may return immediately. After 128 such waits in one
  /// resumption, the fiber must queue up instead (wake()), so a loop over ready objects cannot
  /// starve other fibers.
  bool may_continue() noexcept { return --budget_ != 0; }
  /// The same for a wait that otherwise asks again: counts only if the answer is true. False, too,
  /// while an interruption is pending.
  bool may_continue_at_once() noexcept {
    if (interrupted_ || budget_ <= 1) return false;
    --budget_;
    return true;
  }
  /// Makes the next may_continue() false, so that rare conditions are checked off the common path.
  /// restore_budget() undoes this, and returns false if there is nothing to restore.
  void set_budget_aside() noexcept {
    if (spare_budget_ == 0) spare_budget_ = std::exchange(budget_, std::uint8_t{1});
  }
  bool restore_budget() noexcept {
    if (spare_budget_ == 0) return false;
    budget_ = std::exchange(spare_budget_, std::uint8_t{0});
    return true;
  }

  /// Records that the coroutine `at` suspends. The code that ends the wait calls wake() once.
  void begin_wait(const wait_type& type, void* object, frame_record& at) noexcept;
  /// Ends the current wait: queues the context to be resumed.
  void wake() noexcept;
  /// Asks the current wait to end early; does nothing if there is none or it has ended.
  void cancel_wait(cancel_reason reason) noexcept {
    if (wait_.type != nullptr && wait_.type->cancel != nullptr) wait_.type->cancel(*this, reason);
  }

  /// Delivers a kill: `cancelled` is thrown at the current wait, or else at the next one.
  void kill() noexcept;
  /// Delivers `error` in the same way.
  void interrupt_with(std::exception_ptr error);
  /// Checks again whether an interruption must be delivered, and if so ends the current wait.
  /// Called by the code that changed a reason.
  void interrupt() noexcept;
  /// Makes all scopes stop holding anything back.
  void stop_holding_back() noexcept;

  bool has_started() const noexcept { return started_; }

  /// Called when a coroutine returns to `caller`, which may destroy it: current_wait().at must no
  /// longer refer to it.
  void return_to(frame_record& caller) noexcept { wait_.at = &caller; }

  /// The innermost scope around the running calls; at least that of the ready queue. Fibers that
  /// are part of a call are made inside it.
  scope* innermost_scope() const noexcept { return innermost_; }
  /// Switches to another stack of scopes, whose innermost is `top`. Greenlets use this, because
  /// each has scopes of its own.
  void enter_scopes(scope& top) noexcept;

 protected:
  ~context() {
    if (errors_ != nullptr) [[unlikely]]
      drop_errors();
  }

  /// The exception that throw_interruption() would throw next, if it was passed to
  /// interrupt_with(); otherwise null.
  std::exception_ptr first_given_error() const noexcept;

  /// Called when an interruption is pending, after the current wait was asked to end because of it;
  /// `was_waiting` tells whether there was a wait.
  virtual void on_interrupted(bool was_waiting) noexcept { static_cast<void>(was_waiting); }
  /// The outermost scope that the pending interruption will leave; null if it leaves all of them.
  scope* last_to_unwind() const noexcept;
  /// Changes the wait that a suspended context shows.
  void show_wait(const wait_type& type, void* object) noexcept {
    wait_.type = &type;
    wait_.object = object;
  }

  /// Called when the root coroutine has returned or thrown, inside its final suspension. The
  /// coroutine may be destroyed only after the resumption that led here has returned.
  virtual void on_root_done() noexcept = 0;

 private:
  friend class scope;
  friend class ready_queue;
  template <class T>
  friend class ringlet::task;
  friend struct detail::final_awaiter;

  struct pending_error;

  context(ready_queue& queue, scope& around, bool interrupted) noexcept
      : queue_(&queue), interrupted_(interrupted), innermost_(&around) {}
  void drop_errors() noexcept;
  void update_interrupted() noexcept;
  void add_interruption() noexcept;
  void end_interrupted_wait() noexcept;
  const scope* holder() const noexcept;
  scope* outermost_cancelled(const scope* end) const noexcept;
  bool holds_back_kills(const scope* holder) const noexcept;

  context* next_ready_ = nullptr;
  ready_queue* queue_;
  wait_record wait_;
  // Every resumption touches the members above and the next three: one cache line.
  std::uint8_t budget_ = 0;
  std::uint8_t spare_budget_ = 0;
  bool interrupted_ = false;
  bool started_ = false;
  std::uint32_t kills_ = 0;  // plain kills to be thrown after the given exceptions
  scope* innermost_;
  pending_error* errors_ = nullptr;  // given exceptions, oldest first
};

/// The contexts that can continue, first in, first out. The base of a scheduler.
class ready_queue {
 public:
  /// How far the stack may grow below the frame that resumes contexts. Beyond that, a chain of
  /// transfers is cut and continued from that frame.
  static constexpr std::size_t stack_growth_max = 64 * 1024;
  /// How many waits per resumption may return without suspending.
  static constexpr std::uint8_t budget = 128;

  ready_queue() noexcept = default;
  ready_queue(const ready_queue&) = delete;
  ready_queue& operator=(const ready_queue&) = delete;

  bool empty() const noexcept { return head_ == nullptr; }
  /// Visits all of them; for dump().
  std::size_t count() const noexcept {
    std::size_t count = 0;
    for (const context* c = head_; c != nullptr; c = c->next_ready_) ++count;
    return count;
  }

  void push(context& ready) noexcept {
    ready.next_ready_ = nullptr;
    *tail_ = &ready;
    tail_ = &ready.next_ready_;
  }

  /// Continues `next` from the bottom of the stack, in the same resumption: with the rest of the
  /// context's budget, and before anything else runs.
  void bounce(frame_record& next) noexcept { bounced_ = next.self(); }

  /// Resumes `first`. Precondition: it is the first in the queue.
  void resume(context& first) noexcept {
    head_ = first.next_ready_;
    if (head_ == nullptr) tail_ = &head_;
    first.wait_.type = nullptr;
    first.budget_ = budget;
    first.started_ = true;
    first.wait_.at->self().resume();
    while (bounced_) std::exchange(bounced_, nullptr).resume();
  }

  /// Removes the first context without resuming it. Precondition: not empty.
  context& pop_first() noexcept {
    context& first = *head_;
    head_ = first.next_ready_;
    if (head_ == nullptr) tail_ = &head_;
    return first;
  }
  context& first() noexcept { return *head_; }
  /// Prefetches the context after `first`: with thousands of contexts it is not in the cache.
  static void prefetch_second(const context& first) noexcept {
    __builtin_prefetch(first.next_ready_, 1);
  }

  /// Sets the stack address from which chains of this thread are cut; called by the function that
  /// resumes.
  static void set_stack_base(const void* frame) noexcept {
    detail::stack_floor = reinterpret_cast<std::uintptr_t>(frame) - stack_growth_max;
  }

  /// The scope around all contexts of this queue.
  scope& root_scope() noexcept { return root_; }
  const scope& root_scope() const noexcept { return root_; }

  /// The steady time of this turn in nanoseconds, which waits record as their beginning.
  std::int64_t turn_time() const noexcept { return turn_time_; }
  void set_turn_time(std::int64_t now) noexcept { turn_time_ = now; }

 private:
  context* head_ = nullptr;
  context** tail_ = &head_;
  std::coroutine_handle<> bounced_;
  std::int64_t turn_time_ = 0;
  scope root_;
};

inline void context::begin_wait(const wait_type& type, void* object, frame_record& at) noexcept {
  wait_.type = &type;
  wait_.object = object;
  wait_.at = &at;
  wait_.since = queue_->turn_time();
}

/// The type of the wait of a context that is queued to run.
extern const wait_type ready_wait;

inline void context::set_root(frame_record& root) noexcept {
  root.chain = this;
  wait_.type = &ready_wait;
  wait_.at = &root;
}

inline void context::wake() noexcept {
  wait_.type = &ready_wait;
  // The context will be resumed soon, through the beginning of its innermost frame.
  __builtin_prefetch(wait_.at->self().address(), 1);
  queue_->push(*this);
}

/// Passes control to `next`, a coroutine of the same chain: every call and return of a task ends
/// here. Without optimisation or under sanitizers, g++ makes no tail call here, so below the stack
/// floor the frame that resumes continues the chain. Every build does the same, because headers are
/// compiled with the user's flags and the function must be right under all of them.
inline std::coroutine_handle<> transfer(frame_record& next) noexcept {
  if (reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0)) < detail::stack_floor)
      [[unlikely]] {
    next.chain->queue().bounce(next);
    return std::noop_coroutine();
  }
  return next.self();
}

}  // namespace ringlet::extend
