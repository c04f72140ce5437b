// The waits that run_on() and run_on_all() return.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/call_value.hpp>
#include <ringlet/detail/remote_call.hpp>
#include <ringlet/detail/value_or_throw.hpp>
#include <ringlet/error.hpp>
#include <ringlet/extend/wait.hpp>
#include <ringlet/fiber.hpp>
#include <ringlet/result.hpp>

#include <coroutine>
#include <cstddef>
#include <exception>
#include <memory>
#include <source_location>
#include <string>
#include <system_error>
#include <tuple>
#include <type_traits>
#include <utility>

namespace ringlet::extend {

/// The part of run_on() that does not depend on the function.
class run_on_base : public wait_base, protected detail::remote_call {
 public:
  void on_cancel(cancel_reason reason) noexcept;
  void describe(std::string& out) const;

 protected:
  run_on_base(detail::call_target to, const std::source_location& where) noexcept
      : wait_base(forever), to_(std::move(to)), where_(where) {}

  bool begin(frame_record& at) noexcept;
  /// Throws unless the callee has returned a value.
  void check_end();

 private:
  void on_over() noexcept override;
  static const wait_type type;
  detail::call_target to_;
  std::source_location where_;
  bool was_sent_ = false;
};

/// See run_on().
template <class F, class... Args>
class [[nodiscard]] run_on_wait final : public run_on_base {
  using call = detail::call_value<std::invoke_result_t<F, Args...>>;

 public:
  using value_type = typename call::type;

  template <class... Given>
  explicit run_on_wait(detail::call_target to, const std::source_location& where, Given&&... given)
      : run_on_base(std::move(to), where), function_(std::forward<Given>(given)...) {}

  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> caller) noexcept {
    return begin(caller.promise());
  }
  value_type await_resume() {
    check_end();
    return value_.move_out();
  }
  /// Like await_resume(), but a std::system_error becomes the error of the result.
  result<value_type> take() requires(!std::is_reference_v<value_type>) {
    try {
      check_end();
    } catch (const std::system_error& error) {
      return error.code();
    }
    if constexpr (std::is_void_v<value_type>) {
      return {};
    } else {
      return value_.move_out();
    }
  }

 private:
  fiber_base* start(scheduler& here, scope& around, const std::source_location& site) override {
    return std::apply(
        [&](F& f, Args&... args) {
          return value_.start(here, around, site, std::move(f), std::move(args)...);
        },
        function_);
  }
  void collect(fiber_base& ended) override { value_.collect(ended); }

  std::tuple<F, Args...> function_;
  call value_;
};

/// The part of run_on_all() that does not depend on the function.
class run_on_all_base : public wait_base {
 public:
  void on_cancel(cancel_reason reason) noexcept;
  void describe(std::string& out) const;

 protected:
  class one_call;

  explicit run_on_all_base(const std::source_location& where);
  ~run_on_all_base();

  bool begin(frame_record& at);
  void check_end();
  /// Makes the fiber that calls the function on scheduler `index`; null if it does not wait.
  virtual fiber_base* start(std::size_t index, scheduler& here, scope& around,
                            const std::source_location& site) = 0;

 private:
  void on_one_over() noexcept;
  static const wait_type type;
  std::source_location where_;
  std::unique_ptr<one_call[]> calls_;
  std::size_t count_ = 0;
  std::size_t left_ = 0;
};

/// See run_on_all().
template <class F>
class [[nodiscard]] run_on_all_wait final : public run_on_all_base {
 public:
  run_on_all_wait(F&& function, const std::source_location& where) noexcept
      : run_on_all_base(where), function_(std::forward<F>(function)) {}

  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> caller) {
    return begin(caller.promise());
  }
  void await_resume() { check_end(); }
  result<void> take() {
    return detail::value_or_code<void>([this] { check_end(); });
  }

 private:
  fiber_base* start(std::size_t index, scheduler& here, scope& around,
                    const std::source_location& site) override {
    const auto& f = function_;
    if constexpr (std::invocable<decltype(f), std::size_t>) {
      return detail::call_value<decltype(f(index))>().start(here, around, site, std::cref(f),
                                                            index);
    } else {
      return detail::call_value<decltype(f())>().start(here, around, site, std::cref(f));
    }
  }

  F function_;  // a reference if an lvalue was passed
};

}  // namespace ringlet::extend
