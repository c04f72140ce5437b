// greenlet<T>: switching by hand, as in Python's greenlet.
//
// A greenlet is a line of calls that runs when it is switched to, until it switches to another one
// or ends. There is no order but the one that the switches make.
#pragma once

#include <ringlet/assert.hpp>
#include <ringlet/context.hpp>
#include <ringlet/detail/greenlet_base.hpp>
#include <ringlet/detail/greenlet_driver.hpp>
#include <ringlet/error.hpp>
#include <ringlet/result.hpp>
#include <ringlet/task.hpp>

#include <concepts>
#include <coroutine>
#include <cstdint>
#include <exception>
#include <memory>
#include <source_location>
#include <stdexcept>
#include <system_error>
#include <type_traits>
#include <utility>

namespace ringlet {

/// Thrown into a greenlet, it asks it to end: let through, it is no failure. The switch of the
/// parent, which gets what its child leaves, then ends with errc::exited.
///
/// Not a std::exception, so that handlers of errors let it pass.
struct greenlet_exit final {};

/// Thrown by set_parent() when the new parent is the greenlet itself or below it.
class parent_cycle : public std::logic_error {
 public:
  parent_cycle();
};

/// What passed control from one greenlet to another.
enum class switch_kind : std::uint8_t {
  /// A value was sent or returned, or the one that ended left nothing.
  switched,
  /// An exception was thrown into it, or ended the other one.
  thrown,
};

/// One switch; see set_switch_hook().
struct switch_event {
  switch_kind kind;
  std::uint64_t fiber;  // its id
  std::uint64_t from;   // greenlet_handle<T>::id()
  std::uint64_t to;
  /// The co_await that switched; line 0 when the greenlet has ended.
  std::source_location where;
};

/// Installs a hook that runs at each switch of this thread, between the greenlet that stops and the
/// one that continues; null removes it. Returns the previous hook. A hook may not switch, which the
/// compiler sees to, nor throw. Without one a switch costs one comparison more.
switch_hook set_switch_hook(switch_hook hook) noexcept;

/// What switch_wait and throw_wait share: how they end.
template <class T>
class switch_wait_base {
 public:
  switch_wait_base(const switch_wait_base&) = delete;
  switch_wait_base& operator=(const switch_wait_base&) = delete;

  bool await_ready() const noexcept { return false; }
  T await_resume() {
    if constexpr (std::is_void_v<T>) {
      here_->template receive<T>();
    } else {
      return here_->template receive<T>();
    }
  }
  /// The same, but with an error code instead of a std::system_error: errc::exited, or what a
  /// greenlet that has failed threw. Other exceptions pass through.
  result<T> take() {
    if (here_->received == nullptr && here_->arrived.kind == detail::arrival::exited) {
      here_->tree->bury();
      return make_error_code(errc::exited);
    }
    try {
      if constexpr (std::is_void_v<T>) {
        await_resume();
        return {};
      } else {
        return await_resume();
      }
    } catch (const std::system_error& error) {
      return error.code();
    }
  }

 protected:
  explicit switch_wait_base(detail::greenlet_base& target) noexcept : target_(&target) {}

  detail::greenlet_base* target_;
  detail::greenlet_base* here_ = nullptr;
};

/// See greenlet_handle<T>::switch_to().
template <class T>
class [[nodiscard]] switch_wait : public switch_wait_base<T> {
 public:
  switch_wait(detail::greenlet_base& target, detail::sent_type<T>& value) noexcept
      : switch_wait_base<T>(target), value_(std::addressof(value)) {}

  template <class Promise>
  std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> caller) noexcept {
    return this->target_->switch_to(caller.promise(), &detail::type_tag<T>, value_, this->here_);
  }

 private:
  detail::sent_type<T>* value_;
};

/// The same with a value of its own.
template <class T>
class [[nodiscard]] copying_switch_wait : public switch_wait<T> {
 public:
  copying_switch_wait(detail::greenlet_base& target, const detail::sent_type<T>& value)
      : switch_wait<T>(target, copy_), copy_(value) {}

 private:
  [[no_unique_address]] detail::sent_type<T> copy_;
};

/// See greenlet_handle<T>::throw_into().
template <class T>
class [[nodiscard]] throw_wait : public switch_wait_base<T> {
 public:
  throw_wait(detail::greenlet_base& target, std::exception_ptr error) noexcept
      : switch_wait_base<T>(target), error_(std::move(error)) {
    RINGLET_ASSERT(error_ != nullptr, "throw_into() was given no exception");
  }

  template <class Promise>
  std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> caller) noexcept {
    return this->target_->send(caller.promise(), &detail::type_tag<T>,
                               {detail::arrival::thrown, nullptr, nullptr, std::move(error_)},
                               this->here_);
  }

 private:
  std::exception_ptr error_;
};

template <class T>
class greenlet_ref;

