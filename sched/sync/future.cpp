// What setting a promise does: wakes the waiters, calls the callbacks, keeps the error.
// SPDX-License-Identifier: MIT
#include <ringlet/detail/thrown.hpp>
#include <ringlet/error.hpp>
#include <ringlet/extend/future_waits.hpp>
#include <ringlet/extend/scheduler.hpp>
#include <ringlet/future.hpp>
#include <ringlet/options.hpp>

#include <fmt/format.h>

#include <iterator>
#include <utility>

namespace ringlet {
using namespace extend;

const wait_type future_wait::type = make_type<future_wait>("future");

void detail::future_callback::leave() noexcept {
  done_watcher::unlink();
  list_hook<future_callback>::unlink();
}

void detail::future_callback::run(future_callback& called) noexcept {
  called.leave();
  const std::unique_ptr<future_callback> owner(&called);
  try {
    called.call();
  } catch (...) {
    called.target().report(std::current_exception());
  }
}

void detail::future_callback::on_turn_ended(done_watcher& late) noexcept {
  run(static_cast<future_callback&>(late));
}

std::exception_ptr detail::future_base::error() {
  if (state_ == state::pending || state_ == state::value) return nullptr;
  observed_.store(true, std::memory_order_relaxed);
  if (state_ == state::error) return error_;
  const errc why = state_ == state::broken ? errc::broken_promise : errc::fiber_cancelled;
  return std::make_exception_ptr(std::system_error(why, label()));
}

void detail::future_base::throw_error() { std::rethrow_exception(error()); }

std::string detail::future_base::label() const {
  if (fiber_ != 0) return fmt::format("future of fiber {}", fiber_);
  return fmt::format("future of {}:{}", place_.file_name(), place_.line());
}

bool detail::future_base::try_set_error(std::exception_ptr error) noexcept {
  check_thread();
  RINGLET_ASSERT(error != nullptr, "a promise was given a null pointer for its error");
  if (is_ready()) return false;
  if (detail::is_kill(error)) {
    settle(state::cancelled);
  } else {
    error_ = std::move(error);
    settle(state::error);
  }
  return true;
}

void detail::future_base::break_promise() noexcept {
  if (is_ready()) return;
  drop_waits_left_behind(waiters_);
  check_thread();
  settle(state::broken);
}

// A callback may drop the promise and the last future.
void detail::future_base::settle(state how) noexcept {
  state_ = how;
  count_.now = 0;
  woken_.take(waiters_);
  if (callbacks_.empty()) return;
  add_reference();
  while (!callbacks_.empty() && !callbacks_.front().is_late()) {
    future_callback::run(callbacks_.front());
  }
  drop_reference();
}

callback_id detail::future_base::add_callback(std::unique_ptr<future_callback> added) {
  check_thread();
  const callback_id id{++callback_ids_};
  future_callback& callback = *added.release();
  callback.id_ = id;
  callbacks_.push_back(callback);
  if (is_ready()) {
    scheduler* const here = current_scheduler_or_null();
    if (here == nullptr) {
      future_callback::run(callback);
    } else {
      here->tell_later(callback);
    }
  }
  return id;
}

bool detail::future_base::remove_callback(callback_id id) noexcept {
  check_thread();
  for (future_callback* c = callbacks_.next(nullptr); c != nullptr; c = callbacks_.next(c)) {
    if (c->id_ != id) continue;
    c->leave();
    delete c;
    return true;
  }
  return false;
}

void detail::future_base::release() noexcept {
  if (state_ == state::error && !observed_.load(std::memory_order_relaxed)) report(error_);
  delete this;
}

void detail::future_base::report(std::exception_ptr error) const noexcept {
  report_unhandled({fiber_, fiber_ == 0 ? "future" : "", std::move(error), place_});
}

void future_wait::describe(std::string& out) const {
  fmt::format_to(std::back_inserter(out), "{}", static_cast<const void*>(on_));
  on_->count_.describe(out);
  fmt::format_to(std::back_inserter(out), ", promised at {}:{}", on_->place_.file_name(),
                 on_->place_.line());
}

}  // namespace ringlet
