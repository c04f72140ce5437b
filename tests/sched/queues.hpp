// What the tests of queues and of select() share.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/fiber.hpp>
#include <ringlet/queue.hpp>
#include <ringlet/task.hpp>
#include <ringlet/time_limit.hpp>

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "calls.hpp"
#include "support/counted.hpp"

namespace ringlet::test {

/// Numbers whose weight is their value.
struct itself {
  std::size_t operator()(const int& item) const noexcept { return static_cast<std::size_t>(item); }
};

/// A counted value that can only be moved, as an item of a queue.
class counted_item : public counted {
 public:
  using counted::counted;
  counted_item(counted_item&& other) noexcept : counted(std::move(other)) {}
  counted_item& operator=(counted_item&&) noexcept = default;
};

struct weight_of_counted {
  std::size_t operator()(const counted_item& item) const noexcept {
    return static_cast<std::size_t>(item.value());
  }
};

template <class Q>
task<> push_one(Q& to, typename Q::value_type item, time_limit timeout = forever) {
  co_await to.push(std::move(item), timeout);
}

template <class Q>
task<> pop_one(Q& from, time_limit timeout = forever) {
  (void)co_await from.pop(timeout);
}

/// Notes "+7 " when the 7 is in the queue, or was taken.
template <class Q>
task<> note_push(Q& to, std::string& log, int item) {
  int moved = item;
  co_await to.push(std::move(moved));
  log += "+" + std::to_string(item) + " ";
}

/// Notes "-7 " when it has popped the 7.
template <class Q>
task<> note_pop(Q& from, std::string& log) {
  const int item = co_await from.pop();
  log += "-" + std::to_string(item) + " ";
}

template <class T>
task<> join_each(const std::vector<fiber<T>>& all) {
  for (std::size_t i = 0; i < all.size(); ++i) co_await all[i].join();
}

}  // namespace ringlet::test
