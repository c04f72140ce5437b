// Making, starting and ending the fiber in which a timer calls its function.
// SPDX-License-Identifier: MIT
#include <ringlet/timer.hpp>

#include <fmt/format.h>

#include <iterator>

namespace ringlet {
using namespace extend;

namespace {

// Keeps the function alive, because the timer may be destroyed by it.
task<> call_of_timer(std::shared_ptr<detail::timer_call> function) { co_await function->call(); }

}  // namespace

const wait_type timer::idle_wait::type = make_type<idle_wait>("join of a timer");

timer::due_alarm::due_alarm(timer& of)
    : alarm(
          [](alarm& due) noexcept {
            timer& self = *static_cast<due_alarm&>(due).owner;
            self.is_late_ = self.is_running();
            if (!self.is_late_) self.launch();
          },
          "a timer was made outside of run(): it uses the clock of its scheduler, so make it in a "
          "fiber",
          "a timer was used on a thread that is not that of the scheduler it was made on, or after "
          "the run of that had ended",
          [](alarm& ended) noexcept { static_cast<due_alarm&>(ended).owner->drop_prepared(); }),
      owner(&of) {}

timer::timer(std::shared_ptr<detail::timer_call> function, std::source_location where)
    : done_watcher([](done_watcher& ended) noexcept { static_cast<timer&>(ended).on_ended(); }),
      function_(std::move(function)),
      where_(where),
      alarm_(*this) {}

timer::~timer() {
  detail::drop_waits_left_behind(waiting_);
  list_wait::end_orphans(
      waiting_,
      "a timer was destroyed while a fiber waited in its join(): it must outlive "
      "the fibers that use it, so declare it outside of the group that they are "
      "in");
  alarm_.stop();
  drop_prepared();
  unlink();
  if (!running_ || running_.state().scheduler().is_left_behind()) return;
  const bool is_own_call = current_scheduler().running() == &running_.state();
  if (!is_own_call) running_.request_kill();
}

void timer::start(time_limit delay) {
  RINGLET_ASSERT(!armed_,
                 "a timer was started while it was armed: call restart() to replace the "
                 "delay, or cancel() first");
  arm(delay);
}

void timer::restart(time_limit delay) { arm(delay); }

// What can fail comes first, so that firing cannot.
void timer::arm(time_limit delay) {
  extend::scheduler& scheduler = alarm_.scheduler();
  if (prepared_ == nullptr) {
    prepared_ = new detail::fiber_state<void>(scheduler, scheduler.root_scope(),
                                              call_of_timer(function_), where_);
  }
  armed_ = true;
  is_late_ = false;
  if (delay.is_forever()) return alarm_.stop();
  alarm_.set(delay.resolve(scheduler.now()));
}

bool timer::cancel() noexcept {
  if (!armed_) return false;
  alarm_.scheduler();  // checks the thread
  alarm_.stop();
  armed_ = is_late_ = false;
  if (is_idle()) woken_.take(waiting_);
  return true;
}

void timer::launch() noexcept {
  armed_ = is_late_ = false;
  detail::fiber_state<void>& made = *std::exchange(prepared_, nullptr);
  running_ = fiber<>(made);
  made.watch(*this);
  made.scheduler().adopt(made);  // if the run is ending, the fiber ends at once: on_ended()
}

void timer::on_ended() noexcept {
  running_ = fiber<>();  // a failure is reported as soon as no handle is left
  if (is_late_) return launch();
  if (is_idle()) woken_.take(waiting_);
}

void timer::drop_prepared() noexcept {
  armed_ = is_late_ = false;
  if (prepared_ == nullptr) return;
  detail::fiber_state<void>& dropped = *std::exchange(prepared_, nullptr);
  if (dropped.scheduler().is_left_behind()) return;
  const fiber<> handle(dropped);  // takes over the reference of the first handle
  dropped.scheduler().reject(dropped);
}

bool timer::idle_wait::try_now() noexcept {
  if (on_->is_idle()) return true;
  RINGLET_ASSERT(!on_->running_ || fiber_ != &on_->running_.state(),
                 "the function of a timer joins its own timer, so its wait would never end");
  return false;
}

void timer::idle_wait::describe(std::string& out) const {
  fmt::format_to(std::back_inserter(out), "{} {}", static_cast<const void*>(on_),
                 on_->is_running() ? "whose function runs" : "that is armed");
}

}  // namespace ringlet
