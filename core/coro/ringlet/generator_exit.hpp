// generator_exit: what ends a two_way_generator that is closed.
//
//     two_way_generator<int, int> sums(const log& out) {
//       int sum = 0;
//       try {
//         for (;;) sum += co_yield sum;
//       } catch (const generator_exit&) {
//         out.write(sum);  // close() was called
//       }
//     }
// SPDX-License-Identifier: MIT
#pragma once

namespace ringlet {

/// Thrown at the co_yield of a two_way_generator when close() is called.
///
/// Not a std::exception, so that handlers of errors let it pass. Catch it (or `...`) to clean up or
/// to return a result; yielding after it aborts.
class generator_exit {};

}  // namespace ringlet
