// greenlet<T>: switching by hand, as in Python's greenlet.
//
// A greenlet is a chain of calls that runs when it is switched to, until it switches to another
// greenlet or ends. The switches alone determine the order.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/greenlet_base.hpp>
#include <ringlet/detail/greenlet_driver.hpp>
#include <ringlet/extend/assert.hpp>
#include <ringlet/extend/context.hpp>
#include <ringlet/extend/greenlet_waits.hpp>
#include <ringlet/result.hpp>
#include <ringlet/task.hpp>
#include <ringlet/value_or_unit.hpp>

#include <concepts>
#include <cstdint>
#include <exception>
#include <source_location>
#include <stdexcept>
#include <type_traits>
#include <utility>

namespace ringlet {

/// What a greenlet<T> can be made of: `f(args..., first)` returns a task<T>, where `first` is the
/// first value that is sent; for void, `f(args...)`.
template <class T, class F, class... Args>
concept greenlet_body =
    std::same_as<typename detail::body_of<T, std::decay_t<F>, std::decay_t<Args>...>::type,
                 task<T>>;

/// Thrown by set_parent() if the new parent is the greenlet itself or one of its descendants.
class parent_cycle : public std::logic_error {
 public:
  parent_cycle();
};

/// How control passed from one greenlet to another.
enum class switch_kind : std::uint8_t {
  /// A value was sent or returned, or a greenlet ended without one.
  switched,
  /// An exception was thrown into the greenlet, or ended the other one.
  thrown,
};

/// One switch; see set_switch_hook().
struct switch_event {
  /// What was passed.
  switch_kind kind;
  /// The id of the fiber.
  std::uint64_t fiber;
  /// The id of the greenlet that stops: greenlet_handle<T>::id().
  std::uint64_t from;
  /// The id of the greenlet that continues.
  std::uint64_t to;
  /// The co_await that switched; line 0 if the greenlet has ended.
  std::source_location where;
};

/// Installs a hook that runs at each switch of this thread, between the greenlet that stops and the
/// one that continues; null removes it. Returns the previous hook. A hook must not switch (the
/// compiler enforces this) and must not throw. Without a hook, a switch costs one more comparison.
switch_hook set_switch_hook(switch_hook hook) noexcept;
template <class T>
class greenlet_ref;

/// The operations on a greenlet: the base of its owner, greenlet<T>, and of greenlet_ref<T>.
///
/// Errors    A switch throws what is thrown into the caller, and the exception that ended a child
///           of the caller; errc::fiber_cancelled if a child ended by greenlet_exit. It aborts if
///           the receiver waits for a value of another type.
/// Cancellation  A switch is not a wait. It is not a checkpoint, and other fibers do not run. A
///           kill is thrown at the next wait, in any greenlet of the fiber, and propagates like
///           every exception: it ends that greenlet, is then thrown by its parent's switch, and so
///           on.
/// Lifetime  A greenlet lives as long as its owner, greenlet<T>. References may outlive it: the
///           greenlet is then finished.
/// Thread    That of the fiber that made the greenlet, for everything. Only calls of that fiber can
///           switch to it. A switch from another fiber or thread always aborts with the broken
///           rule, even while the greenlet's own fiber is blocked inside it.
/// Memory    One block and a frame for each greenlet. A switch does not allocate.
template <class T>
class greenlet_handle {
 public:
  static_assert(std::is_void_v<T> || (std::is_object_v<T> && !std::is_const_v<T>),
                "greenlets send values: for references send pointers");
  /// The type of the values that are sent.
  using value_type = T;

  greenlet_handle(const greenlet_handle&) = delete;
  greenlet_handle& operator=(const greenlet_handle&) = delete;

  /// Whether there is a greenlet. state() tells whether it can run.
  explicit operator bool() const noexcept { return base_ != nullptr; }
  /// Whether both refer to the same greenlet.
  friend bool operator==(const greenlet_handle& a, const greenlet_handle& b) noexcept {
    return a.base_ == b.base_;
  }

  /// Sends `value` to the greenlet and runs it: its body begins with the value, or its suspended
  /// switch returns the value. Returns the value that any greenlet sends to the caller next.
  ///
  /// A switch to oneself returns `value` immediately. A value for a finished greenlet goes to its
  /// nearest ancestor that has not finished, which may be the caller. The receiver moves the value,
  /// once.
  /// Lifetime  Borrows the value: await it in the expression that makes it.
  extend::switch_wait<T> switch_to(value_or_unit<T>&& value) const noexcept
      requires(!std::is_void_v<T>) {
    return {checked(), value};
  }
  extend::copying_switch_wait<T> switch_to(const value_or_unit<T>& value) const
      requires(std::copy_constructible<T>) {
    return {checked(), value};
  }
  extend::copying_switch_wait<T> switch_to() const noexcept requires(std::is_void_v<T>) {
    return {checked(), {}};
  }

  /// Throws `error` at the switch in which the greenlet is suspended. A greenlet that has not begun
  /// ends without running. An exception that ends a greenlet, or is thrown into a finished one,
  /// goes to its parent. Thrown into oneself, it is thrown immediately. Returns the value that is
  /// sent to the caller next, like switch_to().
  extend::throw_wait<T> throw_into(std::exception_ptr error) const noexcept {
    return {checked(), std::move(error)};
  }
  /// The same with an exception object; the default asks the greenlet to end.
  template <class E = greenlet_exit>
  requires(!std::convertible_to<E, std::exception_ptr>) extend::throw_wait<T> throw_into(
      E error = {})
  const { return {checked(), std::make_exception_ptr(std::move(error))}; }

