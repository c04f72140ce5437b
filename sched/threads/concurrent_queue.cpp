// What dump() and error messages say about a concurrent_queue.
// SPDX-License-Identifier: MIT
#include <ringlet/concurrent_queue.hpp>

#include <fmt/format.h>

#include <iterator>
#include <stdexcept>

namespace ringlet::detail {

void describe_concurrent_queue(std::string& out, const void* queue, std::size_t size,
                               std::size_t size_max, std::size_t pushing, std::size_t popping) {
  fmt::format_to(std::back_inserter(out),
                 "{} with {} of {} items, {} waiting to push and {} to pop", queue, size, size_max,
                 pushing, popping);
}

std::size_t check_capacity(std::size_t size_max) {
  if (size_max != 0) return size_max;
  throw std::invalid_argument("the size_max of a concurrent_queue is 0, but must be 1 or more");
}

}  // namespace ringlet::detail
