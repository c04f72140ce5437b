// The life of a fiber, from its spawn to its last handle.
// SPDX-License-Identifier: MIT
#include <ringlet/detail/fiber_extras.hpp>
#include <ringlet/detail/thrown.hpp>
#include <ringlet/fiber.hpp>

#include <fmt/format.h>

#if __has_include(<sys/single_threaded.h>)
#include <sys/single_threaded.h>
#endif

#include <iterator>
#include <new>
#include <span>
#include <string>
#include <utility>

namespace ringlet {
using namespace extend;
using namespace detail;

const wait_type join_wait::type = make_type<join_wait>("join");

fiber_base::extras_owner fiber_base::inheritance() const {
  if (extras_->context_values == nullptr) return nullptr;
  extras_owner made(new fiber_extras);
  made->context_values = extras_->context_values;
  return made;
}

std::string_view fiber_base::name() const noexcept {
  if (!done()) scheduler().check_thread("the name of a live fiber was read on another thread");
  return extras_ ? std::string_view(extras_->name) : std::string_view();
}

void fiber_base::set_name(std::string_view name) {
  if (!done())
    scheduler().check_thread("a fiber was named on a thread that is not its scheduler's");
  extras().name = name;
}

fiber_extras& fiber_base::extras() {
  if (extras_ == nullptr) extras_.reset(new fiber_extras);
  return *extras_;
}

bool fiber_base::has_greenlets() const noexcept {
  return extras_ != nullptr && extras_->greenlets != nullptr;
}

void fiber_base::delete_extras(fiber_extras* deleted) noexcept { delete deleted; }

void fiber_base::end_extras() noexcept {
  extras_->greenlets.reset();
  extras_->locals.clear();
  extras_->context_values = nullptr;
}

void fiber_base::refuse_to_end() const noexcept {
  const std::string who =
      name().empty() ? fmt::format("fiber {}", id_) : fmt::format("fiber {} \"{}\"", id_, name());
  const std::string rule = fmt::format(
      "{}, spawned at {}:{}, has ended while it held a lock: a guard must not outlive its fiber, "
      "so "
      "keep it in a variable of a call of that fiber",
      who, spawned_at_.file_name(), spawned_at_.line());
  broken_rule(rule.c_str(), __FILE__, __LINE__);
}

std::shared_ptr<const detail::context_value> fiber_base::context_values() const noexcept {
  return extras_ ? extras_->context_values : nullptr;
}

void fiber_base::kill() noexcept {
  if (done()) return;
  scheduler().check_thread("a fiber was killed on a thread that is not its scheduler's");
  context::kill();
}

void fiber_base::kill_with(std::exception_ptr error) {
  if (error == nullptr) return kill();
  if (done()) return;
  scheduler().check_thread("a fiber was killed on a thread that is not its scheduler's");
  context::interrupt_with(std::move(error));
}

void fiber_base::on_limit(timer_entry& due) noexcept {
  auto& self = static_cast<fiber_base&>(due);
  const wait_type* type = self.current_wait().type;
  RINGLET_ASSERT(type != nullptr && type->cancel != nullptr,
                 "the limit of a wait outlived the wait");
  type->cancel(self, cancel_reason::timed_out);
}

void fiber_base::on_root_done() noexcept { scheduler().finish_running(); }

void fiber_base::set_failure(std::exception_ptr error) noexcept {
  // Takes only the awaits that this exception has passed, not those of an earlier fiber at the same
  // address.
  detail::failure_trail& trail = detail::last_failure();
  const bool is_ours = trail.chain == this && trail.next == nullptr && trail.owner == 0;
  if (is_ours) trail.owner = id_;
  if (detail::thrown_exactly<cancelled>(error) != nullptr) {  // most are: avoids a throw
    outcome_ = outcome::cancelled;
    return;
  }
  try {
    std::rethrow_exception(error);
  } catch (const cancelled&) {
    outcome_ = outcome::cancelled;
  } catch (...) {
    outcome_ = outcome::error;
    error_ = std::move(error);
    if (is_ours && trail.count != 0) keep_awaits({trail.sites, trail.count});
  }
}

// Copies the awaits, because other fibers may fail before this failure is reported.
void fiber_base::keep_awaits(std::span<const std::source_location> awaits) noexcept {
  try {
    extras().awaits.reset(new detail::kept_awaits(awaits));
  } catch (const std::bad_alloc&) {
    // The failure is then reported without them.
  }
}

void fiber_base::set_never_started() noexcept {
  if (std::exception_ptr given = first_given_error()) {
    set_failure(std::move(given));
  } else {
    outcome_ = outcome::cancelled;
  }
}

callback_id fiber_base::add_callback(std::unique_ptr<done_callback> added) {
  if (!done())
    scheduler().check_thread("on_done() was called on a thread that is not the scheduler's");
  RINGLET_ASSERT(current_scheduler_or_null() == &scheduler(),
                 "on_done() was called on a thread that is not the scheduler's, or after it "
                 "had ended");
  const callback_id id = scheduler().next_callback_id();
  // A callback that respawns its fiber, with itself as the callback, must not run endlessly when
  // fibers no longer start. So a fiber that is rejected inside the callback of a rejected fiber
  // calls no callback.
  if (done() && !has_started() && scheduler().in_callback_of_unstarted()) return id;
  done_callback& callback = *added.release();
  callback.id_ = id;
  if (done()) {
    scheduler().tell_later(callback);
  } else {
    watch(callback);
  }
  return id;
}

bool fiber_base::remove_callback(callback_id id) noexcept {
  if (!done()) {
    scheduler().check_thread(
        "remove_callback() was called on a thread that is not the scheduler's");
  }
  if (remove_from(watchers_, id)) return true;
  // The scheduler may be gone, and with it all pending late callbacks.
  return done() && current_scheduler_or_null() == &scheduler() &&
         remove_from(scheduler().told_later(), id);
}

bool fiber_base::remove_from(intrusive_list<done_watcher>& list, callback_id id) noexcept {
  for (done_watcher* w = list.next(nullptr); w != nullptr; w = list.next(w)) {
    if (w->on_done_ != &done_callback::on_ended) continue;
    auto* const callback = static_cast<done_callback*>(w);
    if (callback->id_ != id || &callback->target() != this) continue;
    callback->unlink();
    delete callback;
    return true;
  }
  return false;
}

void done_callback::on_ended(done_watcher& watcher) noexcept {
  auto& callback = static_cast<done_callback&>(watcher);
  const std::unique_ptr<done_callback> owner(&callback);
  const fiber_base& target = callback.target();
  extend::scheduler& scheduler = target.scheduler();
  const bool before = scheduler.set_in_callback_of_unstarted(!target.has_started());
  try {
    callback.call();
  } catch (...) {
    detail::report_failure_of(target, std::current_exception());
  }
  scheduler.set_in_callback_of_unstarted(before);
}

// Drops one reference; true if others remain. An atomic subtraction waits for all stores before it,
// which takes a fifth of the time of a short fiber; glibc knows whether there is another thread to
// race with.
bool fiber_base::is_shared_without_me() noexcept {
#if __has_include(<sys/single_threaded.h>)
  if (__libc_single_threaded) {
    const std::uint32_t left = references_.load(std::memory_order_relaxed) - 1;
    references_.store(left, std::memory_order_relaxed);
    return left != 0;
  }
#endif
  return references_.fetch_sub(1, std::memory_order_acq_rel) != 1;
}

void fiber_base::report_failure() noexcept {
  unhandled_error failure{id_, name(), error_, spawned_at_};
  if (extras_ != nullptr && extras_->awaits != nullptr) failure.awaits = extras_->awaits->all();
  report_unhandled(failure);
}

void join_wait::on_ended(done_watcher& watcher) noexcept {
  static_cast<join_wait&>(watcher).conclude();
}

void join_wait::on_cancel(cancel_reason reason) noexcept {
  reason_ = reason;
  unlink();
  conclude();
}

bool kill_wait::begin_kill(frame_record& at) {
  if (!enter(at)) return continue_or_yield(at);
  target_->kill_with(std::move(error_));
  if (fiber_ == target_) {  // killed by itself: throws immediately, unless a shield holds it back
    if (fiber_->interrupted()) return throw_at(at);
    reason_ = cancel_reason::timed_out;
    return continue_or_yield(at);
  }
  return begin(at);
}

void join_wait::describe(std::string& out) const {
  fmt::format_to(std::back_inserter(out), "fiber {}", target_->id());
  if (!target_->name().empty()) {
    fmt::format_to(std::back_inserter(out), " \"{}\"", target_->name());
  }
}

void detail::throw_failure(fiber_base& failed) {
  if (const std::exception_ptr error = failed.error()) std::rethrow_exception(error);
  std::string what = fmt::format("get of fiber {}", failed.id());
  if (!failed.name().empty()) fmt::format_to(std::back_inserter(what), " \"{}\"", failed.name());
  throw_failure(failed, what.c_str());
}

void detail::throw_failure(fiber_base& failed, const char* killed) {
  if (const std::exception_ptr error = failed.error()) std::rethrow_exception(error);
  throw_error(errc::fiber_cancelled, killed);
}

fiber_base& extend::current() {
  fiber_base* running = current_scheduler().running();
  RINGLET_ASSERT(running != nullptr, "current() was called outside of a fiber");
  return *running;
}

}  // namespace ringlet
