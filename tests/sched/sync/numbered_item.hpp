// What goes through the queues, channels and broadcasts of the model test.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <utility>

#include "primitives_model.hpp"

namespace ringlet::test {

// An item that was moved from has no number. A bad one throws when it is compared, until it has
// left its fiber.
struct numbered_item {
  explicit numbered_item(std::size_t with, bool bad = false) noexcept : number(with), is_bad(bad) {}
  numbered_item(numbered_item&& other) noexcept : number(std::exchange(other.number, 0)) {}
  numbered_item& operator=(numbered_item&& other) noexcept {
    number = std::exchange(other.number, 0);
    is_bad = false;
    return *this;
  }
  std::size_t number;
  bool is_bad = false;
};

inline std::size_t weight_of_number(std::size_t number) { return number % 4; }
struct weigh_number {
  std::size_t operator()(const numbered_item& of) const noexcept {
    return weight_of_number(of.number);
  }
};

inline bool rank_is_less(std::size_t a, std::size_t b) { return a % 3 < b % 3; }
struct less_by_rank {
  bool operator()(const numbered_item& a, const numbered_item& b) const {
    if (a.is_bad || b.is_bad) throw planted_error();
    return rank_is_less(a.number, b.number);
  }
};

// The same for a broadcast, which copies.
struct copied_item {
  explicit copied_item(std::size_t with) noexcept : number(with) {}
  copied_item(const copied_item&) = default;
  copied_item(copied_item&& other) noexcept : number(std::exchange(other.number, 0)) {}
  std::size_t number;
};

}  // namespace ringlet::test
