// value_or_unit: a type to store where there may be no value.
#pragma once

#include <type_traits>
#include <variant>

namespace ringlet::detail {

/// The type that represents the value of a call in a tuple or a variant: std::monostate for void.
template <class T>
using value_or_unit = std::conditional_t<std::is_void_v<T>, std::monostate, T>;

}  // namespace ringlet::detail
