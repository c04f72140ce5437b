// lifo_queue: items handed from fibers to fibers, last in, first out, as gevent's LifoQueue.
//
//     lifo_queue<tcp_stream> idle(100);
//
//     task<> ask(std::string question) {
//       tcp_stream warm = co_await idle.pop();  // the one that was used last
//       co_await warm.write_all(question);
//       co_await idle.push(std::move(warm));
//     }
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/basic_queue.hpp>
#include <ringlet/detail/item_stack.hpp>

#include <cstddef>
#include <utility>

namespace ringlet {

/// A stack: the item that was stored last leaves first. Its calls, errors and limits are those of
/// basic_queue. Fibers are served in the order in which they came: of several that wait to push,
/// the one that has waited longest stores its item first.
///
/// Memory    Blocks of 512 bytes; none while empty.
template <class T, class Weigh = weightless>
class lifo_queue : public basic_queue<T, detail::item_stack<T>, Weigh> {
  using base = basic_queue<T, detail::item_stack<T>, Weigh>;

 public:
  /// Has room for `size_max` items, and for items that weigh `weight_max` together. Both may be 0.
  explicit lifo_queue(std::size_t size_max = base::unlimited,
                      std::size_t weight_max = base::unlimited, Weigh weigh = Weigh())
      : base("lifo_queue", size_max, weight_max, std::move(weigh)) {}
};

}  // namespace ringlet
