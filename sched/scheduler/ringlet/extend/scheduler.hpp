// scheduler: one thread's run queue, timers and engine.
//
// A turn resumes what is ready, at most 256 times or for about a millisecond; then it lets the
// engine submit and reap once, and runs posted work and timers that are due, at most 256 of each.
// So waits for the kernel or for a time are never late by much more than the longest computation
// between two waits of one fiber. Programs do not use the scheduler directly: run() makes one, and
// the calls of this library find it. It is public for authors of new waits.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/affinity.hpp>
#include <ringlet/detail/batch_clock.hpp>
#include <ringlet/detail/handle_state.hpp>
#include <ringlet/detail/remote_start.hpp>
#include <ringlet/detail/runtime_member.hpp>
#include <ringlet/detail/shutdown_clock.hpp>
#include <ringlet/detail/shutdown_signal.hpp>
#include <ringlet/extend/context.hpp>
#include <ringlet/extend/engine.hpp>
#include <ringlet/extend/external_waits.hpp>
#include <ringlet/extend/fiber_registry.hpp>
#include <ringlet/extend/intrusive_list.hpp>
#include <ringlet/extend/shutdown_hook.hpp>
#include <ringlet/extend/timer.hpp>
#include <ringlet/extend/wake_lists.hpp>
#include <ringlet/options.hpp>
#include <ringlet/outcome.hpp>
#include <ringlet/time_limit.hpp>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <string>
#include <utility>

namespace ringlet::extend {

class done_watcher;
class fiber_base;
class scheduler;

}  // namespace ringlet::extend

namespace ringlet::detail {

/// Reports an unhandled error to the handler of this thread's scheduler, or to the default handler
/// if there is no scheduler. See options::on_unhandled_error.
void report_unhandled(const unhandled_error& failure) noexcept;

}  // namespace ringlet::detail

namespace ringlet {

struct dump_options;

}  // namespace ringlet

namespace ringlet::detail {

/// The same for an error of the fiber `who`. `then`: see unhandled_error.
void report_failure_of(const extend::fiber_base& who, std::exception_ptr error,
                       std::string_view then = {}) noexcept;

/// This thread's scheduler, or null. Initial-exec makes reading it one instruction, with no address
/// that a compiler could keep across a suspension.
extern thread_local constinit extend::scheduler* scheduler_here
    __attribute__((tls_model("initial-exec")));

/// Describes the running fiber of this thread for RINGLET_ASSERT; see rule_context.
void describe_running(char* text, std::size_t size) noexcept;
/// Aborts with `rule` because this thread has no scheduler; in a child of fork(), says that
/// instead.
[[noreturn, gnu::cold]] void no_scheduler(const char* rule) noexcept;
/// Aborts because a child of fork() has used an object of the parent. Says what is allowed.
[[noreturn, gnu::cold]] void abort_after_fork() noexcept;
/// Called in a child of fork(): from now on no call through the parent's scheduler `left` reaches
/// the kernel.
void leave_behind(extend::scheduler& left, extend::engine& refusing) noexcept;

/// Tags the list of all schedulers of the process.
struct all_schedulers_tag;

}  // namespace ringlet::detail

namespace ringlet::extend {

/// The scheduler that runs on this thread, or null.
inline extend::scheduler* current_scheduler_or_null() noexcept { return detail::scheduler_here; }
/// The same; aborts with `rule` if there is none.
inline extend::scheduler& current_scheduler(
    const char* rule = "a call that needs a scheduler was made outside of run()") {
  extend::scheduler* const here = current_scheduler_or_null();
  if (here == nullptr) [[unlikely]]
    detail::no_scheduler(rule);
  return *here;
}

/// Thread: the one that constructed it, except where noted.
class scheduler : public ready_queue, public list_hook<detail::all_schedulers_tag> {
 public:
  /// Becomes this thread's scheduler. A thread has at most one at a time.
  scheduler(extend::engine& engine, options settings);
  ~scheduler();

  /// Adopts `main`, and runs until it and all other fibers have ended. See run().
  void run(fiber_base& main);

  extend::engine& engine() noexcept { return *engine_; }
  timer_queue& timers() noexcept { return timers_; }
  const options& settings() const noexcept { return options_; }
  steady_ns now() noexcept { return engine_->now(); }

