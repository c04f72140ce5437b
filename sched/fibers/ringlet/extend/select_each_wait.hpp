// The wait that select_each() returns.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/extend/select_wait.hpp>
#include <ringlet/extend/selection.hpp>
#include <ringlet/result.hpp>
#include <ringlet/value_or_unit.hpp>

#include <coroutine>
#include <cstddef>
#include <deque>
#include <functional>
#include <stdexcept>
#include <type_traits>
#include <utility>
#include <vector>

namespace ringlet {

/// What select_each() returns: which call was taken, and its value; std::monostate for void.
template <class T>
struct selected {
  std::size_t index;
  value_or_unit<T> value;
};

}  // namespace ringlet

namespace ringlet::extend {

/// See select_each().
template <selectable Wait>
class [[nodiscard]] select_each_wait : public selection {
  using value = std::remove_cvref_t<decltype(std::declval<Wait&>().await_resume())>;
  // A wait can be neither copied nor moved.
  struct in_place {
    template <class F, class Object>
    in_place(F& make, Object&& object) : one(std::invoke(make, std::forward<Object>(object))) {}
    Wait one;
  };

 public:
  template <class Range, class F>
  select_each_wait(Range& objects, F& make) {
    for (auto&& object : objects) {
      waits_.emplace_back(make, std::forward<decltype(object)>(object));
    }
    if (waits_.empty()) {
      throw std::invalid_argument(
          "select_each() was called with an empty range: nothing could end the wait");
    }
    candidates_.reserve(waits_.size());
    for (in_place& each : waits_) candidates_.push_back({&each.one, &hooks_of<Wait>});
  }

  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> caller) {
    return begin(candidates_, caller.promise());
  }
  result<selected<value>> take() {
    rethrow_interruption();
    auto taken = waits_[winner()].one.take();
    if (!taken) return taken.error();
    if constexpr (std::is_void_v<value>) {
      return selected<value>{winner(), {}};
    } else {
      return selected<value>{winner(), *std::move(taken)};
    }
  }
  selected<value> await_resume() {
    rethrow_interruption();
    if constexpr (std::is_void_v<value>) {
      waits_[winner()].one.await_resume();
      return {winner(), {}};
    } else {
      return {winner(), waits_[winner()].one.await_resume()};
    }
  }

 private:
  std::deque<in_place> waits_;
  std::vector<candidate> candidates_;
};

}  // namespace ringlet::extend
