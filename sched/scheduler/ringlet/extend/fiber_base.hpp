// fiber_base: a fiber without its result; schedulers, waits and handles share it.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/extend/context.hpp>
#include <ringlet/extend/intrusive_list.hpp>
#include <ringlet/extend/scheduler.hpp>
#include <ringlet/extend/timer.hpp>
#include <ringlet/outcome.hpp>

#include <atomic>
#include <cstdint>
#include <exception>
#include <memory>
#include <source_location>
#include <span>
#include <string_view>
#include <utility>

namespace ringlet::detail {

struct fiber_extras;
class open_group;
struct context_value;

}  // namespace ringlet::detail

namespace ringlet::extend {

/// An object to notify when a fiber has ended: a join, a callback, a group.
class done_watcher : public list_hook<> {
 protected:
  /// Called once, on the scheduler's thread, between fibers; the watcher has left the list.
  using handler = void (*)(done_watcher&) noexcept;

  explicit done_watcher(handler told) noexcept : on_done_(told) {}
  ~done_watcher() = default;

 private:
  friend class fiber_base;
  friend class scheduler;
  handler on_done_;
};

/// A function to call when a fiber has ended.
class done_callback : public done_watcher {
 public:
  virtual ~done_callback() = default;

 protected:
  done_callback() noexcept : done_watcher(&done_callback::on_ended) {}
  virtual void call() = 0;
  virtual fiber_base& target() const noexcept = 0;

 private:
  friend class fiber_base;
  static void on_ended(done_watcher& watcher) noexcept;
  callback_id id_ = {};
};

/// A fiber without its result. Made by spawn(). The common path of a short life is inline, so that
/// compilers see all of it where a fiber is made and where it ends.
class fiber_base : public context, public list_hook<detail::registry_tag>, private timer_entry {
 public:
  /// Throws std::bad_alloc.
  [[gnu::always_inline]] fiber_base(extend::scheduler& scheduler, scope& around,
                                    const std::source_location& spawned_at)
      : fiber_base(scheduler, around, spawned_at, prepare(scheduler)) {}

  extend::scheduler& scheduler() const noexcept {
    return static_cast<extend::scheduler&>(context::queue());
  }
  std::uint64_t id() const noexcept { return id_; }
  std::uint64_t parent_id() const noexcept { return parent_id_; }
  const std::source_location& spawned_at() const noexcept { return spawned_at_; }
  std::string_view name() const noexcept;
  void set_name(std::string_view name);

  /// The extras that few fibers have, made on first use.
  detail::fiber_extras& extras();
  bool has_greenlets() const noexcept;
  /// The values of context variables that the fiber sees.
  std::shared_ptr<const detail::context_value> context_values() const noexcept;

  outcome result() const noexcept { return outcome_; }
  bool done() const noexcept { return outcome_ != outcome::pending; }
  /// The exception that ended the fiber, or null. The error then counts as handled. Any thread,
  /// once the fiber has ended.
  std::exception_ptr error() noexcept {
    observed_.store(true, std::memory_order_relaxed);
    return error_;
  }

  /// The same for the only caller: moves it out, so that the fiber does not share the
  /// exception with another thread.
  std::exception_ptr take_error() noexcept {
    observed_.store(true, std::memory_order_relaxed);
    return std::move(error_);
  }

  /// See fiber<T>::request_kill(). Aborts on any thread but the scheduler's.
  void kill() noexcept;
  void kill_with(std::exception_ptr error);

  /// Notifies `added` when the fiber ends. Precondition: it has not ended. Watchers are notified in
  /// the order in which they were added, including those added during notification.
  void watch(done_watcher& added) noexcept { watchers_.push_back(added); }
  /// The first watcher with the handler `told` for which `is` returns true; null if there is none.
  template <class F>
  done_watcher* find_watcher(void (*told)(done_watcher&) noexcept, F is) noexcept {
    done_watcher* w = watchers_.next(nullptr);
    while (w != nullptr && (w->on_done_ != told || !is(*w))) w = watchers_.next(w);
    return w;
  }

