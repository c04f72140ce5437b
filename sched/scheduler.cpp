// The turn.
#include <ringlet/fiber.hpp>
#include <ringlet/scheduler.hpp>

#include <cstdio>
#include <cstdlib>
#include <utility>

namespace ringlet {

thread_local constinit scheduler* detail::scheduler_here = nullptr;

scheduler::scheduler(engine& carrier, options settings)
    : engine_(&carrier),
      options_(std::move(settings)),
      remotes_(std::make_shared<remote_state>()),
      on_stuck_(&std::abort) {
  RINGLET_ASSERT(detail::scheduler_here == nullptr,
                 "run() was called inside run(): await the task, or spawn it");
  remotes_->posts_max = options_.posts_max;
  remotes_->target = engine_;
  carrier.set_user(label());
  enlist();
  detail::scheduler_here = this;
  detail::serial_here = serial_;
  detail::engine_here = engine_;
  set_turn_time(engine_->now());
}

scheduler::~scheduler() {
  drain();
  delist();
  detail::scheduler_here = nullptr;
  detail::serial_here = 0;
  detail::engine_here = nullptr;
}

void scheduler::run(fiber_base& main) {
  main_ = &main;
  adopt(main);
  set_stack_base(__builtin_frame_address(0));
  while (live_fibers_ != 0 || !told_later_.empty()) turn();
  main_ = nullptr;
}

void scheduler::turn() {
  if (left_behind_) [[unlikely]]
    detail::abort_after_fork();  // a callback or posted work called fork()
  run_batch();
  if (!timers_.empty()) timers_.expire(turn_time());
  tell_late();
  if (live_fibers_ == 0) return;
  if (signal_ != nullptr) check_signal();
  if (others_are_cancelled_) release_main_when_alone();
  if (!empty() || !told_later_.empty()) {
    poll(0);
  } else if (is_deadlocked()) {
    report_deadlock();
  } else {
    poll(detail::frames.before_sleep(turn_time(), std::min(timers_.next(), next_stage_at())));
  }
  if (shutting_down()) enter_due_stages();
}

void scheduler::reject(fiber_base& refused) noexcept {
  refused.retire();
  timers_.give_place();
  refused.drop_reference();
}

[[gnu::always_inline]] inline void scheduler::retire(fiber_base& done) noexcept {
  registry_.remove(done);
  --live_fibers_;
  done.retire();
  timers_.give_place();
  if (&done == main_) [[unlikely]]
    begin_ending();
  done.drop_reference();
}

void scheduler::run_batch() {
  for (int count = 0; count < batch_max && !empty(); ++count) {
    fiber_base& next = static_cast<fiber_base&>(first());
    if (next.interrupted() && is_intercepted(next)) [[unlikely]] {
      pop_first();
    } else {
      running_ = &next;
      prefetch_second();
      resume_first();
    }
    if (finished_) {
      if (left_behind_) [[unlikely]]
        detail::abort_after_fork();
      finished_ = false;
      running_ = nullptr;  // callbacks and destructors of arguments run in nobody's name
      retire(next);
    }
  }
  running_ = nullptr;
}

// Whether it is not resumed now: killed before it has begun it never is, and a starter is held
// while fibers that use its locals are alive.
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

// Those that come meanwhile have to wait for the next turn, or two of them could go on for ever.
void scheduler::tell_late() noexcept {
  std::size_t count = 0;
  for (done_watcher* w = told_later_.next(nullptr); w != nullptr; w = told_later_.next(w)) ++count;
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
    // Operations in flight will never be answered, so no fiber can be ended in order.
    std::fprintf(stderr, "ringlet: the engine failed, and nothing can go on: %s\n", error.what());
    std::abort();
  }
  set_turn_time(engine_->now());
  for (std::size_t i = 0; i < count; ++i) engine_->dispatch(completions_[i]);
  engine_->run_posted();
}

// Nothing may be in flight when the engine goes: the kernel would write into freed memory. What is
// left belongs to objects that outlive the run, such as a listener in a global variable.
void scheduler::drain() noexcept {
  {
    const std::lock_guard lock(remotes_->mutex);
    remotes_->target = nullptr;
  }
  for (scheduler_guest* g = guests_.next(nullptr); g != nullptr; g = guests_.next(g)) {
    g->on_shutdown();
  }
  engine_->run_posted();
  while (engine_->in_flight() != 0) {
    poll(never);
  }
  engine_->run_posted();
  while (!starved_.empty()) starved_.pop_front();
  while (!guests_.empty()) guests_.pop_front().on_scheduler_gone();
}

}  // namespace ringlet
