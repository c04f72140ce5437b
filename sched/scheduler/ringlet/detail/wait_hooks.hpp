// The compile-time messages for a wait that lacks a hook; see wait.hpp.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/extend/context.hpp>

#include <concepts>
#include <string>

namespace ringlet::detail {

template <class Wait>
concept ends_early = requires(Wait& wait, extend::cancel_reason reason) {
  { wait.on_cancel(reason) } -> std::same_as<void>;
  requires noexcept(wait.on_cancel(reason));
};
template <class Wait>
concept describes_itself = requires(const Wait& wait, std::string& out) {
  { wait.describe(out) } -> std::same_as<void>;
};
template <class Wait>
concept tells_holder = requires(const Wait& wait) {
  { wait.holder() } -> std::convertible_to<const extend::context*>;
  requires noexcept(wait.holder());
};
template <class Wait>
concept tries_now = requires(Wait& wait) {
  { wait.try_now() } -> std::same_as<bool>;
};
template <class Wait>
concept can_be_watched = requires(Wait& wait) {
  { wait.watch() } -> std::same_as<void>;
  { wait.unwatch() } -> std::same_as<void>;
  requires noexcept(wait.watch());
  requires noexcept(wait.unwatch());
};
template <class Wait>
concept has_type = requires {
  { Wait::type } -> std::same_as<const extend::wait_type&>;
};
template <class Wait>
concept keeps_forms_of_defaults = requires(Wait& wait, const Wait& kept) {
  { Wait::is_external } -> std::same_as<const bool&>;
  { kept.lingers() } -> std::same_as<bool>;
  { wait.pass_on() } -> std::same_as<void>;
  requires noexcept(kept.lingers());
  requires noexcept(wait.pass_on());
};

template <class Wait>
concept two_phase_hooks =
    tries_now<Wait> && can_be_watched<Wait> && has_type<Wait> && keeps_forms_of_defaults<Wait>;

template <class Wait>
constexpr bool tries_without_throwing() {
  if constexpr (tries_now<Wait>) {
    return requires(Wait & wait) { requires noexcept(wait.try_now()); };
  } else {
    return true;
  }
}

template <class Wait>
constexpr void explain_hooks() {
  static_assert(ends_early<Wait>,
                "this wait needs a public `void on_cancel(cancel_reason reason) noexcept`, which "
                "keeps the reason and ends the wait");
  static_assert(describes_itself<Wait>,
                "this wait has a describe() of another form: it must be a public `void "
                "describe(std::string& out) const`");
  static_assert(tells_holder<Wait>,
                "this wait has a holder() of another form: it must be a public `const fiber_base* "
                "holder() const noexcept`");
}

template <class Wait>
constexpr void explain_two_phase_hooks() {
  static_assert(tries_now<Wait>,
                "this wait needs a public `bool try_now()`: true when it is over without waiting");
  static_assert(can_be_watched<Wait>,
                "this wait needs a public `void watch() noexcept`, after which the other side "
                "may end it, and a `void unwatch() noexcept` that undoes this");
  static_assert(has_type<Wait>,
                "this wait needs a public `static const wait_type type`, made by make_type()");
  static_assert(keeps_forms_of_defaults<Wait>,
                "this wait replaces a default in another form: it must be a public `static "
                "constexpr bool is_external`, `bool lingers() const noexcept` or `void pass_on() "
                "noexcept`");
}

}  // namespace ringlet::detail
