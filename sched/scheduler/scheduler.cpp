// The scheduler's turn.
// SPDX-License-Identifier: MIT
#include <ringlet/detail/report.hpp>
#include <ringlet/extend/scheduler.hpp>
#include <ringlet/fiber.hpp>
#include <ringlet/unique_fd.hpp>

#include <algorithm>
#include <cstdlib>
#include <utility>

namespace ringlet {
using namespace extend;

scheduler::scheduler(extend::engine& engine, options settings)
    : engine_(&engine),
      options_(std::move(settings)),
      handle_state_(std::make_shared<detail::handle_state>()),
      clock_(options_.shutdown_timeout),
      on_stuck_(&std::abort) {
  RINGLET_ASSERT(detail::scheduler_here == nullptr,
                 "run() was called inside run(): await the task, or spawn it");
  handle_state_->posts_max = options_.posts_max;
  handle_state_->target = engine_;
  handle_state_->name = label();
  engine.set_user(handle_state_->name);
  detail::set_rule_context(&detail::describe_running);
  enlist();
  detail::scheduler_here = this;
  detail::serial_here = serial_;
  detail::engine_here = engine_;
  detail::set_descriptor_closer([](int fd) noexcept { current_scheduler().close_descriptor(fd); });
  set_turn_time(engine_->now());
  batch_.begin(turn_time());
}

scheduler::~scheduler() {
  drain();
  delist();
  detail::set_descriptor_closer(nullptr);
  detail::scheduler_here = nullptr;
  detail::serial_here = 0;
  detail::engine_here = nullptr;
}

void scheduler::close_descriptor(int fd) noexcept {
  operation op(opcode::close, nullptr);
  op.fd = fd;
  engine_->call(op);
  engine_->descriptor_waiters().on_descriptor_freed();
}

void scheduler::run(fiber_base& main) {
  main_ = &main;
  adopt(main);
  set_stack_base(__builtin_frame_address(0));
  while (fibers_.count() != 0 || !told_later_.empty() || is_needed_by_others()) turn();
  if (count_due_ != never) print_count_of_failures();
  main_ = nullptr;
}

void scheduler::turn() {
  if (left_behind_) [[unlikely]]
    detail::abort_after_fork();  // a callback or posted work called fork()
  run_batch();
  if (!told_later_.empty()) tell_late();
  if (!wakes_.empty()) wakes_.wake_some();
  if (fibers_.count() == 0) [[unlikely]]
    return serve_others();
  if (signal_.is_watched()) check_signal();
  if (others_are_cancelled_) release_main_when_alone();
  if (!empty() || !told_later_.empty() || !wakes_.empty()) {
    poll(0);
  } else if (!external_.any() && timers_.empty() && is_deadlocked()) [[unlikely]] {
    report_deadlock();
    batch_.begin(now());
  } else {
    // Returns immediately if timers are still due or posted work is left.
    const steady_ns next = std::min({timers_.next(), clock_.next(), count_due_});
    poll(detail::frames.before_sleep(turn_time(), next));
  }
  if (timers_.next() <= turn_time()) timers_.expire(turn_time(), at_once_max);
  if (std::min(count_due_, clock_.next()) <= turn_time()) [[unlikely]] {
    if (count_due_ <= turn_time()) print_count_of_failures();
    enter_due_stages();
  }
}

void scheduler::reject(fiber_base& refused) noexcept {
  refused.retire();
  timers_.give_place();
  refused.drop_reference();
}

[[gnu::always_inline]] inline void scheduler::retire(fiber_base& done) noexcept {
  fibers_.remove(done);
  done.retire();
  timers_.give_place();
  if (&done == main_) [[unlikely]]
    begin_ending();
  done.drop_reference();
}

void scheduler::run_batch() {
  int left = batch_.until_reading();
  while (!empty()) {
    fiber_base& next = static_cast<fiber_base&>(first());
    if (__builtin_expect(next.interrupted(), false) && is_intercepted(next)) {
      pop_first();
    } else {
      running_ = &next;
      prefetch_second(next);
      resume(next);
    }
    if (finished_) {
      if (left_behind_) [[unlikely]]
        detail::abort_after_fork();
      finished_ = false;
      running_ = nullptr;  // callbacks and destructors of arguments do not run as part of a fiber
      retire(next);
    }
    if (--left == 0) [[unlikely]] {
      left = batch_.read(engine_->now());
      if (batch_.is_over()) break;
    }
  }
  batch_.set_until_reading(left);
  running_ = nullptr;
}

// True if `next` must not be resumed now: a fiber that was killed before it began never runs, and a
// starter is held while fibers that use its locals are alive.
bool scheduler::is_intercepted(fiber_base& next) noexcept {
  if (!next.has_started()) {
    finished_ = true;
    return true;
  }
  if (!next.was_interrupted_waiting()) return false;
  if (next.is_blocked()) {
    next.hold_until_unblocked();
    return true;
  }
  next.release_hold();
  return false;
}

void scheduler::tell_later(done_watcher& late) noexcept { told_later_.push_back(late); }

// Callbacks that these add wait for the next turn; otherwise two of them could run endlessly.
void scheduler::tell_late() noexcept {
  std::size_t count = 0;
  done_watcher* w = told_later_.next(nullptr);
  for (; w != nullptr && count != at_once_max; w = told_later_.next(w)) ++count;
  for (; count != 0 && !told_later_.empty(); --count) {
    done_watcher& next = told_later_.pop_front();
    next.on_done_(next);
  }
}

void scheduler::poll(steady_ns limit) {
  std::size_t count = 0;
  try {
    count = engine_->wait(limit, completions_);
  } catch (const std::exception& error) {
    // Operations in flight will never complete, so no fiber can end in an orderly way.
    detail::report("ringlet: the engine failed and the program cannot continue: %s\n",
                   error.what());
    std::abort();
  }
  set_turn_time(engine_->now());
  for (std::size_t i = 0; i < count; ++i) engine_->dispatch(completions_[i]);
  batch_.begin(turn_time());
  if (engine_->has_posted()) {
    if (membership_ != nullptr) membership_->on_activity();
    engine_->run_posted(at_once_max);
    batch_.begin(now());  // the fibers are not charged for the time of posted work
  }
}

// Nothing may be in flight when the engine is destroyed: the kernel would write into freed memory.
// What is still in flight belongs to objects that outlive the run, such as a listener in a global
// variable.
void scheduler::drain() noexcept {
  handle_state_->open.close();
  hooks_.shut_down();
  engine_->run_posted();
  while (engine_->in_flight() != 0) {
    poll(never);
  }
  while (engine_->run_posted() != 0) {
  }
  engine_->descriptor_waiters().clear();
  hooks_.let_go();
}

}  // namespace ringlet
