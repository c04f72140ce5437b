// The wait that select_set::first() returns, and the parts of a set.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/extend/select_wait.hpp>
#include <ringlet/extend/selection.hpp>
#include <ringlet/result.hpp>
#include <ringlet/time_limit.hpp>

#include <coroutine>
#include <cstddef>
#include <optional>
#include <type_traits>
#include <utility>

namespace ringlet {

class select_set;

}  // namespace ringlet

namespace ringlet::extend {

/// See select_set::first().
class [[nodiscard]] select_set_wait : public selection {
 public:
  class part;
  template <class T>
  class part_of;
  template <class F>
  class part_made_by;

  select_set_wait(select_set& of, time_limit timeout) noexcept;
  ~select_set_wait();

  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> caller) {
    return begin_first(caller.promise());
  }
  result<std::size_t> take();
  std::size_t await_resume();

 private:
  bool begin_first(frame_record& at);

  select_set* of_;
};

/// One of the calls of a set. Its wait is made anew for each first().
class select_set_wait::part {
 public:
  part() noexcept = default;
  part(const part&) = delete;
  part& operator=(const part&) = delete;
  virtual ~part() = default;
  virtual candidate make() = 0;
  /// Destroys what make() has made: it may refer to its object, as if a fiber still waited there.
  virtual void forget() noexcept = 0;
};

template <class T>
class select_set_wait::part_of : public part {
 public:
  virtual T get() = 0;
  virtual result<T> take() = 0;
};

/// The value of the call that F makes.
template <class F>
using value_of_made =
    std::remove_cvref_t<decltype(std::declval<std::invoke_result_t<F&>&>().await_resume())>;

template <class F>
class select_set_wait::part_made_by final : public part_of<value_of_made<F>> {
  using wait = std::invoke_result_t<F&>;
  using value = value_of_made<F>;
  // A wait can be neither copied nor moved.
  struct in_place {
    explicit in_place(F& make) : one(make()) {}
    wait one;
  };

 public:
  explicit part_made_by(F make) : make_(std::move(make)) {}

  candidate make() override {
    made_.reset();
    return {&made_.emplace(make_).one, &hooks_of<wait>};
  }
  void forget() noexcept override { made_.reset(); }
  value get() override {
    const forgotten_afterwards end{*this};
    return made_->one.await_resume();
  }
  result<value> take() override {
    const forgotten_afterwards end{*this};
    return made_->one.take();
  }

 private:
  struct forgotten_afterwards {
    ~forgotten_afterwards() { read.forget(); }
    part_made_by& read;
  };

  F make_;
  std::optional<in_place> made_;
};

}  // namespace ringlet::extend
