// remote_future: a value or an error that comes later, from any thread; see remote_promise.
//
//     task<> print(remote_future<std::string> name) {
//       const bool came = co_await name.wait(1s);
//       if (!came) log("no name yet");
//       log(co_await name.get());
//     }
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/remote_state.hpp>
#include <ringlet/detail/thread_waiter.hpp>
#include <ringlet/error.hpp>
#include <ringlet/extend/assert.hpp>
#include <ringlet/extend/remote_future_waits.hpp>
#include <ringlet/time_limit.hpp>

#include <concepts>
#include <exception>
#include <type_traits>
#include <utility>

namespace ringlet {

/// What a remote_promise will have: a T, or an error. Copyable; all copies are the same future. It
/// is ready when the promise has been set, or has been destroyed, and stays ready.
///
/// Errors    What get() throws: the exception that the promise was given, each time;
///           errc::broken_promise if there is none; timed_out. An exception that neither get() nor
///           error() has shown when the last future and the promise are gone is reported like the
///           failure of a fiber: see options::on_unhandled_error.
/// Cancellation  Loses nothing, and leaves the future as it is. Success wins.
/// Lifetime  The value lives as long as a future or the promise does, with or without schedulers.
///           Waits keep it alive, too.
/// Thread    Any, each with a copy of its own. Fibers await get(); plain threads, those outside of
///           run(), call get_blocking(). Several threads may read the value at once. While a fiber
///           waits, neither its scheduler nor its runtime reports a deadlock: any thread may have
///           the promise.
/// Memory    None: the promise has allocated it.
template <class T = void>
class [[nodiscard]] remote_future {
 public:
  using value_type = T;

  /// No future.
  remote_future() noexcept = default;
  /// Takes over one reference.
  explicit remote_future(detail::remote_state<T>& adopted) noexcept : state_(&adopted) {}
  remote_future(const remote_future& other) noexcept : state_(other.state_) {
    if (state_ != nullptr) state_->add_reference();
  }
  remote_future(remote_future&& other) noexcept : state_(std::exchange(other.state_, nullptr)) {}
  remote_future& operator=(remote_future other) noexcept {
    std::swap(state_, other.state_);
    return *this;
  }
  ~remote_future() {
    if (state_ != nullptr) state_->drop_reference();
  }

  /// Whether there is one.
  explicit operator bool() const noexcept { return state_ != nullptr; }

  /// Waits until the future is ready. Its error is neither thrown nor counted as handled. Returns
  /// false if the limit passed first. May be a part of a select().
  extend::remote_future_wait wait(time_limit timeout = forever) const noexcept {
    return extend::remote_future_wait(checked(), timeout);
  }
  /// Waits until the future is ready and returns a reference to its value, valid as long as a
  /// future exists. May be called repeatedly. May be a part of a select().
  extend::remote_future_get_wait<T, false> get(time_limit timeout = forever) const& noexcept {
    return extend::remote_future_get_wait<T, false>(checked(), timeout);
  }
  /// The same for an rvalue, but returns a T: a copy, because other futures may read the value,
  /// too. A T that cannot be copied is moved out; using it again aborts.
  extend::remote_future_get_wait<T, true> get(time_limit timeout = forever) && noexcept {
    return extend::remote_future_get_wait<T, true>(checked(), timeout);
  }
  /// wait() for plain threads: blocks the thread. Aborts on the thread of a scheduler.
  bool wait_blocking(const time_limit& timeout = forever) const {
    detail::check_may_block(
        "wait_blocking() or get_blocking() of a remote_future was called on the thread of a "
        "scheduler, all fibers of which would stop: co_await wait() or get() there");
    return detail::wait_for_flag(checked().flag(), timeout);
  }
  /// get() for plain threads: blocks the thread. Aborts on the thread of a scheduler.
  std::add_lvalue_reference_t<const T> get_blocking(const time_limit& timeout = forever) const& {
    if (!wait_blocking(timeout)) throw timed_out("get");
    if (!has_value()) state_->throw_error();
    return state_->value();
  }
  T get_blocking(const time_limit& timeout = forever) && {
    if (!wait_blocking(timeout)) throw timed_out("get");
    if (!has_value()) state_->throw_error();
    if constexpr (std::is_object_v<T> && !std::copy_constructible<T>) {
      return state_->move_out();
    } else {
      return state_->value();
    }
  }

  /// Whether waits would end now.
  bool is_ready() const noexcept { return checked().is_ready(); }
  /// Whether it is ready, and not with an error.
  bool has_value() const noexcept { return checked().has_value(); }
  /// What get() would throw now, or null. Counts as handling the error.
  std::exception_ptr error() const { return checked().error(); }

 private:
  detail::remote_state<T>& checked() const noexcept {
    RINGLET_ASSERT(state_ != nullptr, "an empty remote_future was used");
    return *state_;
  }

  detail::remote_state<T>* state_ = nullptr;
};

}  // namespace ringlet
