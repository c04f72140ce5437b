// fiber_base: a fiber without its result, which is what schedulers, waits and handles share.
#pragma once

#include <ringlet/context.hpp>
#include <ringlet/intrusive_list.hpp>
#include <ringlet/scheduler.hpp>
#include <ringlet/timer.hpp>

#include <atomic>
#include <cstdint>
#include <exception>
#include <memory>
#include <source_location>
#include <span>
#include <string_view>
#include <utility>

namespace ringlet {

struct fiber_extras;
class task_group;

namespace detail {

struct context_value;

}  // namespace detail

/// How a fiber ended.
enum class outcome : std::uint8_t {
  /// It has not.
  pending,
  /// Its task returned.
  value,
  /// Its task threw.
  error,
  /// It was killed, and let the `cancelled` through; or was killed before it began.
  exited,
};

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

/// A function to be called when a fiber has ended.
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

/// A fiber without its result. Made by spawn(). What a short life runs through is inline, so that
/// compilers see all of it where a fiber is made, and where it ends.
class fiber_base : public context, public list_hook<registry_tag>, private timer {
 public:
  /// Throws std::bad_alloc.
  [[gnu::always_inline]] fiber_base(scheduler& home, scope& around,
                                    const std::source_location& spawned_at)
      : fiber_base(home, around, spawned_at, prepare(home)) {}

  scheduler& home() const noexcept { return static_cast<scheduler&>(context::home()); }
  std::uint64_t id() const noexcept { return id_; }
  std::uint64_t parent_id() const noexcept { return parent_id_; }
  const std::source_location& spawned_at() const noexcept { return spawned_at_; }
  std::string_view name() const noexcept;
  void set_name(std::string_view name);

  /// What only few fibers have, made when it is asked for.
  fiber_extras& extras();
  bool has_greenlets() const noexcept;
  /// The values of context variables that it sees.
  std::shared_ptr<const detail::context_value> context_values() const noexcept;

  outcome result() const noexcept { return outcome_; }
  bool done() const noexcept { return outcome_ != outcome::pending; }
  /// The exception that ended it, or null; it then counts as looked at. Any thread, once it has
  /// ended.
  std::exception_ptr error() noexcept {
    observed_.store(true, std::memory_order_relaxed);
    return error_;
  }

  /// See fiber<T>::request_kill(). Aborts on another thread than the scheduler's.
  void kill() noexcept;
  void kill_with(std::exception_ptr error);

  /// Tells `added` when the fiber ends, which it has not. Watchers are told in the order in which
  /// they came, including those added in the meantime.
  void watch(done_watcher& added) noexcept { watchers_.push_back(added); }
  /// The first of those that `told` is called for and `is` is true of; null when there is none.
  template <class F>
  done_watcher* find_watcher(void (*told)(done_watcher&) noexcept, F is) noexcept {
    done_watcher* w = watchers_.next(nullptr);
    while (w != nullptr && (w->on_done_ != told || !is(*w))) w = watchers_.next(w);
    return w;
  }

  /// See fiber<T>::on_done().
  callback_id add_callback(std::unique_ptr<done_callback> added);
  bool remove_callback(callback_id id) noexcept;

  /// A limit for the current wait: at `deadline` its type's cancel is called with timed_out.
  void arm_limit(steady_ns deadline) noexcept {
    home().timers().arm(*this, deadline, &fiber_base::on_limit);
  }
  void disarm_limit() noexcept { home().timers().disarm(*this); }
  /// When the limit of the current wait passes; never when it has none.
  steady_ns limit() const noexcept { return home().timers().deadline_of(*this); }

  // Of a starter: a fiber in which task groups are open. The main task starts all other fibers.
  // What is about to unwind it cancels their fibers first, and it is not resumed until those have
  // ended: they use its locals.

  /// For a group of this fiber, which opens, and closes before the call that opened it ends.
  void add_group(task_group& opened) noexcept;
  void remove_group(task_group& closed) noexcept;
  /// The newest of those that are open; null when none is.
  const task_group* newest_group() const noexcept { return groups_; }
  /// Whether fibers have to end before the pending interruption may unwind this one.
  bool is_blocked() const noexcept;
  /// How many; for dump().
  std::size_t blockers() const noexcept;
  /// For a wait that is about to throw the interruption: cancels what that will unwind. True when
  /// the fiber must be held first.
  bool prepare_to_unwind() noexcept;
  /// Whether its wait was ended by an interruption, so that its turn may have to wait.
  bool was_interrupted_waiting() const noexcept { return hold_ == hold::when_woken; }
  /// Suspends it, or leaves it suspended, until is_blocked() is false.
  void hold_until_unblocked() noexcept;
  void hold_at(frame_record& at) noexcept;
  /// All fibers of a group that it is unwinding have ended.
  void on_group_emptied(const task_group& emptied) noexcept;
  /// Ends the hold, as far as there is one.
  void release_hold() noexcept;
  /// The same because its time is over: as far as it can be resumed at all.
  void release_overdue_hold() noexcept;
  /// After a wait that only a group can end, which has begun with an interruption pending.
  void hold_when_woken() noexcept { hold_ = hold::when_woken; }

