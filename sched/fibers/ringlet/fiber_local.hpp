// fiber_local and context_var: variables with one value per fiber.
//
//     const fiber_local<std::string> scratch;
//
//     task<> work(int number) {
//       *scratch = std::to_string(number);
//       co_await sleep(1ms);  // other fibers write to theirs
//       show(*scratch);
//     }
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/fiber_extras.hpp>
#include <ringlet/extend/fiber_base.hpp>

#include <concepts>
#include <cstdint>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

namespace ringlet::detail {

/// A number that is unique among all variables of this process, past and future.
std::uint64_t next_variable() noexcept;

template <class T>
struct stored final : stored_value {
  template <class... Args>
  explicit stored(Args&&... args) : value(std::forward<Args>(args)...) {}
  T value;
};

}  // namespace ringlet::detail

namespace ringlet {

/// A variable with one value per fiber. The value is made at its first use in a fiber and destroyed
/// when the fiber has ended. Spawned fibers do not inherit it.
///
/// Errors    The first use in a fiber throws what making the value throws, and std::bad_alloc.
/// Lifetime  A value lives until its fiber has ended, and may outlive the variable.
/// Thread    Any; each fiber sees its own.
/// Memory    One allocation for each value. Each use searches the variables that the fiber has
///           used.
template <class T>
class fiber_local {
 public:
  /// Values begin value-initialised.
  fiber_local() requires std::default_initializable<T> : make_([] { return new_value(T()); }) {}
  /// Each value is initialised with the result of `make()`.
  template <std::invocable Make>
  requires std::constructible_from<T, std::invoke_result_t<Make&>>
  explicit fiber_local(Make make) : make_([make]() mutable { return new_value(make()); }) {}
  fiber_local(const fiber_local&) = delete;
  fiber_local& operator=(const fiber_local&) = delete;

  /// The value of the calling fiber. Aborts outside of a fiber. Valid until the fiber ends.
  T& get() const {
    std::vector<detail::fiber_extras::local>& all = extend::current().extras().locals;
    for (const auto& one : all) {
      if (one.variable == variable_) return value_in(one);
    }
    all.push_back({variable_, make_()});
    return value_in(all.back());
  }
  /// The same.
  T& operator*() const { return get(); }
  T* operator->() const { return &get(); }

 private:
  template <class U>
  static std::unique_ptr<detail::stored_value> new_value(U&& value) {
    return std::make_unique<detail::stored<T>>(std::forward<U>(value));
  }
  static T& value_in(const detail::fiber_extras::local& at) noexcept {
    return static_cast<detail::stored<T>&>(*at.value).value;
  }

  std::function<std::unique_ptr<detail::stored_value>()> make_;
  const std::uint64_t variable_ = detail::next_variable();
};

/// A variable that fibers inherit, such as a request id for the log. A new fiber sees the values
/// that its spawner saw. A fiber that sets a value affects itself and the fibers that it spawns
/// from then on.
///
///     const context_var<int> request;
///
///     task<> log_request() {
///       show(*request);
///       co_return;
///     }
///
///     const auto setting = request.set(7);
///     const fiber<> logging = spawn(log_request);
///     co_await logging.join();  // it has shown 7
///
/// Errors    set() throws std::bad_alloc.
/// Lifetime  A value lives as long as a fiber sees it. The variable must outlive its use.
/// Thread    Any; each fiber sees its own.
/// Memory    Two allocations for each set(). Inheriting a value shares it, and allocates once for
///           each fiber that sees any.
template <class T>
class context_var {
 public:
  /// `otherwise` is the value if none was set.
  explicit context_var(T otherwise = T()) : otherwise_(std::move(otherwise)) {}
  context_var(const context_var&) = delete;
  context_var& operator=(const context_var&) = delete;

  /// The value that the calling fiber sees. Aborts outside of a fiber. Valid as long as it is set.
  const T& get() const {
    const detail::context_value* seen = extend::current().context_values().get();
    while (seen != nullptr && seen->variable != variable_) seen = seen->outer.get();
    return seen == nullptr ? otherwise_ : static_cast<const detail::stored<T>&>(*seen->value).value;
  }
  /// The same.
  const T& operator*() const { return get(); }
  const T* operator->() const { return &get(); }

  /// Restores the previous value when it is destroyed. Destroy settings in the fiber that made them
  /// and in reverse order. Never keep one across a co_yield.
  class [[nodiscard]] setting {
   public:
    setting(const setting&) = delete;
    setting& operator=(const setting&) = delete;
    ~setting() {
      RINGLET_ASSERT(
          fiber_.context_values() == mine_,
          "settings of context variables must end in the reverse order of their creation");
      fiber_.extras().context_values = std::move(before_);
    }

   private:
    friend class context_var;
    setting(std::uint64_t variable, T&& value)
        : fiber_(extend::current()),
          before_(fiber_.context_values()),
          mine_(std::make_shared<detail::context_value>(detail::context_value{
              variable, std::make_shared<const detail::stored<T>>(std::move(value)), before_})) {
      fiber_.extras().context_values = mine_;
    }
    extend::fiber_base& fiber_;
    std::shared_ptr<const detail::context_value> before_;
    std::shared_ptr<const detail::context_value> mine_;
  };

  /// Sets the value until the returned object is destroyed: `const auto id = request_id.set(7);`
  setting set(T value) const { return setting(variable_, std::move(value)); }

 private:
  T otherwise_;
  const std::uint64_t variable_ = detail::next_variable();
};

}  // namespace ringlet