  /// Whether it has begun, and whether it can be switched to.
  greenlet_state state() const noexcept { return checked().state(); }

  /// The greenlet that receives the value or exception with which this one ends; none for the main
  /// greenlet.
  greenlet_ref<T> parent() const noexcept;
  /// Makes `to` the parent. Allowed at any time, except for a main greenlet, which has no parent.
  /// Both must belong to the same fiber.
  /// Errors    parent_cycle.
  void set_parent(const greenlet_handle& to) const { checked().set_parent(to.checked()); }

  /// Numbers the greenlets of a fiber; the main one is 0.
  std::uint64_t id() const noexcept { return checked().id; }

 protected:
  greenlet_handle() noexcept = default;
  /// Takes over one reference.
  explicit greenlet_handle(detail::greenlet_base* adopted) noexcept : base_(adopted) {}
  ~greenlet_handle() {
    if (base_ != nullptr) base_->drop_reference();
  }

  detail::greenlet_base* base_ = nullptr;

 private:
  friend class greenlet_ref<T>;
  detail::greenlet_base& checked() const noexcept {
    RINGLET_ASSERT(base_ != nullptr, "an empty greenlet (moved from, or none) was used");
    return *base_;
  }
};

/// Refers to a greenlet that is owned elsewhere, or to a fiber's main greenlet: the fiber's own
/// calls outside of all greenlets. Copyable and cheap; can be empty. It may outlive the greenlet's
/// owner; the greenlet is then finished.
template <class T = void>
class greenlet_ref : public greenlet_handle<T> {
 public:
  /// No greenlet.
  greenlet_ref() noexcept = default;
  /// For the library.
  explicit greenlet_ref(detail::greenlet_base& to) noexcept : greenlet_handle<T>(&to) {
    to.add_reference();
  }
  /// Refers to the same greenlet.
  greenlet_ref(const greenlet_handle<T>& other) noexcept : greenlet_handle<T>(other.base_) {
    if (this->base_ != nullptr) this->base_->add_reference();
  }
  greenlet_ref(const greenlet_ref& other) noexcept
      : greenlet_ref(static_cast<const greenlet_handle<T>&>(other)) {}
  greenlet_ref& operator=(greenlet_ref other) noexcept {
    std::swap(this->base_, other.base_);
    return *this;
  }
};

template <class T>
greenlet_ref<T> greenlet_handle<T>::parent() const noexcept {
  return checked().up == nullptr ? greenlet_ref<T>() : greenlet_ref<T>(*checked().up);
}

/// A greenlet, and its owner. All greenlets of one tree of parents send and receive T:
///
///     greenlet<int> doubler([](int n) -> task<int> {
///       for (;;) n = co_await greenlet<int>::current().parent().switch_to(2 * n);
///     });
///     int four = co_await doubler.switch_to(2);
///
/// A greenlet runs in the fiber that made it: when the greenlet waits, that fiber waits. It may
/// switch from any depth, for instance in a task that it calls. When its body ends, its value or
/// exception goes to the switch in which the parent is suspended. A parent that has not begun
/// begins with the value; an exception or greenlet_exit ends it without running.
///
/// Lifetime  Destroying the owner ends the greenlet. If it has not finished, its calls are
///           destroyed where they are suspended, innermost first; nothing is thrown into them, and
///           destructors cannot switch. Destroying a greenlet that is running, or in which its
///           fiber is blocked, aborts.
template <class T = void>
class greenlet : public greenlet_handle<T> {
 public:
  /// At the first switch, calls `f(args..., first)`, which must return a task<T>, with the value
  /// that was sent; for void, `f(args...)`. `f` and `args` are copied or moved into the greenlet
  /// and live as long as its body runs. The parent is the running greenlet. The constructor itself
  /// runs nothing. Aborts outside of a fiber.
  template <class F, class... Args>
  requires(!std::same_as<std::remove_cvref_t<F>, greenlet>) && greenlet_body<T, F, Args...>  //
      explicit greenlet(F&& f, Args&&... args)
      : greenlet_handle<T>(new detail::greenlet_base(&detail::type_tag<T>)) {
    auto* driver = detail::drive<T, std::decay_t<F>, std::decay_t<Args>...>(
                       *this->base_, std::forward<F>(f), std::forward<Args>(args)...)
                       .promise;
    driver->owner = this->base_;
    this->base_->set_driver(*driver);
  }
  /// Leaves `other` empty.
  greenlet(greenlet&& other) noexcept : greenlet_handle<T>(std::exchange(other.base_, nullptr)) {}
  greenlet& operator=(greenlet&& other) noexcept {
    greenlet moved(std::move(other));
    std::swap(this->base_, moved.base_);
    return *this;
  }
  ~greenlet() {
    if (this->base_ != nullptr) this->base_->abandon();
  }

  /// The running greenlet of the calling fiber. Aborts outside of a fiber.
  static greenlet_ref<T> current() {
    return greenlet_ref<T>(*detail::greenlet_tree::here().current);
  }
  /// The main greenlet of the calling fiber.
  static greenlet_ref<T> main() { return greenlet_ref<T>(detail::greenlet_tree::here()); }
};

}  // namespace ringlet
