// The function of a timer, which the timer shares with the fiber that runs it.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/task.hpp>

#include <concepts>
#include <functional>
#include <type_traits>
#include <utility>

namespace ringlet::detail {

template <class F>
concept is_timer_function = std::invocable<F&> &&
    (std::is_void_v<std::invoke_result_t<F&>> || std::same_as<std::invoke_result_t<F&>, task<>>);

class timer_call {
 public:
  virtual ~timer_call() = default;
  virtual task<> call() = 0;
};

template <class F>
class timer_function_of final : public timer_call {
 public:
  explicit timer_function_of(const F& f) : f_(f) {}
  explicit timer_function_of(F&& f) : f_(std::move(f)) {}

  task<> call() override {
    if constexpr (std::is_void_v<std::invoke_result_t<F&>>) {
      std::invoke(f_);
      co_return;
    } else {
      co_await std::invoke(f_);
    }
  }

 private:
  F f_;
};

}  // namespace ringlet::detail