  /// The name of the scheduler in messages: options::name, or an address. Any thread.
  std::string label() const;
  /// Unique in the process, counting from 1. Any thread.
  std::uint32_t serial() const noexcept { return serial_; }
  /// Aborts on any other thread, with `rule` and the names of both schedulers.
  void check_thread(const char* rule) const noexcept {
    if (current_scheduler_or_null() != this) [[unlikely]]
      detail::wrong_thread(*this, rule);
  }
  /// Whether this process is a child of fork() and the scheduler is the parent's. It must not be
  /// used then.
  bool is_left_behind() const noexcept { return left_behind_; }

  /// Puts a new fiber into the registry and the run queue; rejects it if its scope is cancelled.
  inline void adopt(fiber_base& added) noexcept;
  /// Instead of adopt(): the fiber ends without having begun, and is released.
  void reject(fiber_base& refused) noexcept;
  fiber_registry& fibers() noexcept { return fibers_; }
  const fiber_registry& fibers() const noexcept { return fibers_; }
  callback_id next_callback_id() noexcept { return callback_id{++callback_ids_}; }
  /// The running fiber; null between fibers.
  fiber_base* running() const noexcept { return running_; }
  /// The fibers and what they wait for; see ringlet::dump().
  std::string dump();
  std::string dump(const dump_options& how);

  /// Called when failures of this second were counted instead of printed. Their number is printed
  /// when the second is over, or when the run ends. This neither keeps the run alive nor hides a
  /// deadlock.
  void count_failures_until(steady_ns end_of_second) noexcept { count_due_ = end_of_second; }

  /// Notifies `late` at the end of this turn, because its fiber has already ended. The run does not
  /// end before that.
  void tell_later(done_watcher& late) noexcept;
  /// The watchers to notify.
  intrusive_list<done_watcher>& told_later() noexcept { return told_later_; }

  /// The waits that something outside of this scheduler can end.
  external_waits& external() noexcept { return external_; }
  /// The objects to notify before the engine is destroyed.
  shutdown_hooks& hooks() noexcept { return hooks_; }
  /// Long lists of waits that are woken a slice each turn.
  wake_lists& wakes() noexcept { return wakes_; }
  /// Closes a descriptor through the engine, and notifies the first waiter for a free one.
  /// Precondition: nothing is in flight on it. Every close on this thread comes here; see
  /// unique_fd.
  void close_descriptor(int fd) noexcept;

  const std::shared_ptr<detail::handle_state>& shared_handle_state() const noexcept {
    return handle_state_;
  }
  /// Called when a descriptor is opened or closed here, with 1 or -1. Other threads read the sum.
  void count_descriptors(int change) noexcept {
    std::atomic<std::uint32_t>& open = handle_state_->descriptors;
    open.store(open.load(std::memory_order_relaxed) + static_cast<std::uint32_t>(change),
               std::memory_order_relaxed);
  }
  /// Whether posted work may still run: false once all fibers have ended, unless the runtime of
  /// this scheduler continues.
  bool accepts_posts() const noexcept {
    return fibers_.count() != 0 || (membership_ != nullptr && main_ != nullptr && !ending_);
  }

  /// Makes it part of a runtime. Before run().
  void join_runtime(detail::runtime_member& as) noexcept {
    membership_ = &as;
    handle_state_->runtime = as.runtime();
  }
  /// Its part in a runtime; null without one. Any thread.
  detail::runtime_member* membership() const noexcept { return membership_; }
  /// Called when the runtime ends: kills the main task. If that has ended, ends the other fibers.
  void end_with_runtime() noexcept;
  /// Called when the runtime has found a deadlock.
  void report_deadlock();
  /// The fibers of other schedulers that were started from here.
  detail::remote_starts& started_elsewhere() noexcept { return started_elsewhere_; }
  /// Whether a call from another thread may begin: not once this scheduler has begun to end its
  /// fibers, unless a shield protects the call.
  bool accepts_call(bool is_shielded) const noexcept {
    if (main_ == nullptr) return false;
    return !root_scope().is_cancelled() || (is_shielded && lets_hold_back());
  }

  /// Sets the function that ends the program when fibers outlast twice the shutdown timeout;
  /// std::abort() unless set.
  void set_stuck_handler(void (*handler)()) noexcept { on_stuck_ = handler; }

  /// Whether shields may hold anything back: only until the shutdown timeout has passed.
  bool lets_hold_back() const noexcept { return clock_.reached() < stage::listed; }