  /// After the root coroutine has ended and its resumption has returned: frees its frame, tells
  /// those who watch.
  inline void retire() noexcept;

  void add_reference() noexcept { references_.fetch_add(1, std::memory_order_relaxed); }
  void drop_reference() noexcept {
    // The last owner needs no atomic subtraction: there is no one left to race with.
    if (references_.load(std::memory_order_acquire) == 1 || !is_shared_without_me()) release();
  }

 protected:
  inline ~fiber_base();
  /// Frees the memory, as the class that was made.
  virtual void destroy() noexcept = 0;
  /// Takes the result from the root coroutine, and destroys it.
  virtual void collect() noexcept = 0;

  void set_value() noexcept { outcome_ = outcome::value; }
  /// The outcome of a fiber that ended with that exception.
  void set_failure(std::exception_ptr error) noexcept;
  /// The outcome of one that was killed before it began.
  void set_never_started() noexcept;

 private:
  bool is_shared_without_me() noexcept;
  static void on_limit(timer& due) noexcept;
  bool remove_from(intrusive_list<done_watcher>& list, callback_id id) noexcept;
  void on_root_done() noexcept override;
  inline void release() noexcept;
  void keep_awaits(std::span<const std::source_location> awaits) noexcept;
  void report_failure() noexcept;

  static void delete_extras(fiber_extras* deleted) noexcept;
  struct extras_deleter {
    void operator()(fiber_extras* deleted) const noexcept { delete_extras(deleted); }
  };
  using extras_owner = std::unique_ptr<fiber_extras, extras_deleter>;

  // All that may fail, before there is anything to be taken down again.
  [[gnu::always_inline]] static extras_owner prepare(scheduler& home) {
    extras_owner inherited;
    if (home.running() != nullptr && home.running()->extras_ != nullptr) [[unlikely]]
      inherited = home.running()->inheritance();
    home.timers().reserve_place();
    return inherited;
  }
  extras_owner inheritance() const;
  inline fiber_base(scheduler& home, scope& around, const std::source_location& spawned_at,
                    extras_owner inherited) noexcept;
  void end_extras() noexcept;
  void on_interrupted(bool was_waiting) noexcept override;
  void cancel_unwound_groups() noexcept;
  bool choose_blocker(task_group* first) noexcept;
  bool is_held_for(const task_group& open) const noexcept;

  enum class hold : std::uint8_t {
    none,
    /// Its wait was ended by an interruption: if it is blocked when its turn comes it is held.
    when_woken,
    /// It is suspended until it is not blocked any more.
    held,
  };

  std::atomic<std::uint32_t> references_ = 2;  // the scheduler's and the first handle's
  std::exception_ptr error_;
  std::uint64_t id_;
  std::uint64_t parent_id_;
  std::source_location spawned_at_;
  extras_owner extras_;
  intrusive_list<done_watcher> watchers_;
  task_group* groups_ = nullptr;  // the open ones, newest first
  outcome outcome_ = outcome::pending;
  std::atomic<bool> observed_ = false;
  hold hold_ = hold::none;
};

[[gnu::always_inline]] inline fiber_base::fiber_base(scheduler& home, scope& around,
                                                     const std::source_location& spawned_at,
                                                     extras_owner inherited) noexcept
    : context(home, around),
      id_(home.next_id()),
      parent_id_(home.running() != nullptr ? home.running()->id_ : 0),
      spawned_at_(spawned_at),
      extras_(std::move(inherited)) {}

inline fiber_base::~fiber_base() = default;

inline void fiber_base::retire() noexcept {
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

inline void scheduler::adopt(fiber_base& added) noexcept {
  if (added.interrupted()) [[unlikely]]
    return reject(added);
  registry_.push_back(added);
  ++live_fibers_;
  push(added);
}

template <class F>
void scheduler::for_each_fiber(F&& visit) {
  for (fiber_base* f = registry_.next(nullptr); f != nullptr; f = registry_.next(f)) visit(*f);
}

/// The fiber that calls it; aborts outside of one.
fiber_base& current();

}  // namespace ringlet
