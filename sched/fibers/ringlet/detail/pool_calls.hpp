// The calls of a pool that take a callable and its arguments. One overload per number of arguments,
// because the default argument for the call site cannot follow a pack.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/spawns_calls.hpp>
#include <ringlet/fiber.hpp>
#include <ringlet/spawnable.hpp>
#include <ringlet/task.hpp>

#include <optional>
#include <source_location>
#include <utility>

namespace ringlet::detail {

/// Adds these overloads to a derived class that has a try_spawn() and an apply() for tasks.
template <class Self>
class pool_calls : public spawns_calls<Self> {
  using site = std::source_location;

 public:
  // For calls that do not compile. The deduced return type forces the static_assert that says why.
  template <class F, class... Args>
  requires spawns_wrongly<F, Args...>
  auto try_spawn(F&&, Args&&...) {
    explain_wrong_spawn<F, Args...>();
    return std::optional<fiber<>>();
  }
  template <class F, class... Args>
  requires spawns_wrongly<F, Args...>
  auto apply(F&&, Args&&...) {
    explain_wrong_spawn<F, Args...>();
    return fiber<>().get();  // can be awaited
  }

  template <class F>
  requires spawnable<F>
  auto try_spawn(F&& f, site where = site::current()) {
    return pass_to_try_spawn(where, std::forward<F>(f));
  }
  template <class F, class A>
  requires spawnable<F, A>
  auto try_spawn(F&& f, A&& a, site where = site::current()) {
    return pass_to_try_spawn(where, std::forward<F>(f), std::forward<A>(a));
  }
  template <class F, class A, class B>
  requires spawnable<F, A, B>
  auto try_spawn(F&& f, A&& a, B&& b, site where = site::current()) {
    return pass_to_try_spawn(where, std::forward<F>(f), std::forward<A>(a), std::forward<B>(b));
  }
  template <class F, class A, class B, class C>
  requires spawnable<F, A, B, C>
  auto try_spawn(F&& f, A&& a, B&& b, C&& c, site where = site::current()) {
    return pass_to_try_spawn(where, std::forward<F>(f), std::forward<A>(a), std::forward<B>(b),
                             std::forward<C>(c));
  }
  template <class F, class A, class B, class C, class D>
  requires spawnable<F, A, B, C, D>
  auto try_spawn(F&& f, A&& a, B&& b, C&& c, D&& d, site where = site::current()) {
    return pass_to_try_spawn(where, std::forward<F>(f), std::forward<A>(a), std::forward<B>(b),
                             std::forward<C>(c), std::forward<D>(d));
  }
  template <class F, class A, class B, class C, class D, class E>
  requires spawnable<F, A, B, C, D, E>
  auto try_spawn(F&& f, A&& a, B&& b, C&& c, D&& d, E&& e, site where = site::current()) {
    return pass_to_try_spawn(where, std::forward<F>(f), std::forward<A>(a), std::forward<B>(b),
                             std::forward<C>(c), std::forward<D>(d), std::forward<E>(e));
  }
  template <class F, class A, class B, class C, class D, class E, class G>
  requires spawnable<F, A, B, C, D, E, G>
  auto try_spawn(F&& f, A&& a, B&& b, C&& c, D&& d, E&& e, G&& g, site where = site::current()) {
    return pass_to_try_spawn(where, std::forward<F>(f), std::forward<A>(a), std::forward<B>(b),
                             std::forward<C>(c), std::forward<D>(d), std::forward<E>(e),
                             std::forward<G>(g));
  }
  // With seven or more arguments, the recorded call site is this function.
  template <class F, class A, class B, class C, class D, class E, class G, class H, class... More>
  requires spawnable<F, A, B, C, D, E, G, H, More...>
  auto try_spawn(F&& f, A&& a, B&& b, C&& c, D&& d, E&& e, G&& g, H&& h, More&&... more) {
    return pass_to_try_spawn(site::current(), std::forward<F>(f), std::forward<A>(a),
                             std::forward<B>(b), std::forward<C>(c), std::forward<D>(d),
                             std::forward<E>(e), std::forward<G>(g), std::forward<H>(h),
                             std::forward<More>(more)...);
  }

  template <class F>
  requires spawnable<F>
  auto apply(F&& f, site where = site::current()) {
    return pass_to_apply(where, std::forward<F>(f));
  }
  template <class F, class A>
  requires spawnable<F, A>
  auto apply(F&& f, A&& a, site where = site::current()) {
    return pass_to_apply(where, std::forward<F>(f), std::forward<A>(a));
  }
  template <class F, class A, class B>
  requires spawnable<F, A, B>
  auto apply(F&& f, A&& a, B&& b, site where = site::current()) {
    return pass_to_apply(where, std::forward<F>(f), std::forward<A>(a), std::forward<B>(b));
  }
  template <class F, class A, class B, class C>
  requires spawnable<F, A, B, C>
  auto apply(F&& f, A&& a, B&& b, C&& c, site where = site::current()) {
    return pass_to_apply(where, std::forward<F>(f), std::forward<A>(a), std::forward<B>(b),
                         std::forward<C>(c));
  }
  template <class F, class A, class B, class C, class D>
  requires spawnable<F, A, B, C, D>
  auto apply(F&& f, A&& a, B&& b, C&& c, D&& d, site where = site::current()) {
    return pass_to_apply(where, std::forward<F>(f), std::forward<A>(a), std::forward<B>(b),
                         std::forward<C>(c), std::forward<D>(d));
  }
  template <class F, class A, class B, class C, class D, class E>
  requires spawnable<F, A, B, C, D, E>
  auto apply(F&& f, A&& a, B&& b, C&& c, D&& d, E&& e, site where = site::current()) {
    return pass_to_apply(where, std::forward<F>(f), std::forward<A>(a), std::forward<B>(b),
                         std::forward<C>(c), std::forward<D>(d), std::forward<E>(e));
  }
  template <class F, class A, class B, class C, class D, class E, class G>
  requires spawnable<F, A, B, C, D, E, G>
  auto apply(F&& f, A&& a, B&& b, C&& c, D&& d, E&& e, G&& g, site where = site::current()) {
    return pass_to_apply(where, std::forward<F>(f), std::forward<A>(a), std::forward<B>(b),
                         std::forward<C>(c), std::forward<D>(d), std::forward<E>(e),
                         std::forward<G>(g));
  }
  // With seven or more arguments, the recorded call site is this function.
  template <class F, class A, class B, class C, class D, class E, class G, class H, class... More>
  requires spawnable<F, A, B, C, D, E, G, H, More...>
  auto apply(F&& f, A&& a, B&& b, C&& c, D&& d, E&& e, G&& g, H&& h, More&&... more) {
    return pass_to_apply(site::current(), std::forward<F>(f), std::forward<A>(a),
                         std::forward<B>(b), std::forward<C>(c), std::forward<D>(d),
                         std::forward<E>(e), std::forward<G>(g), std::forward<H>(h),
                         std::forward<More>(more)...);
  }

 private:
  template <class F, class... Args>
  auto pass_to_try_spawn(const site& where, F&& f, Args&&... args) {
    return static_cast<Self&>(*this).try_spawn(
        make_call(std::forward<F>(f), std::forward<Args>(args)...), where);
  }
  template <class F, class... Args>
  auto pass_to_apply(const site& where, F&& f, Args&&... args) {
    check_temporary<F>();
    return static_cast<Self&>(*this).apply(
        make_call(std::forward<F>(f), std::forward<Args>(args)...), where);
  }
};

}  // namespace ringlet::detail
