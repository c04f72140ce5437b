// call_value: what a call on another scheduler returns, and how it is made there.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/fiber_state.hpp>
#include <ringlet/detail/spawn_call.hpp>
#include <ringlet/extend/fiber_base.hpp>
#include <ringlet/extend/scheduler.hpp>
#include <ringlet/task.hpp>

#include <functional>
#include <memory>
#include <optional>
#include <source_location>
#include <type_traits>
#include <utility>

namespace ringlet::detail {

/// Stores a T, a reference or nothing, from one thread to another.
template <class T>
class carried_value {
 public:
  template <class F>
  void set(F&& make) {
    value_.emplace(make());
  }
  T move_out() { return std::move(*value_); }

 private:
  std::optional<T> value_;
};

template <class T>
class carried_value<T&> {
 public:
  template <class F>
  void set(F&& make) {
    value_ = std::addressof(make());
  }
  T& move_out() const noexcept { return *value_; }

 private:
  T* value_ = nullptr;
};

template <>
class carried_value<void> {
 public:
  template <class F>
  void set(F&& make) {
    make();
  }
  void move_out() const noexcept {}
};

/// The value of a function that does not wait: it is called between fibers.
template <class Result>
class call_value : public carried_value<Result> {
 public:
  using type = Result;

  template <class F, class... Args>
  extend::fiber_base* start(extend::scheduler&, extend::scope&, const std::source_location&, F&& f,
                            Args&&... args) {
    this->set(
        [&]() -> Result { return std::invoke(std::forward<F>(f), std::forward<Args>(args)...); });
    return nullptr;
  }
  void collect(extend::fiber_base&) {}
};

/// The value of a task, which runs as a fiber.
template <class T>
class call_value<task<T>> : public carried_value<T> {
 public:
  using type = T;

  /// Returns the fiber, which is not in the run queue yet.
  template <class F, class... Args>
  extend::fiber_base* start(extend::scheduler& here, extend::scope& around,
                            const std::source_location& site, F&& f, Args&&... args) {
    return new fiber_state<T>(here, around,
                              make_call(std::forward<F>(f), std::forward<Args>(args)...), site);
  }
  void collect(extend::fiber_base& ended) {
    this->set(
        [&]() -> decltype(auto) { return static_cast<fiber_state<T>&>(ended).value().move_out(); });
  }
};

}  // namespace ringlet::detail
