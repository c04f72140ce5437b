// bounded_semaphore: a semaphore that finds a permit which is given back twice.
//
//     bounded_semaphore slots(8);
//
//     task<> on_open() { (co_await slots.acquire()).consume(); }
//     void on_close() { slots.release(); }  // aborts if there are more of these
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/semaphore.hpp>

#include <cstddef>

namespace ringlet {

/// A semaphore that never has more permits than at first, as gevent's BoundedSemaphore. Use it
/// where permits come back by release(), for a pair of calls that no scope joins. release() counts
/// the permits that fibers hold, so it aborts in the call that is wrong: not later, where they give
/// theirs back. Cancellation, lifetime, thread and memory are those of semaphore.
///
/// Errors    As semaphore. A release() of more permits than are missing aborts, and names the
///           bound. acquire() of more than the bound throws std::invalid_argument.
class bounded_semaphore : public semaphore {
 public:
  /// All of the permits are free. Throws std::invalid_argument if `bound` is more than `unlimited`,
  /// which a negative number is.
  explicit bounded_semaphore(std::size_t bound) : semaphore("bounded_semaphore", bound, bound) {}

  /// The most permits that can be free.
  std::size_t bound() const noexcept { return count_max(); }
};

}  // namespace ringlet
