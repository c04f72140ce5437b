// queue: items handed from fibers to fibers, first in, first out, like gevent's Queue.
//
//     queue<job> jobs(100);
//
//     task<> produce() {
//       while (auto next = co_await read_job()) co_await jobs.push(*std::move(next));
//       jobs.close();
//     }
//     task<> consume() {
//       auto all = jobs.items();
//       while (auto next = co_await all.next()) co_await work(*next);
//     }
#pragma once

#include <ringlet/basic_queue.hpp>
#include <ringlet/detail/item_chunks.hpp>

#include <cstddef>
#include <utility>

namespace ringlet {

/// Items that leave in the order in which they came. Its calls, errors and limits are those of
/// basic_queue.
/// Memory    Blocks of 512 bytes; none while empty.
template <class T, class Weigh = weightless>
class queue : public basic_queue<T, detail::item_chunks<T>, Weigh> {
  using base = basic_queue<T, detail::item_chunks<T>, Weigh>;

 public:
  explicit queue(std::size_t size_max = base::unlimited, std::size_t weight_max = base::unlimited,
                 Weigh weigh = Weigh())
      : base("queue", size_max, weight_max, std::move(weigh)) {}
};

}  // namespace ringlet
