// How a run ends: signals, deadlocks, and the steps of the shutdown_clock.
// SPDX-License-Identifier: MIT
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
  if (number == 0 || ending_) return;
  if (membership_ != nullptr) membership_->on_activity();
  if (signal_.is_request_expected()) {
    clock_.kill_main_later(engine_->now());
    return signal_.request();
  }
  kill_main();
  if (main_->done() || main_->interrupted()) return;
  detail::report(
      "ringlet: %s: the main task is in a shield, and ends when that does; a second signal "
      "ends the program at once\n",
      number == SIGINT ? "SIGINT" : "SIGTERM");
}

// Starts the clock at the engine's time: the turn may have begun long ago.
void scheduler::kill_main() noexcept {
  clock_.start_by_signal(engine_->now());
  end_main();
}

void scheduler::end_with_runtime() noexcept {
  if (main_ == nullptr) return;
  clock_.start_to_the_end(engine_->now());
  end_main();
}

// Ends the main task; in a runtime it may have ended before the other fibers.
void scheduler::end_main() noexcept {
  if (main_->done()) return end_all_fibers();
  if (!std::exchange(main_was_killed_, true)) main_->kill();
}

void scheduler::cancel_all_but_main() noexcept {
  if (std::exchange(others_are_cancelled_, true)) return;
  clock_.start(engine_->now());
  root_scope().cancel();
  fibers_.for_each([this](fiber_base& other) {
    if (!is_main(other)) other.interrupt();
  });
  started_elsewhere_.cancel_all();
}

// Called when the main task has ended. In a runtime the other fibers continue until it ends.
void scheduler::begin_ending() noexcept {
  if (membership_ != nullptr && membership_->continues_after(*main_)) return;
  end_all_fibers();
}

// Cancels all fibers that are left, at every wait.
void scheduler::end_all_fibers() noexcept {
  if (std::exchange(ending_, true)) return;
  clock_.forget_main();
  clock_.start_to_the_end(engine_->now());
  root_scope().cancel();
  fibers_.for_each([](fiber_base& left) { left.interrupt(); });
  started_elsewhere_.cancel_all();
}

void scheduler::enter_due_stages() {
  if (membership_ != nullptr) membership_->on_activity();
  while (turn_time() >= clock_.next() && (fibers_.count() != 0 || is_needed_by_others())) {
    enter_next_stage();
  }
}

const char* scheduler::beginning_of_end() const noexcept {
  if (clock_.was_signalled()) return "the signal";
  return main_->done() ? "the main task had ended" : "the runtime had begun to end";
}

void scheduler::enter_next_stage() {
  if (clock_.takes_kill_of_main(turn_time())) {
    if (!main_->done()) {
      const std::string where = membership_ == nullptr ? "" : " of scheduler " + label();
      detail::report(
          "ringlet: the main task%s did not end within %.1f s after the signal, and is killed "
          "now\n",
          where.c_str(), static_cast<double>(options_.shutdown_timeout.count()) / 1e9);
    }
    return kill_main();
  }
  if (clock_.reached() == stage::holding) return release_starters();
  const bool is_last = clock_.reached() == stage::listed;
  if (fibers_.count() != 0) {
    detail::report("ringlet: these fibers did not end within %.1f s after %s:\n%s",
                   static_cast<double>(clock_.time_to_next()) / 1e9, beginning_of_end(),
                   dump().c_str());
  }
  if (fibers_.count() == 0 || started_elsewhere_.any()) report_others();
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
  if (others() == 0 && !main_->done() && !main_->is_blocked()) main_->release_hold();
}

bool scheduler::is_deadlocked() const {
  if (signal_.is_watched() && signal_.has_waiters()) return false;
  // In this order: the last handle may have posted before it was destroyed.
  if (handle_state_->handles.load(std::memory_order_acquire) != 0) return false;
  if (engine_->has_posted()) return false;
  if (membership_ != nullptr) return membership_->is_deadlocked();
  return !started_elsewhere_.any();
}

void scheduler::report_deadlock() {
  if (main_ == nullptr) return;
  if (main_->done() && !ending_) return end_all_fibers();
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