  /// See fiber<T>::on_done().
  callback_id add_callback(std::unique_ptr<done_callback> added);
  bool remove_callback(callback_id id) noexcept;

  /// Arms the limit of the current wait: at `deadline`, the cancel function of its type is called
  /// with timed_out.
  void arm_limit(steady_ns deadline) noexcept {
    scheduler().timers().arm(*this, deadline, &fiber_base::on_limit);
  }
  void disarm_limit() noexcept { scheduler().timers().disarm(*this); }
  /// When the limit of the current wait passes; never if it has none.
  steady_ns limit() const noexcept { return scheduler().timers().deadline_of(*this); }

  // The following concern starters: fibers in which task groups are open. The main task is the
  // starter of all other fibers. An interruption that is about to unwind a starter cancels its
  // fibers first, and the starter resumes only when they have ended, because they use its locals.

  /// Called when a group of this fiber opens, and when it closes, before the call that opened it
  /// ends.
  void add_group(detail::open_group& opened) noexcept;
  void remove_group(detail::open_group& closed) noexcept;
  /// Whether fibers have to end before the pending interruption may unwind this one.
  bool is_blocked() const noexcept;
  /// How many such fibers there are; for dump().
  std::size_t blockers() const noexcept;
  /// Called by a wait that is about to throw the interruption: cancels the groups that it will
  /// unwind. True if the fiber must be held first.
  bool prepare_to_unwind() noexcept;
  /// Whether a shield protects it from the end of its scheduler: one around its own calls, or
  /// around the call that opened its group, and so on. Visits all these scopes.
  bool is_shielded() const noexcept;
  /// Whether an interruption ended the wait, so that the fiber may have to be held.
  bool was_interrupted_waiting() const noexcept { return hold_ == hold::when_woken; }
  /// Suspends the fiber, or leaves it suspended, until is_blocked() is false.
  void hold_until_unblocked() noexcept;
  void hold_at(frame_record& at) noexcept;
  /// Called when all fibers of a group that is being unwound have ended.
  void on_group_emptied(const detail::open_group& emptied) noexcept;
  /// Ends the hold, if there is one.
  void release_hold() noexcept;
  /// Ends the hold because its time is over, if the fiber can be resumed at all.
  void release_overdue_hold() noexcept;
  /// Called when the fiber has got a lock, and when that lock is no longer its own. A fiber that
  /// ends with a lock aborts, because the lock would refer to it.
  void count_lock() noexcept { ++locks_; }
  void discount_lock() noexcept { --locks_; }

  /// Called after a wait that only a group can end, and that began with an interruption pending.
  void hold_when_woken() noexcept { hold_ = hold::when_woken; }

  /// Called after the root coroutine has ended and its resumption has returned: frees the frame and
  /// notifies the watchers.
  inline void retire() noexcept;

  void add_reference() noexcept { references_.fetch_add(1, std::memory_order_relaxed); }
  void drop_reference() noexcept {
    // The last owner needs no atomic subtraction: nothing is left to race with.
    if (references_.load(std::memory_order_acquire) == 1 || !is_shared_without_me()) release();
  }

 protected:
  inline ~fiber_base();
  /// Destroys the fiber as its most derived class.
  virtual void destroy() noexcept = 0;
  /// Takes the result from the root coroutine, and destroys the coroutine.
  virtual void collect() noexcept = 0;

  void set_value() noexcept { outcome_ = outcome::value; }
  /// Sets the outcome of a fiber that ended with `error`.
  void set_failure(std::exception_ptr error) noexcept;
  /// Sets the outcome of a fiber that was killed before it began.
  void set_never_started() noexcept;

 private:
  bool is_shared_without_me() noexcept;
  static void on_limit(timer_entry& due) noexcept;
  bool remove_from(intrusive_list<done_watcher>& list, callback_id id) noexcept;
  void on_root_done() noexcept override;
  inline void release() noexcept;
  void keep_awaits(std::span<const std::source_location> awaits) noexcept;
  void report_failure() noexcept;

