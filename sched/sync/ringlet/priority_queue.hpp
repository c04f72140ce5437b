// priority_queue: items handed from fibers to fibers, the least first, as gevent's PriorityQueue.
//
//     struct job {
//       int urgency;
//       std::string name;
//       bool operator<(const job& other) const { return urgency < other.urgency; }
//     };
//     priority_queue<job> jobs;
//
//     task<std::string> most_urgent() {
//       jobs.try_push(job{2, "sweep"});
//       jobs.try_push(job{1, "put out the fire"});
//       job first = co_await jobs.pop();  // the fire
//       co_return std::move(first.name);
//     }
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/basic_queue.hpp>
#include <ringlet/detail/item_order.hpp>

#include <cstddef>
#include <functional>
#include <utility>

namespace ringlet {

/// The least item leaves first; equal items leave in the order in which they were stored. Its
/// calls, errors and limits are those of basic_queue. Fibers are served in the order in which they
/// came: an urgent item that waits for room does not overtake those that have waited longer.
///
/// Compare   `less(a, b)` is true if `a` leaves before `b`; std::greater<> makes the greatest item
///           leave first. Called when an item is stored, never when one leaves. What it throws is
///           thrown by the push, which leaves its item with the caller and the queue as it was. A
///           push that had to wait throws it, too.
/// Memory    A node per item.
template <class T, class Compare = std::less<>, class Weigh = weightless>
class priority_queue : public basic_queue<T, detail::item_order<T, Compare>, Weigh> {
  using base = basic_queue<T, detail::item_order<T, Compare>, Weigh>;

 public:
  /// Has room for `size_max` items, and for items that weigh `weight_max` together. Both may be 0.
  explicit priority_queue(std::size_t size_max = base::unlimited, Compare less = Compare(),
                          std::size_t weight_max = base::unlimited, Weigh weigh = Weigh())
      : base("priority_queue", size_max, weight_max, std::move(weigh), std::move(less)) {}
};

}  // namespace ringlet