/// What can be done with a greenlet: the base of greenlet<T>, its owner, and of greenlet_ref<T>.
///
/// Thread: that of the fiber in which the greenlet was made, for everything; and only calls of that
/// fiber can switch to it. Another fiber that tries, because the greenlet's own one is blocked
/// inside of it or at any other time, or another thread, aborts with the rule that it breaks.
/// Cancellation: switching is not a wait; it is neither a checkpoint nor a turn of other fibers. A
/// kill is thrown at the next wait, in whatever greenlet that is, and propagates as every exception
/// does: it ends that one, then comes out of its parent's switch, and so on.
template <class T>
class greenlet_handle {
 public:
  static_assert(std::is_void_v<T> || (std::is_object_v<T> && !std::is_const_v<T>),
                "greenlets send values: for references send pointers");
  using value_type = T;

  greenlet_handle(const greenlet_handle&) = delete;
  greenlet_handle& operator=(const greenlet_handle&) = delete;

  /// Whether there is a greenlet. Whether that can run is told by state().
  explicit operator bool() const noexcept { return base_ != nullptr; }
  /// Whether both are the same one.
  friend bool operator==(const greenlet_handle& a, const greenlet_handle& b) noexcept {
    return a.base_ == b.base_;
  }

  /// Sends `value` to the greenlet and runs it: its body begins with it, or the switch in which it
  /// is suspended returns it. Returns whatever is sent to the caller next, by any greenlet.
  ///
  /// To oneself it returns `value` at once. To one that has finished, it goes to the nearest parent
  /// that has not, which may be the caller. The value is moved once, by the receiver.
  /// Errors    What is thrown into the caller; what a child of the caller threw that ended by it;
  ///           errc::exited when a child ended by greenlet_exit. Aborts when the receiver waits for
  ///           a value of another type.
  /// Lifetime  Borrows the value: await it in the expression that makes it.
  switch_wait<T> switch_to(detail::sent_type<T>&& value) const noexcept
      requires(!std::is_void_v<T>) {
    return {checked(), value};
  }
  copying_switch_wait<T> switch_to(const detail::sent_type<T>& value) const
      requires(std::copy_constructible<T>) {
    return {checked(), value};
  }
  copying_switch_wait<T> switch_to() const noexcept requires(std::is_void_v<T>) {
    return {checked(), {}};
  }

  /// Throws `error` at the switch in which the greenlet is suspended. One that has not begun ends
  /// without having run, and what goes to one that has finished, or ends one, goes to its parent.
  /// Into oneself it throws at once. Yields what is sent to the caller next, as switch_to() does.
  throw_wait<T> throw_into(std::exception_ptr error) const noexcept {
    return {checked(), std::move(error)};
  }
  /// The same with that exception; by default, asks the greenlet to end.
  template <class E = greenlet_exit>
  requires(!std::convertible_to<E, std::exception_ptr>) throw_wait<T> throw_into(E error = {})
  const { return {checked(), std::make_exception_ptr(std::move(error))}; }

  greenlet_state state() const noexcept { return checked().state(); }

  /// The greenlet that gets what this one leaves when it ends; none for the main one.
  greenlet_ref<T> parent() const noexcept;
  /// From now on `to` is the parent. At any time, but not of a main greenlet, which has none; both
  /// must be of one fiber.
  /// Errors  parent_cycle.
  void set_parent(const greenlet_handle& to) const { checked().set_parent(to.checked()); }

  /// Counts the greenlets of a fiber: 0 for its main one.
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

/// Refers to a greenlet that is owned elsewhere, or to the main one of a fiber, which is the
/// fiber's own calls outside of all greenlets. Copyable, cheap, can be empty. It may outlive the
/// greenlet, which is then finished.
template <class T = void>
class greenlet_ref : public greenlet_handle<T> {
 public:
  /// None.
  greenlet_ref() noexcept = default;
  explicit greenlet_ref(detail::greenlet_base& to) noexcept : greenlet_handle<T>(&to) {
    to.add_reference();
  }
  /// The same greenlet as that.
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
/// It runs in the fiber that made it: when it waits, for a byte or a second, that fiber waits. It
/// may switch from any depth: a task that it calls may do so. When its body ends, what it returned
/// or threw goes to the switch in which its parent is suspended; a parent that has not begun begins
/// with it, but ends without having run if it is an exception or greenlet_exit.
///
/// The end of the owner ends the greenlet. Unless it has finished its calls are destroyed where
/// they are suspended, innermost first; nothing is thrown into them, and destructors cannot switch.
/// One that runs, or in which its fiber is blocked, cannot be destroyed: that aborts.
template <class T = void>
class greenlet : public greenlet_handle<T> {
 public:
  /// Calls `f(args..., first)`, which must return a task<T>, at the first switch, with the value
  /// that was sent; for void, `f(args...)`. `f` and `args` are copied or moved into the greenlet
  /// and live as long as its body runs. The parent is the greenlet that runs now. Nothing runs yet.
  /// Aborts outside of a fiber.
  template <class F, class... Args>
  requires(!std::same_as<std::remove_cvref_t<F>, greenlet>) &&
      detail::greenlet_body<T, F, Args...>  //
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

  /// The greenlet that runs now, in the calling fiber. Aborts outside of one.
  static greenlet_ref<T> current() {
    return greenlet_ref<T>(*detail::greenlet_tree::here().current);
  }
  /// The main greenlet of the calling fiber.
  static greenlet_ref<T> main() { return greenlet_ref<T>(detail::greenlet_tree::here()); }
};

}  // namespace ringlet
