// spawns_calls: adds spawn() of functions to classes that have spawn() of tasks.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/spawn_call.hpp>
#include <ringlet/fiber.hpp>
#include <ringlet/spawnable.hpp>

#include <source_location>
#include <utility>

namespace ringlet::detail {

/// Adds these overloads to a derived class that has a spawn() for tasks.
template <class Self>
class spawns_calls {
 public:
  template <class F, class... Args>
  requires detail::spawns_wrongly<F, Args...>
  auto spawn(F&&, Args&&...) {
    detail::explain_wrong_spawn<F, Args...>();
    return fiber<>();
  }
  /// Whether calls are made inside co_await expressions, where g++ 12 destroys some callables
  /// twice.
  static constexpr bool spawn_is_awaited = false;

  template <class F>
  requires spawnable<F>
  auto spawn(F&& f, std::source_location where = std::source_location::current()) {
    return pass_on(where, std::forward<F>(f));
  }
  template <class F, class A>
  requires spawnable<F, A>
  auto spawn(F&& f, A&& a, std::source_location where = std::source_location::current()) {
    return pass_on(where, std::forward<F>(f), std::forward<A>(a));
  }
  template <class F, class A, class B>
  requires spawnable<F, A, B>
  auto spawn(F&& f, A&& a, B&& b, std::source_location where = std::source_location::current()) {
    return pass_on(where, std::forward<F>(f), std::forward<A>(a), std::forward<B>(b));
  }
  template <class F, class A, class B, class C>
  requires spawnable<F, A, B, C>
  auto spawn(F&& f, A&& a, B&& b, C&& c,
             std::source_location where = std::source_location::current()) {
    return pass_on(where, std::forward<F>(f), std::forward<A>(a), std::forward<B>(b),
                   std::forward<C>(c));
  }
  template <class F, class A, class B, class C, class D>
  requires spawnable<F, A, B, C, D>
  auto spawn(F&& f, A&& a, B&& b, C&& c, D&& d,
             std::source_location where = std::source_location::current()) {
    return pass_on(where, std::forward<F>(f), std::forward<A>(a), std::forward<B>(b),
                   std::forward<C>(c), std::forward<D>(d));
  }
  template <class F, class A, class B, class C, class D, class E>
  requires spawnable<F, A, B, C, D, E>
  auto spawn(F&& f, A&& a, B&& b, C&& c, D&& d, E&& e,
             std::source_location where = std::source_location::current()) {
    return pass_on(where, std::forward<F>(f), std::forward<A>(a), std::forward<B>(b),
                   std::forward<C>(c), std::forward<D>(d), std::forward<E>(e));
  }
  template <class F, class A, class B, class C, class D, class E, class G>
  requires spawnable<F, A, B, C, D, E, G>
  auto spawn(F&& f, A&& a, B&& b, C&& c, D&& d, E&& e, G&& g,
             std::source_location where = std::source_location::current()) {
    return pass_on(where, std::forward<F>(f), std::forward<A>(a), std::forward<B>(b),
                   std::forward<C>(c), std::forward<D>(d), std::forward<E>(e), std::forward<G>(g));
  }
  // With seven or more arguments, the recorded call site is this function.
  template <class F, class A, class B, class C, class D, class E, class G, class H, class... More>
  requires spawnable<F, A, B, C, D, E, G, H, More...>
  auto spawn(F&& f, A&& a, B&& b, C&& c, D&& d, E&& e, G&& g, H&& h, More&&... more) {
    return pass_on(std::source_location::current(), std::forward<F>(f), std::forward<A>(a),
                   std::forward<B>(b), std::forward<C>(c), std::forward<D>(d), std::forward<E>(e),
                   std::forward<G>(g), std::forward<H>(h), std::forward<More>(more)...);
  }

 private:
  template <class F, class... Args>
  auto pass_on(const std::source_location& where, F&& f, Args&&... args) {
    if constexpr (Self::spawn_is_awaited) detail::check_temporary<F>();
    return static_cast<Self&>(*this).spawn(
        detail::make_call(std::forward<F>(f), std::forward<Args>(args)...), where);
  }
};

}  // namespace ringlet::detail
