// value_or_throw: turns the result of a wait's take() into the value or exception of
// await_resume().
#pragma once

#include <ringlet/detail/throw_invalid.hpp>
#include <ringlet/error.hpp>
#include <ringlet/result.hpp>

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

}  // namespace ringlet::detail
