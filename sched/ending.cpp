// How a run ends: signals, deadlocks, and the clock of the shutdown.
//
// The clock begins when a signal kills the main task, or when the main task ends. At half of the
// grace time, starters are no longer held for their fibers. At the grace time, the fibers that are
// left are listed, and shields end. At twice the grace time, the program ends. A kill of the main
// task by the program itself also starts the clock, but only to release the main task. If the
// program has called shutdown_requested(), a signal kills the main task one grace time later.
#include <ringlet/deadlock.hpp>
#include <ringlet/detail/report.hpp>
#include <ringlet/fiber.hpp>
#include <ringlet/run.hpp>
#include <ringlet/scheduler.hpp>
#include <ringlet/wait.hpp>

#include <signal.h>

#include <algorithm>
#include <new>
#include <utility>

namespace ringlet {

void scheduler::check_signal() noexcept {
  const int number = signal_->load(std::memory_order_relaxed);
  if (number == 0) return;
  signal_ = nullptr;
  if (main_->done()) return;
  if (expects_request_) {
    has_request_ = true;
    kill_main_at_ = until(options_.grace).resolve(engine_->now());
    set_next_stage();
    while (!shutdown_waiters_.empty()) shutdown_waiters_.front().complete();
    return;
  }
  kill_main();
  if (main_->interrupted()) return;
  detail::report(
      "ringlet: %s: the main task is in a shield, and ends when that does; a second signal "
      "ends the program at once\n",
      number == SIGINT ? "SIGINT" : "SIGTERM");
}

void scheduler::kill_main() noexcept {
  count_to_the_end();
  main_->kill();
}

void scheduler::add_shutdown_waiter(list_wait& waiter) noexcept {
  shutdown_waiters_.push_back(waiter);
}

void scheduler::cancel_all_but_main() noexcept {
  if (std::exchange(others_are_cancelled_, true)) return;
  start_clock();
  root_scope().cancel();
  for_each_fiber([this](fiber_base& other) {
    if (!is_main(other)) other.interrupt();
  });
}

// The main task has ended: all other fibers are cancelled, at every wait.
void scheduler::begin_ending() noexcept {
  ending_ = true;
  kill_main_at_ = never;
  count_to_the_end();
  root_scope().cancel();
  for_each_fiber([](fiber_base& left) { left.interrupt(); });
}

// A clock that a kill has started, and that only counts to the release, starts again.
void scheduler::count_to_the_end() noexcept {
  if (!std::exchange(counts_to_the_end_, true)) clock_start_ = never;
  start_clock();
}

// Reads the clock again: the turn may have begun long ago.
void scheduler::start_clock() noexcept {
  if (clock_start_ == never) clock_start_ = engine_->now();
  set_next_stage();
}

// Every turn reads it, so it is stored.
void scheduler::set_next_stage() noexcept {
  const std::chrono::nanoseconds grace = options_.grace;
  if (clock_start_ == never) {
    next_stage_at_ = never;
  } else if (stage_ == stage::holding) {
    next_stage_at_ = until(grace / 2).resolve(clock_start_);
  } else if (counts_to_the_end_) {
    next_stage_at_ = until(stage_ == stage::released ? grace : 2 * grace).resolve(clock_start_);
  } else {
    next_stage_at_ = never;
  }
  // The program may have killed the main task before; the signal kills it again.
  next_stage_at_ = std::min(next_stage_at_, kill_main_at_);
}

void scheduler::enter_due_stages() {
  while (live_fibers_ != 0 && turn_time() >= next_stage_at_) enter_next_stage();
}

void scheduler::enter_next_stage() {
  if (turn_time() >= kill_main_at_) {
    kill_main_at_ = never;
    return kill_main();
  }
  if (stage_ == stage::holding) return release_starters();
  const bool is_last = stage_ == stage::listed;
  detail::report("ringlet: these fibers did not end within %.1f s after %s:\n%s",
                 static_cast<double>(options_.grace.count()) / 1e9 * (is_last ? 2 : 1),
                 ending_ ? "the main task had ended" : "the signal", dump().c_str());
  if (is_last) on_stuck_();
  end_shields();
}

void scheduler::release_starters() noexcept {
  stage_ = stage::released;
  set_next_stage();
  for_each_fiber([](fiber_base& held) { held.release_overdue_hold(); });
}

void scheduler::end_shields() noexcept {
  stage_ = stage::listed;
  set_next_stage();
  for_each_fiber([](fiber_base& left) { left.stop_holding_back(); });
}

void scheduler::release_main_when_alone() noexcept {
  if (live_fibers_ == 1 && !main_->done() && !main_->is_blocked()) main_->release_hold();
}

bool scheduler::is_deadlocked() const {
  if (signal_ != nullptr && !shutdown_waiters_.empty()) return false;
  const std::lock_guard lock(remotes_->mutex);
  // In this order: the last handle may have posted before it went.
  return remotes_->handles == 0 && !engine_->has_posted();
}

void scheduler::report_deadlock() {
  if (main_->done() || main_->interrupted()) return give_main_up();
  try {
    deadlock_report_ = "deadlock: every fiber waits for another one\n" + dump();
  } catch (const std::bad_alloc&) {
    deadlock_report_ = "deadlock";
  }
  main_->kill();
  main_->stop_holding_back();  // nothing else would end its wait in a shield without a limit
}

void detail::throw_deadlock_of(scheduler& home, fiber_base& main) {
  if (home.deadlock_report().empty()) return;
  deadlock found(home.deadlock_report());
  if (main.result() == outcome::exited) throw found;
  report_failure_of(main, std::make_exception_ptr(std::move(found)));
}

// Fibers that were asked to end are waiting for something that cannot happen, so the clock need not
// run down. Starters are released, then shields end. If that wakes no fiber, the rest are suspended
// in something that this scheduler does not know.
void scheduler::give_main_up() {
  if (stage_ == stage::holding) return release_starters();
  if (stage_ == stage::released) return end_shields();
  detail::report(
      "ringlet: deadlock, and %s cannot end: nothing can wake them (a fiber that is "
      "\"running\" "
      "here awaits something that is not a wait of this library, or whose resumption was "
      "lost):\n%s",
      main_->done() ? "these fibers" : "the main task and these fibers", dump().c_str());
  on_stuck_();
}

}  // namespace ringlet
