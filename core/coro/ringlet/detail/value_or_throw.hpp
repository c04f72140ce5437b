// value_or_throw and value_or_code: turn the result of a wait's take() into the value or exception
// of await_resume(), and back.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/throw_invalid.hpp>
#include <ringlet/error.hpp>
#include <ringlet/result.hpp>

#include <system_error>
#include <type_traits>
#include <utility>

namespace ringlet::detail {

/// `what` is the call's name, for the exception. Throws std::system_error.
template <class T>
T value_or_throw(result<T>&& taken, const char* what) {
  if (!taken) [[unlikely]]
    ringlet::throw_error(taken.error(), what);
  if constexpr (!std::is_void_v<T>) return std::move(*taken);
}

/// The same for a call that knows what was invalid when the error is EINVAL.
template <class T>
T value_or_throw(result<T>&& taken, const char* what, const char* why_invalid) {
  if (!taken) [[unlikely]]
    throw_error(taken.error(), what, why_invalid);
  if constexpr (!std::is_void_v<T>) return std::move(*taken);
}

/// The other way round: what `call()` returns, or the code of a std::system_error that it throws.
/// Any other exception passes through.
template <class T, class F>
result<T> value_or_code(F&& call) {
  try {
    if constexpr (std::is_void_v<T>) {
      call();
      return {};
    } else {
      return call();
    }
  } catch (const std::system_error& error) {
    return error.code();
  }
}

}  // namespace ringlet::detail
