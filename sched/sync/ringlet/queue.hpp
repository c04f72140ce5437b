// queue: items handed from fibers to fibers, first in, first out, like gevent's Queue.
//
//     queue<std::string> lines(100);
//
//     task<> read_all(tcp_stream from) {
//       reader in(from);
//       while (auto line = co_await in.read_line()) co_await lines.push(std::string(*line));
//       lines.close();
//     }
//     task<> write_all(tcp_stream to) {
//       auto all = lines.items();
//       while (auto line = co_await all.next()) co_await to.write_all(*line + '\n');
//     }
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/basic_queue.hpp>
#include <ringlet/detail/item_chunks.hpp>

#include <cstddef>
#include <utility>

namespace ringlet {

/// Items that leave in the order in which they came. Its calls, errors and limits are those of
/// basic_queue.
///
/// Memory    Blocks of 512 bytes; none while empty.
template <class T, class Weigh = weightless>
class queue : public basic_queue<T, detail::item_chunks<T>, Weigh> {
  using base = basic_queue<T, detail::item_chunks<T>, Weigh>;

 public:
  /// Has room for `size_max` items, and for items that weigh `weight_max` together. Both may be 0.
  explicit queue(std::size_t size_max = base::unlimited, std::size_t weight_max = base::unlimited,
                 Weigh weigh = Weigh())
      : base("queue", size_max, weight_max, std::move(weigh)) {}
};

}  // namespace ringlet
