// real_threads: what objects that threads share are made of.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/short_mutex.hpp>

#include <atomic>

namespace ringlet::detail {

/// The argument of templates in programs. A model checker puts its own in its place.
struct real_threads {
  using mutex = short_mutex;
  template <class T>
  using atomic = std::atomic<T>;
};

}  // namespace ringlet::detail
