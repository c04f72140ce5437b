// The turn, the detection of deadlocks, and the ending.
#include <ringlet/deadlock.hpp>
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
  if (!empty() || !told_later_.empty()) {
    poll(0);
  } else if (is_deadlocked()) {
    throw_deadlock();
  } else {
    poll(std::min(timers_.next(), grace_end_));
  }
  if (ending_ && grace_is_over()) begin_ending();
}

void scheduler::reject(fiber_base& unborn) noexcept {
  unborn.retire();
  timers_.give_place();
  unborn.drop_reference();
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
    if (next.interrupted() && !next.has_started()) [[unlikely]] {
      pop_first();
      finished_ = true;
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

void scheduler::check_signal() noexcept {
  if (signal_->load(std::memory_order_relaxed) == 0) return;
  signal_ = nullptr;
  if (!main_->done()) main_->kill();
}

bool scheduler::is_deadlocked() const {
  if (hopes_ != 0 || !timers_.empty()) return false;
  const std::lock_guard lock(remotes_->mutex);
  // In this order: the last handle may have posted before it went.
  return remotes_->handles == 0 && !engine_->has_posted();
}

void scheduler::throw_deadlock() {
  if (main_->done()) {
    // Only what refuses to die is left, and nothing will ever wake it: no need to wait for grace.
    grace_end_ = 0;
    return;
  }
  if (main_->interrupted()) return give_main_up();
  main_->interrupt_with(
      std::make_exception_ptr(deadlock("deadlock: every fiber waits for another one\n" + dump())));
  main_->stop_holding_back();  // in a shield without a limit nothing else would ever end its wait
}

// It has been told, and waits on for fibers that do not end. First their shields are taken away; if
// that wakes nobody, they are suspended in something that this scheduler knows nothing of.
void scheduler::give_main_up() {
  if (!std::exchange(shields_are_over_, true)) {
    for_each_fiber([](fiber_base& each) { each.stop_holding_back(); });
    return;
  }
  std::fprintf(
      stderr,
      "ringlet: deadlock, and the main task cannot end, for it waits for fibers that "
      "nothing can wake (a fiber that is \"running\" here awaits something that is no wait "
      "of this library, or whose resumption was lost):\n%s",
      dump().c_str());
  on_stuck_();
}

// The main task has ended: everything else is asked to end, again at every wait.
void scheduler::begin_ending() noexcept {
  if (!std::exchange(ending_, true)) {
    grace_end_ = until(options_.grace).resolve(turn_time());
    root_scope().cancel();
  }
  for_each_fiber([](fiber_base& left) { left.interrupt(); });
}

bool scheduler::grace_is_over() {
  if (live_fibers_ == 0 || turn_time() < grace_end_) return false;
  std::fprintf(
      stderr, "ringlet: these fibers did not end within %.1f s after the main task had ended:\n%s",
      static_cast<double>(options_.grace.count()) / 1e9 * (graces_over_ + 1), dump().c_str());
  if (++graces_over_ == 2) on_stuck_();
  grace_end_ = until(options_.grace).resolve(turn_time());
  for_each_fiber([](fiber_base& left) { left.stop_holding_back(); });
  return true;
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
