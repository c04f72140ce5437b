// How a fiber of another scheduler begins, is killed, and tells its end.
// SPDX-License-Identifier: MIT
#include <ringlet/error.hpp>
#include <ringlet/remote_fiber.hpp>

#include <fmt/format.h>

#include <chrono>
#include <iterator>
#include <string_view>

namespace ringlet {
using namespace extend;
using namespace detail;

const wait_type remote_join_wait::type = make_type<remote_join_wait>("join");

remote_fiber_base::remote_fiber_base(std::shared_ptr<handle_state> home,
                                     const std::source_location& where) noexcept
    : done_watcher(&remote_fiber_base::on_callee_ended), home_(std::move(home)), where_(where) {
  for (message* m : {&request_, &kill_, &end_}) m->about = this;
  request_.run = &remote_fiber_base::on_request;
  kill_.run = &remote_fiber_base::on_kill;
  end_.run = &remote_fiber_base::on_end_elsewhere;
}

remote_fiber_base::~remote_fiber_base() {
  if (error_ != nullptr && !observed_.load(std::memory_order_relaxed)) {
    const bool has_begun = callee_ != nullptr;
    report_unhandled({has_begun ? callee_->id() : 0,
                      has_begun ? callee_->name() : std::string_view(), error_, where_});
  }
  if (callee_ != nullptr) callee_->drop_reference();
}

bool remote_fiber_base::send() noexcept {
  scheduler* const here = current_scheduler_or_null();
  if (here != nullptr && here->shared_handle_state() != home_) {
    if (!here->accepts_call(false)) {
      // As for spawn(): a fiber that is started during the shutdown never runs.
      home_->posts.fetch_sub(1, std::memory_order_relaxed);
      finish();
      return true;
    }
    starter_ = here;
    add_reference();
    here->started_elsewhere().add(*this);
  }
  if (home_->post(request_)) return true;
  if (starter_ != nullptr) {
    starter_->started_elsewhere().remove(*this);
    drop_reference();
  }
  references_.fetch_sub(alive, std::memory_order_relaxed);
  return false;
}

void remote_fiber_base::on_request(posted_work& received) noexcept {
  remote_fiber_base& self = *static_cast<message&>(received).about;
  self.home_->posts.fetch_sub(1, std::memory_order_relaxed);
  self.begin();
  if (self.callee_ == nullptr) return self.finish();
  self.callee_->watch(self);
  current_scheduler().adopt(*self.callee_);
}

void remote_fiber_base::begin() noexcept {
  scheduler& here = current_scheduler();
  if (!here.accepts_call(false)) return;
  try {
    fiber_base* const made = start(here, where_);
    const std::lock_guard lock(home_->mutex);
    callee_ = made;
  } catch (...) {
    error_ = std::current_exception();
  }
}

void remote_fiber_base::on_callee_ended(done_watcher& watcher) noexcept {
  auto& self = static_cast<remote_fiber_base&>(watcher);
  // From here on the exception belongs to the handles.
  self.error_ = self.callee_->take_error();
  self.finish();
}

void remote_fiber_base::finish() noexcept {
  const std::shared_ptr<handle_state> home = home_;
  scheduler* const starter = starter_;
  bool is_last = false;
  {
    const std::lock_guard lock(home->mutex);
    intrusive_list<remote_join_wait> told;
    while (!waiters_.empty()) told.push_back(waiters_.pop_front());
    ended_.notify_all();
    is_last = references_.fetch_sub(alive, std::memory_order_acq_rel) == alive;
    // The waits and the starter hold references; without any, another thread may delete the state.
    while (!told.empty()) told.pop_front().post();
  }
  // The starter's scheduler cannot end before it has this message.
  if (starter != nullptr) return starter->engine().post(end_);
  if (is_last) delete this;
}

void remote_fiber_base::on_end_elsewhere(posted_work& received) noexcept {
  remote_fiber_base& self = *static_cast<message&>(received).about;
  self.starter_->started_elsewhere().remove(self);
  self.drop_reference();
}

void remote_fiber_base::request_kill() noexcept {
  if (done() || kills_.fetch_add(1, std::memory_order_acq_rel) != 0) return;
  add_reference();
  if (!home_->post(kill_)) drop_reference();  // its scheduler has ended, and so has the fiber
}

void remote_fiber_base::on_kill(posted_work& received) noexcept {
  remote_fiber_base& self = *static_cast<message&>(received).about;
  std::uint32_t left = self.kills_.exchange(0, std::memory_order_acq_rel);
  for (; left != 0 && !self.done(); --left) self.callee_->kill();
  self.drop_reference();
}

bool remote_fiber_base::is(const fiber_base& fiber) noexcept {
  const std::lock_guard lock(home_->mutex);
  return callee_ == &fiber;
}

bool remote_fiber_base::add_waiter(remote_join_wait& waiter) noexcept {
  const std::lock_guard lock(home_->mutex);
  if (done()) return false;
  waiters_.push_back(waiter);
  return true;
}

bool remote_fiber_base::remove_waiter(remote_join_wait& waiter) noexcept {
  const std::lock_guard lock(home_->mutex);
  if (!waiter.linked()) return false;
  waiter.unlink();
  return true;
}

bool remote_fiber_base::wait(time_limit timeout) {
  RINGLET_ASSERT(
      current_scheduler_or_null() == nullptr,
      "join_blocking() or get_blocking() of a remote_fiber was called on the thread of a "
      "scheduler: co_await join() or get()");
  std::unique_lock lock(home_->mutex);
  const auto has_ended = [this] { return done(); };
  if (timeout.is_forever()) {
    ended_.wait(lock, has_ended);
    return true;
  }
  using clock = std::chrono::steady_clock;  // this thread has no engine to ask
  const steady_ns now = clock::now().time_since_epoch().count();
  return ended_.wait_until(lock, clock::time_point(std::chrono::nanoseconds(timeout.resolve(now))),
                           has_ended);
}

outcome remote_fiber_base::result() const noexcept {
  if (!done()) return outcome::pending;
  if (callee_ != nullptr) return callee_->result();
  return error_ != nullptr ? outcome::error : outcome::cancelled;
}

std::exception_ptr remote_fiber_base::error() const noexcept {
  if (!done()) return nullptr;
  observed_.store(true, std::memory_order_relaxed);
  return error_;
}

void remote_fiber_base::throw_failure() const {
  if (const std::exception_ptr failure = error()) std::rethrow_exception(failure);
  throw_error(errc::fiber_cancelled, "get of a fiber of another scheduler");
}

bool remote_join_wait::try_now() noexcept {
  RINGLET_ASSERT(!target_->is(*fiber_), "a fiber joins itself, so its wait would never end");
  return target_->done();
}

void remote_join_wait::watch() noexcept {
  scheduler& here = fiber_->scheduler();
  const runtime_member* const member = here.membership();
  is_counted_ = member == nullptr || member->runtime() != target_->home().runtime;
  if (is_counted_) here.external().begin();
  stage_ = stage::watched;
  if (!target_->add_waiter(*this)) end_now();
}

void remote_join_wait::unwatch() noexcept {
  if (stage_ != stage::watched) return;
  if (!target_->remove_waiter(*this)) {
    stage_ = stage::lingering;
    return;
  }
  stage_ = stage::over;
  stop_counting();
}

void remote_join_wait::end_now() noexcept {
  stage_ = stage::over;
  stop_counting();
  conclude();
}

void remote_join_wait::stop_counting() noexcept {
  if (is_counted_) fiber_->scheduler().external().end();
}

void remote_join_wait::on_end(posted_work& received) noexcept {
  static_cast<remote_join_wait&>(received).end_now();
}

// If the fiber has ended already, its message is under way: success wins.
void remote_join_wait::on_cancel(cancel_reason reason) noexcept {
  if (!target_->remove_waiter(*this)) return;
  reason_ = reason;
  end_now();
}

bool remote_kill_wait::begin_kill(frame_record& at) noexcept {
  if (!enter(at)) return continue_or_yield(at);
  target_->request_kill();
  if (target_->done()) return continue_or_yield(at);
  suspend(type, at);
  remote_join_wait::watch();
  return true;
}

void remote_join_wait::describe(std::string& out) const {
  fmt::format_to(std::back_inserter(out), "a fiber of scheduler {}", target_->home().name);
}

}  // namespace ringlet
