// The wait that select() returns.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/extend/selection.hpp>
#include <ringlet/extend/wait.hpp>
#include <ringlet/result.hpp>

#include <array>
#include <concepts>
#include <coroutine>
#include <cstddef>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>

namespace ringlet {

/// A wait that can be part of a select(): it takes nothing before it is over. Most waits are; the
/// headers name the exceptions. Calls that fill the caller's memory do not qualify, because they
/// might already have filled it when they are abandoned; nor do condition::wait() and
/// barrier::arrive_and_wait(), which change something before they are over.
template <class Wait>
concept selectable =
    std::derived_from<Wait, extend::two_phase_wait> && detail::two_phase_hooks<Wait>;

}  // namespace ringlet

namespace ringlet::extend {

/// See select().
template <selectable... Waits>
class [[nodiscard]] select_wait : public selection {
  static constexpr std::size_t count = sizeof...(Waits);
  template <class Wait>
  using value_of =
      value_or_unit<std::remove_cvref_t<decltype(std::declval<Wait&>().await_resume())>>;

 public:
  using value_type = std::variant<value_of<Waits>...>;

  explicit select_wait(Waits&... waits) noexcept
      : waits_(waits...), candidates_{candidate{&waits, &hooks_of<Waits>}...} {}

  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> caller) {
    return begin(candidates_, caller.promise());
  }
  /// The value of the wait that was taken, or its error.
  result<value_type> take() {
    rethrow_interruption();
    return visit_winner([](auto place, auto& wait) -> result<value_type> {
      auto taken = wait.take();
      if (!taken) return taken.error();
      if constexpr (std::is_void_v<typename decltype(taken)::value_type>) {
        return value_type(place);
      } else {
        return value_type(place, *std::move(taken));
      }
    });
  }
  value_type await_resume() {
    rethrow_interruption();
    return visit_winner([](auto place, auto& wait) -> value_type {
      if constexpr (std::is_void_v<decltype(wait.await_resume())>) {
        wait.await_resume();
        return value_type(place);
      } else {
        return value_type(place, wait.await_resume());
      }
    });
  }

 private:
  template <std::size_t I = 0, class F>
  auto visit_winner(F visit) {
    if constexpr (I + 1 < count) {
      if (winner() != I) return visit_winner<I + 1>(visit);
    }
    return visit(std::in_place_index<I>, std::get<I>(waits_));
  }

  std::tuple<Waits&...> waits_;
  std::array<candidate, count> candidates_;
};

}  // namespace ringlet::extend
