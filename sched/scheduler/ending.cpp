// How a run ends: signals, deadlocks, and the steps of the shutdown_clock.
#include <ringlet/deadlock.hpp>
#include <ringlet/detail/report.hpp>
#include <ringlet/extend/scheduler.hpp>
#include <ringlet/extend/wait.hpp>
#include <ringlet/fiber.hpp>
#include <ringlet/run.hpp>

#include <signal.h>

#include <algorithm>
#include <new>
#include <utility>

namespace ringlet {
using namespace extend;

void scheduler::check_signal() noexcept {
  const int number = signal_.take();
  if (number == 0 || main_->done()) return;
  if (signal_.is_request_expected()) {
    clock_.kill_main_later(engine_->now());
    return signal_.request();
  }
  kill_main();
  if (main_->interrupted()) return;
  detail::report(
      "ringlet: %s: the main task is in a shield, and ends when that does; a second signal "
      "ends the program at once\n",
      number == SIGINT ? "SIGINT" : "SIGTERM");
}

// Starts the clock at the engine's time: the turn may have begun long ago.
void scheduler::kill_main() noexcept {
  clock_.start_by_signal(engine_->now());
  main_->kill();
}

void scheduler::cancel_all_but_main() noexcept {
  if (std::exchange(others_are_cancelled_, true)) return;
  clock_.start(engine_->now());
  root_scope().cancel();
  fibers_.for_each([this](fiber_base& other) {
    if (!is_main(other)) other.interrupt();
  });
}

// Called when the main task has ended: cancels all other fibers, at every wait.
void scheduler::begin_ending() noexcept {
  ending_ = true;
  clock_.forget_main();
  clock_.start_to_the_end(engine_->now());
  root_scope().cancel();
  fibers_.for_each([](fiber_base& left) { left.interrupt(); });
}

void scheduler::enter_due_stages() {
  while (fibers_.count() != 0 && turn_time() >= clock_.next()) enter_next_stage();
}

void scheduler::enter_next_stage() {
  if (clock_.takes_kill_of_main(turn_time())) return kill_main();
  if (clock_.reached() == stage::holding) return release_starters();
  const bool is_last = clock_.reached() == stage::listed;
  detail::report("ringlet: these fibers did not end within %.1f s after %s:\n%s",
                 static_cast<double>(clock_.time_to_next()) / 1e9,
                 clock_.was_signalled() ? "the signal" : "the main task had ended", dump().c_str());
  if (is_last) on_stuck_();
  end_shields();
}

void scheduler::release_starters() noexcept {
  clock_.enter(stage::released);
  fibers_.for_each([](fiber_base& held) { held.release_overdue_hold(); });
}

void scheduler::end_shields() noexcept {
  clock_.enter(stage::listed);
  fibers_.for_each([](fiber_base& left) { left.stop_holding_back(); });
}

void scheduler::release_main_when_alone() noexcept {
  if (fibers_.count() == 1 && !main_->done() && !main_->is_blocked()) main_->release_hold();
}

bool scheduler::is_deadlocked() const {
  if (signal_.is_watched() && signal_.has_waiters()) return false;
  const std::lock_guard lock(handle_state_->mutex);
  // In this order: the last handle may have posted before it was destroyed.
  return handle_state_->handles == 0 && !engine_->has_posted();
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

void detail::throw_deadlock_of(extend::scheduler& scheduler, fiber_base& main) {
  if (scheduler.deadlock_report().empty()) return;
  deadlock found(scheduler.deadlock_report());
  if (main.result() == outcome::cancelled) throw found;
  report_failure_of(main, std::make_exception_ptr(std::move(found)));
}

// Fibers that were asked to end are waiting for something that cannot happen, so the clock need not
// run down. First starters are released, then shields end. If that wakes no fiber, the remaining
// fibers are suspended in something that this scheduler does not know.
void scheduler::give_main_up() {
  if (clock_.reached() == stage::holding) return release_starters();
  if (clock_.reached() == stage::released) return end_shields();
  detail::report(
      "ringlet: deadlock, and %s cannot end: nothing can wake them (a fiber that is "
      "\"running\" "
      "here awaits something that is not a wait of this library, or whose resumption was "
      "lost):\n%s",
      main_->done() ? "these fibers" : "the main task and these fibers", dump().c_str());
  on_stuck_();
}

}  // namespace ringlet
