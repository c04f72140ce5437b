// fiber_range: what joinall() and its relatives take beside single fibers.
//
//     template <fiber_range Fibers>
//     void ask_to_end(const Fibers& fibers) {
//       for (const auto& one : fibers) one.request_kill();
//     }
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/fiber.hpp>

#include <ranges>

namespace ringlet::detail {

template <class T>
inline constexpr bool is_fiber = false;
template <class T>
inline constexpr bool is_fiber<fiber<T>> = true;

}  // namespace ringlet::detail

namespace ringlet {

/// A range of handles of one type, such as std::vector<fiber<int>>.
template <class Fibers>
concept fiber_range =
    std::ranges::input_range<Fibers> && detail::is_fiber<std::ranges::range_value_t<Fibers>>;

}  // namespace ringlet