  /// The scope around the main task. It is not inside the root scope, which is cancelled when the
  /// main task is asked to end.
  scope& main_scope() noexcept { return main_scope_; }
  bool is_main(const fiber_base& who) const noexcept { return &who == main_; }
  /// Called when the main task is about to be unwound: all other fibers end first.
  void cancel_all_but_main() noexcept;
  /// Whether a starter may be held for its fibers: for half of the shutdown timeout.
  bool holds_starters() const noexcept { return clock_.reached() < stage::released; }
  /// Whether `who` is the main fiber and waits for all other fibers to end.
  bool others_hold(const fiber_base& who) const noexcept {
    return is_main(who) && others_are_cancelled_ && others() != 0;
  }

  /// How many fibers the main task has to wait for: all others, here and elsewhere.
  std::size_t others() const noexcept { return fibers_.count() - 1 + started_elsewhere_.count(); }

  /// The signal that kills the main task, or ends the waits of fibers that asked for it.
  detail::shutdown_signal& signal() noexcept { return signal_; }
  /// See ringlet::shutting_down().
  bool shutting_down() const noexcept {
    return signal_.has_request() || main_was_killed_ || others_are_cancelled_ || ending_;
  }

  /// The deadlock that ended the main task, as text; empty if there was none.
  const std::string& deadlock_report() const noexcept { return deadlock_report_; }

  /// Whether a callback of a fiber that never started is running.
  bool in_callback_of_unstarted() const noexcept { return in_callback_of_unstarted_; }
  bool set_in_callback_of_unstarted(bool in) noexcept {
    return std::exchange(in_callback_of_unstarted_, in);
  }

  /// Called when the root coroutine of the running fiber has ended.
  void finish_running() noexcept { finished_ = true; }

 private:
  friend void detail::leave_behind(extend::scheduler& left, extend::engine& refusing) noexcept;

  using stage = detail::shutdown_clock::stage;

  // How many due timers, posted functions and late callbacks one turn runs at most, of each.
  static constexpr std::size_t at_once_max = 256;
  // How many completions one turn takes from the engine before it resumes fibers.
  static constexpr std::size_t completions_max = 256;

  void enlist();
  void delist() noexcept;
  void turn();
  void run_batch();
  void retire(fiber_base& done) noexcept;
  bool is_intercepted(fiber_base& next) noexcept;
  void poll(steady_ns limit);
  void drain() noexcept;
  void tell_late() noexcept;
  void serve_others();
  bool is_needed_by_others() noexcept;
  void report_others();
  void print_count_of_failures() noexcept;

  // How a run ends; ending.cpp.

  void check_signal() noexcept;
  void kill_main() noexcept;
  void begin_ending() noexcept;
  void end_main() noexcept;
  void end_all_fibers() noexcept;
  const char* beginning_of_end() const noexcept;
  void enter_due_stages();
  void enter_next_stage();
  void release_starters() noexcept;
  void end_shields() noexcept;
  void release_main_when_alone() noexcept;
  /// Called when no fiber is ready, none waits for a timer, and no wait is external.
  bool is_deadlocked() const;
  void give_main_up();

  extend::engine* engine_;
  options options_;
  timer_queue timers_;
  fiber_registry fibers_;
  intrusive_list<done_watcher> told_later_;
  external_waits external_;
  shutdown_hooks hooks_;
  wake_lists wakes_;
  std::shared_ptr<detail::handle_state> handle_state_;
  detail::shutdown_signal signal_;
  detail::shutdown_clock clock_;
  detail::batch_clock batch_;
  scope main_scope_;
  detail::remote_starts started_elsewhere_;
  detail::runtime_member* membership_ = nullptr;
  fiber_base* main_ = nullptr;
  fiber_base* running_ = nullptr;
  bool finished_ = false;  // the root coroutine of the running fiber has ended
  std::uint64_t callback_ids_ = 0;
  steady_ns count_due_ = never;  // when to print how many failures were not printed
  void (*on_stuck_)();
  std::string deadlock_report_;
  std::array<completion, completions_max> completions_;
  bool ending_ = false;                // the main task has ended, and so do all fibers
  bool main_was_killed_ = false;       // by a signal, or because the runtime ends
  bool others_are_cancelled_ = false;  // all fibers but the main one
  bool in_callback_of_unstarted_ = false;
  bool left_behind_ = false;
  std::uint32_t serial_ = 0;
};

}  // namespace ringlet::extend