  static void delete_extras(detail::fiber_extras* deleted) noexcept;
  struct extras_deleter {
    void operator()(detail::fiber_extras* deleted) const noexcept { delete_extras(deleted); }
  };
  using extras_owner = std::unique_ptr<detail::fiber_extras, extras_deleter>;

  // Everything that may fail is done first, before there is anything to undo.
  [[gnu::always_inline]] static extras_owner prepare(extend::scheduler& scheduler) {
    extras_owner inherited;
    if (scheduler.running() != nullptr && scheduler.running()->extras_ != nullptr) [[unlikely]]
      inherited = scheduler.running()->inheritance();
    scheduler.timers().reserve_place();
    return inherited;
  }
  extras_owner inheritance() const;
  inline fiber_base(extend::scheduler& scheduler, scope& around,
                    const std::source_location& spawned_at, extras_owner inherited) noexcept;
  void end_extras() noexcept;
  [[noreturn, gnu::cold]] void refuse_to_end() const noexcept;
  void on_interrupted(bool was_waiting) noexcept override;
  void cancel_unwound_groups() noexcept;
  bool choose_blocker(detail::open_group* first) noexcept;
  bool is_held_for(const detail::open_group& open) const noexcept;

  enum class hold : std::uint8_t {
    none,
    /// An interruption ended its wait: if the fiber is blocked when its turn comes, it is held.
    when_woken,
    /// It is suspended until it is no longer blocked.
    held,
  };

  std::atomic<std::uint32_t> references_ = 2;  // the scheduler's and the first handle's
  std::exception_ptr error_;
  std::uint64_t id_;
  std::uint64_t parent_id_;
  std::source_location spawned_at_;
  extras_owner extras_;
  intrusive_list<done_watcher> watchers_;
  detail::open_group* groups_ = nullptr;  // the open ones, newest first
  outcome outcome_ = outcome::pending;
  std::atomic<bool> observed_ = false;
  hold hold_ = hold::none;
  std::uint32_t locks_ = 0;  // that it holds
};

[[gnu::always_inline]] inline fiber_base::fiber_base(extend::scheduler& scheduler, scope& around,
                                                     const std::source_location& spawned_at,
                                                     extras_owner inherited) noexcept
    : context(scheduler, around),
      id_(scheduler.fibers().next_id()),
      parent_id_(scheduler.running() != nullptr ? scheduler.running()->id_ : 0),
      spawned_at_(spawned_at),
      extras_(std::move(inherited)) {}

inline fiber_base::~fiber_base() = default;

inline void fiber_base::retire() noexcept {
  if (locks_ != 0) [[unlikely]]
    refuse_to_end();
  collect();
  if (extras_ != nullptr) [[unlikely]]
    end_extras();
  while (!watchers_.empty()) {
    done_watcher& next = watchers_.pop_front();
    next.on_done_(next);
  }
}

inline void fiber_base::release() noexcept {
  if (outcome_ == outcome::error && !observed_.load(std::memory_order_relaxed)) [[unlikely]]
    report_failure();
  destroy();
}

inline void fiber_registry::add(fiber_base& made) noexcept {
  fibers_.push_back(made);
  ++count_;
}

inline void fiber_registry::remove(fiber_base& ended) noexcept {
  fibers_.remove(ended);
  --count_;
}

template <class F>
void fiber_registry::for_each(F&& visit) {
  for (fiber_base* f = fibers_.next(nullptr); f != nullptr; f = fibers_.next(f)) visit(*f);
}

inline void scheduler::adopt(fiber_base& added) noexcept {
  if (added.interrupted()) [[unlikely]]
    return reject(added);
  fibers_.add(added);
  push(added);
}

/// The calling fiber. Aborts outside of a fiber.
fiber_base& current();

}  // namespace ringlet::extend
