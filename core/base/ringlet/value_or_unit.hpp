// value_or_unit: a type to store where there may be no value.
//
//     template <class T>
//     struct answers {
//       std::vector<value_or_unit<T>> values;  // compiles for calls that return void, too
//     };
// SPDX-License-Identifier: MIT
#pragma once

#include <type_traits>
#include <variant>

namespace ringlet {

/// The type that stands for the value of a call in a tuple, a vector or a variant: T itself, and
/// std::monostate where T is void.
template <class T>
using value_or_unit = std::conditional_t<std::is_void_v<T>, std::monostate, T>;

}  // namespace ringlet
