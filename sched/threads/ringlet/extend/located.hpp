// located: an argument that knows where the program wrote it.
//
//     template <class F, class... Args>
//     auto call_on(located<std::size_t> k, F&& f, Args&&... args);
//     call_on(3, count, "pears");  // `k` has this line, and the value 3
//
// The default argument for a call site cannot follow a pack, but it can stand in a conversion.
// SPDX-License-Identifier: MIT
#pragma once

#include <source_location>

namespace ringlet::extend {

/// A T, which converts to it implicitly; and the source location of that conversion.
/// Lifetime  A located reference refers to what was passed.
template <class T>
class located {
 public:
  constexpr located(T argument,
                    std::source_location place = std::source_location::current()) noexcept
      : value(argument), where(place) {}

  T value;
  std::source_location where;
};

}  // namespace ringlet::extend
