// handle_calls: the calls of a scheduler_handle that take a callable and its arguments.
//
// One overload per number of arguments, because the default argument for the call site cannot
// follow a pack.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/spawnable.hpp>

#include <concepts>
#include <source_location>
#include <type_traits>
#include <utility>

namespace ringlet::detail {

/// Whether copies of `args` can be passed to a copy of `f`.
template <class F, class... Args>
concept callable_with_copies = std::invocable<std::decay_t<F>, std::decay_t<Args>...>;

/// Adds these overloads to a derived class that has a spawn_from() and a call_from().
template <class Self>
class handle_calls {
  using site = std::source_location;

 public:
  template <class F>
  requires spawnable<F>
  auto spawn(F&& f, site where = site::current()) const {
    return self().spawn_from(where, std::forward<F>(f));
  }
  template <class F, class A>
  requires spawnable<F, A>
  auto spawn(F&& f, A&& a, site where = site::current()) const {
    return self().spawn_from(where, std::forward<F>(f), std::forward<A>(a));
  }
  template <class F, class A, class B>
  requires spawnable<F, A, B>
  auto spawn(F&& f, A&& a, B&& b, site where = site::current()) const {
    return self().spawn_from(where, std::forward<F>(f), std::forward<A>(a), std::forward<B>(b));
  }
  template <class F, class A, class B, class C>
  requires spawnable<F, A, B, C>
  auto spawn(F&& f, A&& a, B&& b, C&& c, site where = site::current()) const {
    return self().spawn_from(where, std::forward<F>(f), std::forward<A>(a), std::forward<B>(b),
                             std::forward<C>(c));
  }
  template <class F, class A, class B, class C, class D>
  requires spawnable<F, A, B, C, D>
  auto spawn(F&& f, A&& a, B&& b, C&& c, D&& d, site where = site::current()) const {
    return self().spawn_from(where, std::forward<F>(f), std::forward<A>(a), std::forward<B>(b),
                             std::forward<C>(c), std::forward<D>(d));
  }
  template <class F, class A, class B, class C, class D, class E>
  requires spawnable<F, A, B, C, D, E>
  auto spawn(F&& f, A&& a, B&& b, C&& c, D&& d, E&& e, site where = site::current()) const {
    return self().spawn_from(where, std::forward<F>(f), std::forward<A>(a), std::forward<B>(b),
                             std::forward<C>(c), std::forward<D>(d), std::forward<E>(e));
  }
  template <class F, class A, class B, class C, class D, class E, class G>
  requires spawnable<F, A, B, C, D, E, G>
  auto spawn(F&& f, A&& a, B&& b, C&& c, D&& d, E&& e, G&& g, site where = site::current()) const {
    return self().spawn_from(where, std::forward<F>(f), std::forward<A>(a), std::forward<B>(b),
                             std::forward<C>(c), std::forward<D>(d), std::forward<E>(e),
                             std::forward<G>(g));
  }
  // With seven or more arguments, the recorded call site is this function.
  template <class F, class A, class B, class C, class D, class E, class G, class H, class... More>
  requires spawnable<F, A, B, C, D, E, G, H, More...>
  auto spawn(F&& f, A&& a, B&& b, C&& c, D&& d, E&& e, G&& g, H&& h, More&&... more) const {
    return self().spawn_from(site::current(), std::forward<F>(f), std::forward<A>(a),
                             std::forward<B>(b), std::forward<C>(c), std::forward<D>(d),
                             std::forward<E>(e), std::forward<G>(g), std::forward<H>(h),
                             std::forward<More>(more)...);
  }

  template <class F>
  requires callable_with_copies<F>
  auto call(F&& f, site where = site::current()) const {
    return self().call_from(where, std::forward<F>(f));
  }
  template <class F, class A>
  requires callable_with_copies<F, A>
  auto call(F&& f, A&& a, site where = site::current()) const {
    return self().call_from(where, std::forward<F>(f), std::forward<A>(a));
  }
  template <class F, class A, class B>
  requires callable_with_copies<F, A, B>
  auto call(F&& f, A&& a, B&& b, site where = site::current()) const {
    return self().call_from(where, std::forward<F>(f), std::forward<A>(a), std::forward<B>(b));
  }
  template <class F, class A, class B, class C>
  requires callable_with_copies<F, A, B, C>
  auto call(F&& f, A&& a, B&& b, C&& c, site where = site::current()) const {
    return self().call_from(where, std::forward<F>(f), std::forward<A>(a), std::forward<B>(b),
                            std::forward<C>(c));
  }
  template <class F, class A, class B, class C, class D>
  requires callable_with_copies<F, A, B, C, D>
  auto call(F&& f, A&& a, B&& b, C&& c, D&& d, site where = site::current()) const {
    return self().call_from(where, std::forward<F>(f), std::forward<A>(a), std::forward<B>(b),
                            std::forward<C>(c), std::forward<D>(d));
  }
  template <class F, class A, class B, class C, class D, class E>
  requires callable_with_copies<F, A, B, C, D, E>
  auto call(F&& f, A&& a, B&& b, C&& c, D&& d, E&& e, site where = site::current()) const {
    return self().call_from(where, std::forward<F>(f), std::forward<A>(a), std::forward<B>(b),
                            std::forward<C>(c), std::forward<D>(d), std::forward<E>(e));
  }
  template <class F, class A, class B, class C, class D, class E, class G>
  requires callable_with_copies<F, A, B, C, D, E, G>
  auto call(F&& f, A&& a, B&& b, C&& c, D&& d, E&& e, G&& g, site where = site::current()) const {
    return self().call_from(where, std::forward<F>(f), std::forward<A>(a), std::forward<B>(b),
                            std::forward<C>(c), std::forward<D>(d), std::forward<E>(e),
                            std::forward<G>(g));
  }
  // With seven or more arguments, the recorded call site is this function.
  template <class F, class A, class B, class C, class D, class E, class G, class H, class... More>
  requires callable_with_copies<F, A, B, C, D, E, G, H, More...>
  auto call(F&& f, A&& a, B&& b, C&& c, D&& d, E&& e, G&& g, H&& h, More&&... more) const {
    return self().call_from(site::current(), std::forward<F>(f), std::forward<A>(a),
                            std::forward<B>(b), std::forward<C>(c), std::forward<D>(d),
                            std::forward<E>(e), std::forward<G>(g), std::forward<H>(h),
                            std::forward<More>(more)...);
  }

 private:
  const Self& self() const noexcept { return static_cast<const Self&>(*this); }
};

}  // namespace ringlet::detail
